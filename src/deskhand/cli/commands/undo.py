"""``deskhand undo``, and the diff of ``show --changes``: what a task did to files, seen and taken back.

The undo is a task like any other, asked through the same approval. Only files come back: what was sent stays sent.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from deskhand.cli import follow
from deskhand.cli.client import client, new_op_id
from deskhand.cli.commands.look import decided
from deskhand.cli.commands.task import place_of
from deskhand.cli.screen import Obj, speak

_PLACE: Final = ("folder", "runner", "mode")


def undo(name: str, *, turn: int | None = None, force: bool = False, yes: bool = False) -> int:
    """Take back what a task did to files."""
    from deskhand.cli.taken_back import root_of

    hub, op = client(), new_op_id()
    task = hub.one("tasks", name)
    root = root_of(name)
    if not (root or sum(task["changes"].values())):
        return speak.answer(task, speak.say("undo.nothing"))
    place = place_of(hub, root, None, op) if root else {key: task.get(key) for key in _PLACE}
    options = [f"--turn {turn}"] * (turn is not None) + ["--force"] * force
    body: Obj = {"text": " ".join(["/undo", name, *options]), "as": "task", **place}
    body = {key: value for key, value in body.items() if value}
    posted = hub.op("message.post", body, thread=str(task["thread"]), op_id=op)
    mine, after = str(posted["task"]), int(posted.get("seq") or 0)
    until = partial(follow.follow_task, hub, mine, after=after, seconds=None, show=lambda _: None)
    task, _ = until(also_when_stuck=True)
    if any(one["kind"] == "approval" for one in task.get("waiting_for", [])):
        speak.out(speak.say("undo.only_files"))
        if yes or speak.asks:
            if decided(mine, "allow", "once", careful=not yes) is None:
                decided(mine, "deny", "once")
            task, _ = until(also_when_stuck=True)
    follow.show_outcome(task)
    speak.answer(task)
    return follow.exit_code(task)

"""``do`` and ``undo``: hand over a task, see it begin, and be let go as soon as there is nothing to wait for.

The task is stored before anything is shown; what happens here afterwards only watches it. The undo is a task like any
other, asked through the same approval. Only files come back: what was sent stays sent.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import typer

from deskhand.cli import follow
from deskhand.cli.client import Client, client, home, local_runner, new_op_id
from deskhand.cli.commands.look import decided
from deskhand.cli.flags import Mode, from_stdin, seconds, t
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.cli.values import setting

if TYPE_CHECKING:
    from deskhand.runner.ceiling import Granted

_PLACE: Final = ("folder", "runner", "mode")


def do(
    text: str,
    *,
    thread: str | None = None,
    folder: str | None = None,
    mode: Mode | None = None,
    file: list[Path] | None = None,
    runner: str | None = None,
    model: str | None = None,
    check: list[str] | None = None,
    plan: bool = False,
    wait: bool = False,
    no_wait: bool = False,
    timeout: str | None = None,
    require: Literal["verified"] | None = None,
    op_id: str | None = None,
) -> int:
    """Assign a task."""
    if wait and no_wait:
        raise typer.BadParameter(t("do.wait_both"))
    limit = None if timeout is None else seconds(timeout)
    hub, op = client(), op_id or new_op_id()
    body: Obj = {"text": from_stdin(text), "as": "task", "model": model, "checks": check}
    body |= {"runner": runner and hub.named("/v1/runners", runner, field="--runner")}
    body |= {"plan": plan, **place_of(hub, folder, mode, op)}
    body |= {"files": [hub.upload(one) for one in file or ()]}
    name, after = _posted(hub, body, thread=_thread(hub, thread, op), op_id=op)
    # The id comes first: whatever happens to us, the task can be found again.
    (speak.note if speak.json else speak.out)(name)
    if no_wait:
        return speak.answer(hub.get(f"/v1/tasks/{name}"))
    until = partial(follow.follow_task, hub, name, after=after, seconds=limit)
    try:
        task, in_time = until(show=follow.show_event, also_when_stuck=not wait)
        if task.get("reason") == "no_model":
            task = follow.suggested(hub, name, after=after)
    except KeyboardInterrupt:
        speak.err(speak.say("do.detached", id=name))
        return Exit.INTERRUPTED
    if not in_time:
        speak.note(speak.say("do.timed_out", id=name), "ask")
    code = follow.ended(task, require_verified=bool(require))
    return code if in_time else Exit.TIMEOUT


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
    mine, after = _posted(hub, body, thread=str(task["thread"]), op_id=op)
    until = partial(follow.follow_task, hub, mine, after=after, seconds=None, also_when_stuck=True)
    task, _ = until(show=lambda _: None)
    if any(one["kind"] == "approval" for one in task.get("waiting_for", [])):
        speak.out(speak.say("undo.only_files"))
        if yes or speak.asks:
            if decided(mine, "allow", "once", careful=not yes) is None:
                decided(mine, "deny", "once")
            task, _ = until(show=lambda _: None)
    return follow.ended(task)


def _posted(hub: Client, body: Obj, *, thread: str | None, op_id: str) -> tuple[str, int]:
    """Send a task and return its id, and after which event its own begin."""
    said = {name: value for name, value in body.items() if value}
    result = hub.op("message.post", said, thread=thread, op_id=op_id)
    return str(result["task"]), int(result.get("seq") or 0)


def _thread(hub: Client, said: str | None, op_id: str) -> str | None:
    """Return the id of a conversation named by id or title; a new title begins one."""
    if said is None or said.startswith("thr_"):
        return said
    for known in hub.items("/v1/threads"):
        if (known["title"], known["state"], known["archived"]) == (said, "open", False):
            return str(known["id"])
    return str(hub.op("thread.create", {"title": said}, op_id=f"{op_id}-thread")["id"])


def place_of(hub: Client, said: str | None, mode: str | None, op_id: str) -> Obj:
    """Return where the task works, granted here and now if the person sits at that computer."""
    narrowed = _mode(mode)
    if said is None:
        return {"mode": narrowed} if mode else {}
    runner = local_runner()
    if said.startswith("fld_") or runner is None or runner.get("url") != hub.url:
        return {"folder": said, "mode": narrowed}
    granted = _granted(Path(said).expanduser(), mode=narrowed, op_id=op_id)
    make_known(hub, granted, runner=str(runner["device"]))
    return {"folder": granted.id, "mode": narrowed}


def _granted(path: Path, *, mode: str, op_id: str) -> Granted:
    """Return the grant of a folder, made for the task of this op alone unless it may be used already."""
    from deskhand.protocol.objects import FolderMode, narrower
    from deskhand.runner.ceiling import Ceiling, grant_folder

    wanted = FolderMode(mode)
    real = str(path.resolve())
    for entry in Ceiling(home()).entries():
        if entry.root == real and entry.for_op is None and narrower(entry.mode, wanted) is wanted:
            return entry
    return grant_folder(home(), path, mode=wanted, for_op=op_id)


def make_known(hub: Client, granted: Granted, *, runner: str) -> None:
    """Tell the hub of a grant, which stands in the runner's own file already; once more changes nothing."""
    names = ("id", "root", "label", "mode", "marked", "lent_to")
    said: Obj = {name: getattr(granted, name) for name in names}
    hub.op("folder.put", {**said, "runner": runner, "once": granted.for_op is not None})


def _mode(said: str | None) -> str:
    """Return the mode to ask for: what was typed or set, never wider than the project allows."""
    found = setting("do.mode", flag=said)
    if said is not None and found.value != said:
        speak.note(speak.say("do.narrowed", mode=found.value, source=found.source), "ask")
    return str(found.value)

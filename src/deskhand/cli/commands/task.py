"""``deskhand do``: hand over a task, see it begin, and be let go as soon as there is nothing to wait for.

The task is stored before anything is shown; what happens here afterwards only watches it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from deskhand.cli.client import Client, client, home, local_runner, new_op_id
from deskhand.cli.flags import Mode, from_stdin, seconds, t
from deskhand.cli.follow import choose, exit_code, follow_task, show_event, show_outcome, suggested
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.cli.values import setting
from deskhand.errors import Code, DeskhandError

if TYPE_CHECKING:
    from deskhand.runner.ceiling import Granted


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
    body |= {"plan": plan, "runner": _runner(hub, runner), **place_of(hub, folder, mode, op)}
    body |= {"files": [hub.upload(one) for one in file or ()]}
    body = {name: value for name, value in body.items() if value}
    result = hub.op("message.post", body, thread=_thread(hub, thread, op), op_id=op)
    name = str(result["task"])
    # The id comes first: whatever happens to us, the task can be found again.
    (speak.note if speak.json else speak.out)(name)
    if no_wait:
        return speak.answer(hub.get(f"/v1/tasks/{name}"))
    after = int(result.get("seq") or 0)
    until = partial(
        follow_task, hub, name, seconds=limit, show=show_event, also_when_stuck=not wait
    )
    try:
        task, in_time = until(after=after)
        if task.get("reason") == "no_model":
            task = suggested(hub, name, after=after)
            if chosen := _chosen(hub, task):
                task, in_time = until(after=int(chosen["seq"]))
    except KeyboardInterrupt:
        speak.err(speak.say("do.detached", id=name))
        return Exit.INTERRUPTED
    if not in_time:
        speak.note(speak.say("do.timed_out", id=name), "ask")
    show_outcome(task)
    speak.answer(task)
    return exit_code(task, require_verified=bool(require)) if in_time else Exit.TIMEOUT


def _chosen(hub: Client, task: Obj) -> Obj | None:
    """Return what came of the suggestion that a person at a terminal chose, if one did."""
    if speak.asks and task.get("suggestions"):
        show_outcome(task)
        if wanted := speak.ask(speak.say("choose.ask")):
            return choose(hub, task, wanted)
    return None


def _thread(hub: Client, said: str | None, op_id: str) -> str | None:
    """Return the id of a conversation named by id or title; a new title begins one."""
    if said is None or said.startswith("thr_"):
        return said
    for known in hub.items("/v1/threads"):
        if (known["title"], known["state"], known["archived"]) == (said, "open", False):
            return str(known["id"])
    return str(hub.op("thread.create", {"title": said}, op_id=f"{op_id}-thread")["id"])


def _runner(hub: Client, said: str | None) -> str | None:
    """Return the id of a computer named by id or name, or raise ``not_found``."""
    if said is None:
        return None
    for known in hub.items("/v1/runners"):
        if said in {known["id"], known["name"]}:
            return str(known["id"])
    raise DeskhandError(Code.NOT_FOUND, said, field="--runner")


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

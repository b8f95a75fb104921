"""A task from its words to its end: ``do``, looking, deciding, ``get`` and ``undo``.

A task is stored before anything is shown, and whoever hands one over is let go as soon as there is nothing to wait for;
what happens here afterwards only watches it. Everything is read from the hub when it is asked for. A yes is bound to
what was shown: the hash is computed here, from the very object that was printed. The undo is a task like any other,
asked through the same approval; only files come back: what was sent stays sent.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from contextlib import closing, suppress
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Final, Literal, cast

import typer

from deskhand.cli import follow
from deskhand.cli.client import LIST_LIMIT, Client, client, home, local_runner, new_op_id, owner, signing_key
from deskhand.cli.screen import Exit, Obj, Refusal, from_stdin, link_line, model_line, one_line, plain, speak
from deskhand.cli.values import Mode, setting
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import replacing

if TYPE_CHECKING:
    from deskhand.runner.ceiling import Granted
    from deskhand.tools.undo.keeping import Checkpoints

_STATES: Final = {"queued", "working", "input_required", "verifying", "paused", *follow.FINAL}
_PLAIN_NAME: Final = re.compile(r'(?![\s.~-])[^/\\:*?"<>|\n\t]+(?<![\s.])')
_NAME_BYTES_MAX: Final = 255
_DURATIONS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TASK: Final = ("id", follow.standing, "created_at", "title")
"""How a task stands in a list."""
_REQUEST: Final = ("at", "via", "method", "host", "path", "bytes_out", "bytes_in", "ended")
"""What is told of what a task asked of the internet, as this computer wrote it down."""


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
        raise typer.BadParameter(speak.say("do.wait_both"))
    limit = None if timeout is None else _seconds(timeout)
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


def status() -> int:
    """Say what is going on."""
    hub = client()
    version, found = hub.get("/v1/version"), hub.get("/v1/snapshot")
    tasks = [task for task in found["tasks"] if task["state"] not in follow.FINAL]
    computers = hub.items("/v1/runners")
    speak.out(speak.say("status.hub", url=hub.url, version=version["version"]))
    for one in computers:
        line = speak.say("status.runner", name=one["name"], link=link_line(one))
        speak.out(line, f"  {model_line(one)}")
    if not computers:
        speak.out(speak.say("status.no_runner"))
    waits = len(found["approvals"]) + len(found["questions"])
    speak.out(speak.say("status.counts", tasks=len(tasks), waiting=waits))
    speak.columns(tasks, *_TASK)
    for one in found["questions"]:
        if one.get("tasks"):  # about several tasks: no card of theirs says it
            speak.out(speak.say("event.question", text=one["text"], id=one["id"]))
    rest = {"approvals": found["approvals"], "questions": found["questions"]}
    return speak.answer({"hub": hub.url, **version, "runners": computers, "tasks": tasks, **rest})


def ls(*, everything: bool = False, thread: str | None = None, state: list[str] | None = None, limit: int = 50) -> int:
    """List tasks."""
    if not _STATES.issuperset(state or ()):
        raise typer.BadParameter(f"--state: {' | '.join(sorted(_STATES))}")
    found = client().items("/v1/tasks", most=limit, thread=thread, state=state)
    tasks = [task for task in found if everything or not task.get("archived")]
    return speak.listed(tasks, *_TASK, none="ls.none")


def show(name: str, *, changes: bool = False, net: bool = False) -> int:
    """Show a task or an approval."""
    if net:
        from deskhand.egress.broker import EGRESS, lines

        told = [one for one in lines(home() / "runner" / EGRESS) if one["task"] == name]
        return speak.listed(told, *_REQUEST, none="show.no_net")
    hub = client()
    approval = name.startswith("apr_")
    found = hub.one("approvals" if approval else "tasks", name)
    if approval:
        _show_approval(found)
    elif changes:
        _show_changes(hub, found)
    elif not speak.json:
        _show_task(hub, found)
    return speak.answer(found)


def watch(name: str | None = None, *, after: int | None = None, timeout: str | None = None) -> int:
    """Print events as they come; of one task until it ends."""
    hub, limit = client(), None if timeout is None else _seconds(timeout)
    if name is not None:
        return _watch_task(hub, name, after=after, limit=limit)
    cursor = hub.get("/v1/snapshot")["cursor"] if after is None else after
    for event in follow.events_of(hub, cursor, seconds=limit):
        what, at = cast("Obj", event["body"]), str(event["at"])[11:19]
        said = what.get("text") or what.get("title") or what.get("summary") or ""
        line = f"{event['seq']}  {at}  {event['kind']}  {event.get('task') or ''}  "
        speak.answer(event, (line + one_line(said, most=100)).rstrip())
    return Exit.TIMEOUT


def _seconds(said: str) -> float:
    """Return a duration such as ``90``, ``90s``, ``10m``, ``2h``, ``1d`` in seconds.

    Raises:
        typer.BadParameter: it is none of these.
    """
    number, unit = (said[:-1], said[-1]) if said[-1:] in _DURATIONS else (said, "s")
    with suppress(ValueError):
        if 0 <= float(number) < float("inf"):
            return float(number) * _DURATIONS[unit]
    raise typer.BadParameter(speak.say("flag.duration"))


def get(name: str, files: list[str] | None = None, *, to: Path = Path(), force: bool = False) -> int:
    """Download results."""
    hub = client()
    if name.startswith("art_"):
        wanted = [hub.one("artifacts", name)]
    else:
        artifacts = cast("list[Obj]", hub.one("tasks", name).get("artifacts", []))
        wanted = [one for one in artifacts if not files or one["name"] in files]
        if missing := set(files or ()) - {one["name"] for one in wanted}:
            raise DeskhandError(Code.NOT_FOUND, ", ".join(sorted(missing)), field="NAME")
    fetched: list[Obj] = []
    for artifact in wanted:
        path = _fetch(hub, artifact, to, overwrite=force)
        fetched.append({"id": artifact["id"], "path": str(path), "sha256": artifact["sha256"]})
        speak.out(str(path))
    if not (fetched or speak.json):
        speak.note(speak.say("get.none"))
    return speak.answer({"items": fetched})


def _fetch(hub: Client, artifact: Obj, directory: Path, *, overwrite: bool) -> Path:
    """Download an artifact, whole and as announced, into a directory; return its path. No other file is replaced."""
    target, digest = directory / safe_name(str(artifact["name"])), hashlib.sha256()
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DeskhandError(Code.PATH_REFUSED, str(directory))
    with replacing(target) as file:
        for chunk in hub.download(str(artifact["id"])):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != artifact["sha256"]:
            raise DeskhandError(Code.CONFLICT, "the bytes are not what was announced")
        if not overwrite and os.path.lexists(target):
            raise DeskhandError(Code.CONFLICT, f"{target} is there already, --force replaces it", field="--to")
    return target


def safe_name(name: str) -> str:
    """Return a name that means a file in one directory and nothing else (UP-03, FS-05).

    Raises:
        DeskhandError: ``path_refused``.
    """
    fits = _PLAIN_NAME.fullmatch(name) and plain(name) == name and len(name.encode()) <= _NAME_BYTES_MAX
    if not fits or PureWindowsPath(name).is_reserved():
        raise DeskhandError(Code.PATH_REFUSED, plain(name)[:80])
    return name


def approve(
    name: str, *, once: bool = False, for_task: bool = False, always: bool = False, reason: str | None = None
) -> int:
    """Let it happen."""
    if once + for_task + always > 1:
        raise typer.BadParameter("--once | --task | --always")
    return _decide(name, "allow", "task" if for_task else "always" if always else "once", reason)


def deny(name: str, *, reason: str | None = None) -> int:
    """Do not let it happen."""
    return _decide(name, "deny", "once", reason)


def answer(name: str, text: str) -> int:
    """Answer a question."""
    hub = client()
    body = {"question": _only_wait(hub, name, "question"), "answer": from_stdin(text)}
    return speak.done(hub.op("question.answer", body), "answer.done")


def steer(name: str, text: str) -> int:
    """Give guidance to a task under way."""
    result = client().op("message.post", {"text": from_stdin(text), "as": "steer", "to": name})
    return speak.done(result, "steer.done")


def cancel(name: str) -> int:
    """End a task."""
    return speak.done(client().op("task.cancel", task=name), "cancel.done")


def pause(name: str) -> int:
    """Stop a task for now."""
    return speak.done(client().op("task.pause", task=name), "pause.done")


def resume(name: str) -> int:
    """Let a task go on."""
    return speak.done(client().op("task.resume", task=name), "resume.done")


def retry(name: str) -> int:
    """Begin a finished task again, as a new one."""
    result = client().op("task.retry", task=name)
    return speak.answer(result, str(result["task"]))


def choose(name: str, suggestion: str) -> int:
    """Run a suggested command instead of waiting for a model."""
    from deskhand.protocol.wire import sha256_of

    hub = client()
    for one in hub.one("tasks", name).get("suggestions", []):
        if one["id"] == suggestion:  # bound to exactly what stands in this very object
            body = {"suggestion": suggestion, "preview_sha256": sha256_of({**one, "preview_sha256": ""})}
            return speak.done(hub.op("task.run_as", body, task=name), "choose.done")
    raise DeskhandError(Code.NOT_FOUND, suggestion, field="SUGGESTION")


def undo(name: str, *, turn: int | None = None, force: bool = False, yes: bool = False) -> int:
    """Take back what a task did to files."""
    hub, op = client(), new_op_id()
    task, root = hub.one("tasks", name), _kept(name)[1]
    if not (root or sum(task["changes"].values())):
        return speak.answer(task, speak.say("undo.nothing"))
    place = place_of(hub, root, None, op) if root else {key: task.get(key) for key in ("folder", "runner", "mode")}
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


def _decide(name: str, decision: str, scope: str, reason: str | None) -> int:
    result = decided(name, decision, scope, reason)
    return Exit.INTERRUPTED if result is None else speak.done(result, f"approve.{decision}")


def decided(name: str, decision: str, scope: str, reason: str | None = None, *, careful: bool = False) -> Obj | None:
    """Show an approval and decide it; a person at the terminal who is asked whether they are sure may let it be."""
    from deskhand.protocol.wire import sha256_of

    hub = client()
    named = _only_wait(hub, name, "approval")
    approval = hub.one("approvals", named)
    _show_approval(approval)
    shown = sha256_of(approval["action"])
    if shown != approval["action_sha256"]:
        raise DeskhandError(Code.ACTION_CHANGED, field="action_sha256")
    high = decision == "allow" and approval["risk"] == "high" and approval["state"] == "open"
    sure = speak.say("approve.sure" if high else "undo.sure")
    if (high or careful) and not speak.confirm(sure, default=not speak.asks):
        return None
    body: Obj = {"approval": named, "decision": decision, "scope": scope, "action_sha256": shown, "reason": reason}
    try:
        return hub.op("approval.decide", body)
    except Refusal as refusal:
        if refusal.failure["code"] != Code.SIGNATURE_NEEDED:
            raise
        from deskhand.protocol import signing

        said = signing.approval_statement(approval, decision="allow", scope=scope, **owner())
        return hub.op("approval.decide", body | signing.sign(signing.APPROVAL, said, signing_key()).to_json())


def _only_wait(hub: Client, name: str, kind: str) -> str:
    """Return what is named, or the one open approval or question of a task; else ``illegal_state``."""
    if not name.startswith("tsk_"):
        return name
    waits = cast("list[Obj]", hub.one("tasks", name).get("waiting_for", []))
    names = [str(one["id"]) for one in waits if one["kind"] == kind]
    if len(names) != 1:
        detail = ", ".join(names) or speak.say("decide.nothing_open")
        raise DeskhandError(Code.ILLEGAL_STATE, detail, field="ID")
    return names[0]


def _show_approval(approval: Obj) -> None:
    """Print what an approval is about: the sentence, exactly what would run, and its hash."""
    action = cast("Obj", approval["action"])
    risk = speak.say("approval.risk", risk=speak.say(f"risk.{approval['risk']}"), tool=action["tool"])
    told = [key for key in ("why", "pattern") if approval.get(key)]
    lines = (f"  {speak.say(f'approval.{key}', **{key: approval[key]})}" for key in told)
    speak.out(speak.say("approval.sentence", sentence=approval["sentence"]), risk, *lines)
    if action.get("argv"):
        speak.out("  " + speak.say("approval.command", argv=shlex.join(map(str, action["argv"]))))
    for key, value in sorted(cast("Obj", action["arguments"]).items()):
        first, *more = str(value).splitlines() or [""]
        speak.out(f"  {one_line(key)} =" + ("" if more else f" {first}"))
        _quote([first, *more] if more else [])
    named = [key for key in ("folder", "target", "identity") if action.get(key)]
    speak.out(*(f"  {speak.say(f'approval.{key}')}: {action[key]}" for key in named))
    _quote(str(action.get("preview") or "").splitlines())
    speak.out(f"  SHA-256 {approval['action_sha256']}")
    if approval["state"] != "open":
        said = {"decided_by": "–", "decided_at": "–", **approval}
        said["said"] = speak.say(f"approval.{approval['state']}")
        speak.out(speak.say("approval.decided", **said))


def _quote(lines: list[str]) -> None:
    """Print a long text behind a rule, so that no line of it can pass for one of ours."""
    speak.out(*(f"  │ {line}" for line in lines))


def _show_task(hub: Client, task: Obj) -> None:
    told = dict.fromkeys(("runner", "folder", "mode"), "–") | task
    told = {name: one_line(value) for name, value in told.items()}
    criteria = [f"  • {one_line(criterion)}" for criterion in task.get("criteria", [])]
    plan = follow.plan_lines(task.get("plan", []))
    speak.out(speak.say("show.head", **told), *plan, *criteria)
    if task.get("model_used"):
        used = {"amount": "?", "currency": "USD", **task["usage"], **task["usage"].get("money", {})}
        tokens = used.pop("input_tokens") + used.pop("output_tokens")
        speak.out(speak.say("show.used", tokens=tokens, model=task["model_used"], **used))
    if task.get("now_doing"):
        speak.out(speak.say("show.now", **told))
    speak.out(*(follow.check_line(check)[0] for check in task.get("checks", [])))
    follow.show_outcome(task)
    for waiting in task.get("waiting_for", []):
        if waiting["kind"] == "approval":
            _show_approval(hub.one("approvals", waiting["id"]))


def _show_changes(hub: Client, task: Obj) -> None:
    """Print the diff where the files are: on the computer that worked."""
    from deskhand.tools.changing import Plan

    counted = {"created": 0, "changed": 0, "deleted": 0} | task.get("changes", {})
    speak.out(speak.say("show.counted", **counted))
    name, (kept, root) = str(task["id"]), _kept(task["id"])
    if root is not None:
        with closing(kept.open(Path(root), task=name)) as folder:
            speak.out(Plan(folder, kept.of(name)).pictured(speak.language, forwards=True))
    elif sum(counted.values()):
        where = {one["id"]: one["name"] for one in hub.items("/v1/runners")}
        speak.out(speak.say("show.elsewhere", name=where.get(task.get("runner"), "–")))


def _kept(task: str) -> tuple[Checkpoints, str | None]:
    """Return what is kept here of files that tasks changed, and where this one changed something on this computer."""
    from deskhand.tools.undo.keeping import CHECKPOINTS, Checkpoints

    kept = Checkpoints(place=home() / CHECKPOINTS, most=lambda: 0)
    changes = kept.of(task).changes()
    return kept, changes[-1].root if changes else None


def _watch_task(hub: Client, name: str, *, after: int | None, limit: float | None) -> int:
    task, cursor = hub.one("tasks", name), after or 0
    show = speak.result if speak.json else follow.show_event
    if after is None:
        for event in hub.one("threads", task["thread"], "/events", limit=LIST_LIMIT)["items"]:
            cursor = max(cursor, int(event["seq"]))
            if event.get("task") == name:
                show(event)
    if task["state"] not in follow.FINAL:
        task, in_time = follow.follow_task(hub, name, after=cursor, seconds=limit, show=show, also_when_stuck=False)
        if not in_time:
            return Exit.TIMEOUT
    follow.show_outcome(task)
    return follow.exit_code(task)


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

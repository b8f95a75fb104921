"""Looking and deciding: ``status ls show watch get``, ``approve deny answer steer cancel pause resume retry``.

Everything is read from the hub when it is asked for. A yes is bound to what was shown: the hash is computed here, from
the very object that was printed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path, PureWindowsPath
from typing import Final, cast

import typer

from deskhand.cli import follow
from deskhand.cli.client import LIST_LIMIT, Client, client, home
from deskhand.cli.flags import from_stdin, seconds, t
from deskhand.cli.screen import Exit, Obj, Refusal, link_line, model_line, one_line, plain, speak
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import replacing

_STATES: Final = {"queued", "working", "input_required", "verifying", "paused", *follow.FINAL}
_PLAIN_NAME: Final = re.compile(r'(?![\s.~-])[^/\\:*?"<>|\n\t]+(?<![\s.])')
_NAME_BYTES_MAX: Final = 255
_TASK: Final = ("id", follow.standing, "created_at", "title")
"""How a task stands in a list."""
_REQUEST: Final = ("at", "via", "method", "host", "path", "bytes_out", "bytes_in", "ended")
"""What is told of what a task asked of the internet, as this computer wrote it down."""


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
    hub, limit = client(), None if timeout is None else seconds(timeout)
    if name is not None:
        return _watch_task(hub, name, after=after, limit=limit)
    cursor = hub.get("/v1/snapshot")["cursor"] if after is None else after
    for event in follow.events_of(hub, cursor, seconds=limit):
        what, at = cast("Obj", event["body"]), str(event["at"])[11:19]
        said = what.get("text") or what.get("title") or what.get("summary") or ""
        line = f"{event['seq']}  {at}  {event['kind']}  {event.get('task') or ''}  "
        speak.answer(event, (line + one_line(said, most=100)).rstrip())
    return Exit.TIMEOUT


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
    hub = client()
    task = hub.one("tasks", name)
    return speak.done(follow.choose(hub, task, suggestion), "choose.done")


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
    body: Obj = {"approval": named, "decision": decision, "scope": scope, "action_sha256": shown}
    body |= {"reason": reason} if reason else {}
    try:
        return hub.op("approval.decide", body)
    except Refusal as refusal:
        if refusal.failure["code"] != Code.SIGNATURE_NEEDED:
            raise
        from deskhand.cli.signing import signed_yes

        return hub.op("approval.decide", body | signed_yes(approval, scope))


def _only_wait(hub: Client, name: str, kind: str) -> str:
    """Return what is named, or the one open approval or question of a task; else ``illegal_state``."""
    if not name.startswith("tsk_"):
        return name
    waits = cast("list[Obj]", hub.one("tasks", name).get("waiting_for", []))
    names = [str(one["id"]) for one in waits if one["kind"] == kind]
    if len(names) != 1:
        detail = ", ".join(names) or t("decide.nothing_open")
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
    from deskhand.cli.taken_back import changes_of

    counted = {"created": 0, "changed": 0, "deleted": 0} | task.get("changes", {})
    speak.out(speak.say("show.counted", **counted))
    if (shown := changes_of(str(task["id"]))) is not None:
        speak.out(shown)
    elif sum(counted.values()):
        where = {one["id"]: one["name"] for one in hub.items("/v1/runners")}
        speak.out(speak.say("show.elsewhere", name=where.get(task.get("runner"), "–")))


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

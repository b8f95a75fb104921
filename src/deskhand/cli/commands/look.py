"""Looking: ``status ls show watch get``. Everything is read from the hub when it is asked for."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, cast

import typer

from deskhand.cli.client import LIST_LIMIT, Client, quoted
from deskhand.cli.flags import add_commands, seconds, t
from deskhand.cli.follow import (
    FINAL,
    check_line,
    events_of,
    exit_code,
    follow_task,
    plan_lines,
    show_event,
    show_outcome,
    standing,
)
from deskhand.cli.home import client
from deskhand.cli.screen import Exit, Obj, one_line, speak
from deskhand.errors import Code, DeskhandError

_OPEN = ("queued", "working", "input_required", "verifying", "paused")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    add_commands(app, "tasks", status, ls, show, watch, get)


def status() -> int:
    """Say what is going on."""
    hub = client()
    version, found = hub.get("/v1/version"), hub.get("/v1/snapshot")
    tasks = [task for task in found["tasks"] if task["state"] not in FINAL]
    links = {link["runner"]: link for link in found["presence"]}
    computers = [
        {
            "id": runner["id"],
            "name": runner["name"],
            "connected": bool(link.get("connected")),
            "link": link.get("state"),
            **{name: link.get(name) for name in ("seen_at", "slept_seconds", "woke_at")},
            "models": runner.get("models", []),
            "sandbox": runner.get("sandbox"),
        }
        for runner in found["runners"]
        for link in [links.get(runner["id"], {})]
    ]
    speak.out(speak.say("status.hub", url=hub.url, version=version["version"]))
    for one in computers:
        speak.out(speak.say("status.runner", name=one["name"], link=link_line(one)))
        if not one["models"]:
            speak.out(speak.say("status.no_model"))
    if not computers:
        speak.out(speak.say("status.no_runner"))
    waits = len(found["approvals"]) + len(found["questions"])
    speak.out(speak.say("status.counts", tasks=len(tasks), waiting=waits))
    speak.table(map(_row, tasks))
    waiting = {"approvals": found["approvals"], "questions": found["questions"]}
    answer = {"hub": hub.url, **version, "runners": computers, "tasks": tasks}
    return speak.answer({**answer, **waiting})


def ls(
    *,
    everything: Annotated[bool, typer.Option("--all", help=t("ls.all"))] = False,
    thread: Annotated[str | None, typer.Option(help=t("ls.thread"))] = None,
    state: Annotated[list[str] | None, typer.Option(help=t("ls.state"))] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help=t("ls.limit"))] = 50,
) -> int:
    """List tasks."""
    wrong = set(state or ()) - {*_OPEN, *FINAL}
    if wrong:
        raise typer.BadParameter(f"--state: {' | '.join((*_OPEN, *sorted(FINAL)))}")
    found = client().items("/v1/tasks", most=limit, thread=thread, state=state)
    tasks = [task for task in found if everything or not task.get("archived")]
    return speak.listed(tasks, _row, none="ls.none")


def show(
    name: Annotated[str, typer.Argument(metavar="ID", help=t("show.id"))],
    *,
    changes: Annotated[bool, typer.Option("--changes", help=t("show.changes"))] = False,
) -> int:
    """Show a task or an approval."""
    hub = client()
    approval = name.startswith("apr_")
    found = hub.get(f"/v1/{'approvals' if approval else 'tasks'}/{quoted(name)}")
    if speak.json:
        speak.result(found)
    elif approval:
        show_approval(found)
    elif changes:
        _show_changes(found)
    else:
        _show_task(hub, found)
    return Exit.DONE


def watch(
    name: Annotated[str | None, typer.Argument(metavar="[ID]", help=t("watch.id"))] = None,
    *,
    after: Annotated[int | None, typer.Option(min=0, help=t("watch.after"))] = None,
    timeout: Annotated[str | None, typer.Option(help=t("do.timeout"))] = None,
) -> int:
    """Print events as they come; of one task until it ends."""
    hub, limit = client(), None if timeout is None else seconds(timeout)
    if name is not None:
        return _watch_task(hub, name, after=after, limit=limit)
    cursor = hub.get("/v1/snapshot")["cursor"] if after is None else after
    for event in events_of(hub, cursor, seconds=limit):
        what, at = cast("Obj", event["body"]), str(event["at"])[11:19]
        said = what.get("text") or what.get("title") or what.get("summary") or ""
        line = f"{event['seq']}  {at}  {event['kind']}  {event.get('task') or ''}  "
        speak.answer(event, (line + one_line(said, most=100)).rstrip())
    return Exit.TIMEOUT


def get(
    name: Annotated[str, typer.Argument(metavar="ID", help=t("get.id"))],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=t("get.name"))
    ] = None,
    *,
    to: Annotated[Path, typer.Option("--to", help=t("get.to"))] = Path(),
    force: Annotated[bool, typer.Option("--force", help=t("get.force"))] = False,
) -> int:
    """Download results."""
    from deskhand.cli.fetching import fetch

    hub = client()
    if name.startswith("art_"):
        wanted = [hub.get(f"/v1/artifacts/{quoted(name)}")]
    else:
        artifacts = cast("list[Obj]", hub.get(f"/v1/tasks/{quoted(name)}").get("artifacts", []))
        wanted = [one for one in artifacts if not files or {one["name"], one["id"]} & set(files)]
        missing = set(files or ()) - {one["name"] for one in wanted} - {one["id"] for one in wanted}
        if missing:
            raise DeskhandError(Code.NOT_FOUND, ", ".join(sorted(missing)), field="NAME")
    fetched: list[Obj] = []
    for artifact in wanted:
        path = fetch(hub, artifact, to, overwrite=force)
        fetched.append({"id": artifact["id"], "path": str(path), "sha256": artifact["sha256"]})
        speak.out(str(path))
    if not (fetched or speak.json):
        speak.note(speak.say("get.none"))
    return speak.answer({"items": fetched})


def show_approval(approval: Obj) -> None:
    """Print what an approval is about: the sentence, exactly what would run, and its hash."""
    action = cast("Obj", approval["action"])
    speak.out(speak.say("approval.sentence", sentence=approval["sentence"]))
    risk = speak.say(f"risk.{approval['risk']}")
    speak.out(speak.say("approval.risk", risk=risk, tool=action["tool"]))
    if action.get("argv"):
        speak.out("  " + speak.say("approval.command", argv=shlex.join(map(str, action["argv"]))))
    for key, value in sorted(cast("Obj", action["arguments"]).items()):
        _show_value(key, value)
    for key in ("folder", "target", "identity"):
        if action.get(key):
            speak.out(f"  {speak.say(f'approval.{key}')}: {action[key]}")
    for line in str(action.get("preview") or "").splitlines():
        speak.out(f"  │ {line}")
    speak.out(f"  SHA-256 {approval['action_sha256']}")
    if approval["state"] != "open":
        state = speak.say(f"approval.{approval['state']}")
        by, at = approval.get("decided_by") or "–", approval.get("decided_at") or "–"
        speak.out(speak.say("approval.decided", state=state, by=by, at=at))


def _show_value(key: str, value: object) -> None:
    """Print an argument; a long text behind a rule, so that no line of it can pass for one of ours."""
    lines = str(value).splitlines() or [""]
    if len(lines) == 1:
        speak.out(f"  {one_line(key)} = {lines[0]}")
        return
    speak.out(f"  {one_line(key)} =")
    for line in lines:
        speak.out(f"  │ {line}")


def link_line(computer: Obj) -> str:
    """Say how a computer's link stands: connected, or why not and since when; and how it slept last."""
    state, seen = computer.get("link"), computer.get("seen_at") or "–"
    line = speak.say(f"link.{state}", seen=seen) if state else speak.say("link.unseen")
    if state == "up" and computer.get("slept_seconds"):
        hours, minutes = divmod(int(computer["slept_seconds"]) // 60, 60)
        slept = speak.say("link.slept", hours=hours, minutes=minutes, at=computer["woke_at"])
        return f"{line} ({slept})"
    return line


def _row(task: Obj) -> tuple[object, ...]:
    at = str(task["created_at"])[:16].replace("T", " ")
    return task["id"], standing(task), at, one_line(task["title"], most=80)


def _show_task(hub: Client, task: Obj) -> None:
    title = one_line(task["title"])
    speak.out(speak.say("show.head", title=title, id=task["id"], thread=task["thread"]))
    who = {name: task.get(name) or "–" for name in ("agent", "runner", "folder", "mode")}
    speak.out(speak.say("show.who", **who))
    criteria = [f"  • {one_line(criterion)}" for criterion in task.get("criteria", [])]
    for line in (*plan_lines(task.get("plan", [])), *criteria):
        speak.out(line)
    if task.get("now_doing"):
        speak.out(speak.say("show.now", what=one_line(task["now_doing"])))
    for check in task.get("checks", []):
        speak.out(check_line(check)[0])
    show_outcome(task)
    for waiting in task.get("waiting_for", []):
        if waiting["kind"] == "approval":
            show_approval(hub.get(f"/v1/approvals/{quoted(waiting['id'])}"))


def _show_changes(task: Obj) -> None:
    counted = {"created": 0, "changed": 0, "deleted": 0} | task.get("changes", {})
    speak.out(speak.say("show.counted", **counted))
    for artifact in task.get("artifacts", []):
        speak.out(f"+ {artifact['path']}  {artifact['size']} B  {str(artifact['sha256'])[:12]}")


def _watch_task(hub: Client, name: str, *, after: int | None, limit: float | None) -> int:
    task, cursor = hub.get(f"/v1/tasks/{quoted(name)}"), after or 0
    show = speak.result if speak.json else show_event
    if after is None:
        path = f"/v1/threads/{quoted(task['thread'])}/events"
        for event in hub.get(path, limit=LIST_LIMIT)["items"]:
            cursor = max(cursor, int(event["seq"]))
            if event.get("task") == name:
                show(event)
    if task["state"] not in FINAL:
        task, in_time = follow_task(
            hub, name, after=cursor, seconds=limit, show=show, also_when_stuck=False
        )
        if not in_time:
            return Exit.TIMEOUT
    show_outcome(task)
    return exit_code(task)

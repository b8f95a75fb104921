"""Looking: ``status ls show watch get``. Everything is read from the hub when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated, cast

import typer

from deskhand.cli.client import Client, quoted
from deskhand.cli.flags import command, seconds, t
from deskhand.cli.follow import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_TIMEOUT,
    FINAL,
    events_of,
    exit_code,
    show_event,
    show_outcome,
)
from deskhand.cli.home import client
from deskhand.cli.screen import Obj, Screen, one_line, screen
from deskhand.errors import Code, DeskhandError

_OPEN = ("queued", "working", "input_required", "verifying", "paused")
_HISTORY = 500


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for function in (status, ls, show, watch, get):
        command(app, function.__name__, panel="tasks")(function)


def status() -> int:
    """Say what is going on."""
    hub, speak = client(), screen()
    version, found = hub.get("/v1/version"), hub.get("/v1/snapshot")
    tasks = [task for task in found["tasks"] if task["state"] not in FINAL]
    links = {link["runner"]: link for link in found["presence"]}
    computers = [
        {
            "id": runner["id"],
            "name": runner["name"],
            "connected": bool(links.get(runner["id"], {}).get("connected")),
            "seen_at": links.get(runner["id"], {}).get("seen_at"),
            "models": runner.get("models", []),
            "sandbox": runner.get("sandbox"),
        }
        for runner in found["runners"]
    ]
    if speak.json:
        answer = {"hub": hub.access.url, **version, "runners": computers, "tasks": tasks}
        speak.result({**answer, "approvals": found["approvals"], "questions": found["questions"]})
        return EXIT_DONE
    speak.out(speak.say("status.hub", url=hub.access.url, version=version["version"]))
    for one in computers:
        key = "status.runner_on" if one["connected"] else "status.runner_off"
        speak.out(speak.say(key, name=one["name"], seen=one["seen_at"] or "–"))
        if not one["models"]:
            speak.out(speak.say("status.no_model"))
    if not computers:
        speak.out(speak.say("status.no_runner"))
    speak.out(
        speak.say(
            "status.counts",
            tasks=len(tasks),
            waiting=len(found["approvals"]) + len(found["questions"]),
        )
    )
    _rows(speak, tasks)
    return EXIT_DONE


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
    hub, speak = client(), screen()
    found = hub.items("/v1/tasks", most=limit, thread=thread, state=state)
    tasks = [task for task in found if everything or not task.get("archived")]
    if speak.json:
        speak.result({"items": tasks})
    else:
        _rows(speak, tasks)
        if not tasks:
            speak.note(speak.say("ls.none"))
    return EXIT_DONE


def show(
    name: Annotated[str, typer.Argument(metavar="ID", help=t("show.id"))],
    *,
    changes: Annotated[bool, typer.Option("--changes", help=t("show.changes"))] = False,
) -> int:
    """Show a task or an approval."""
    hub, speak = client(), screen()
    if name.startswith("apr_"):
        approval = hub.get(f"/v1/approvals/{quoted(name)}")
        if speak.json:
            speak.result(approval)
        else:
            show_approval(speak, approval)
        return EXIT_DONE
    task = hub.get(f"/v1/tasks/{quoted(name)}")
    if speak.json:
        speak.result(task)
    elif changes:
        _show_changes(speak, task)
    else:
        _show_task(hub, speak, task)
    return EXIT_DONE


def watch(
    name: Annotated[str | None, typer.Argument(metavar="[ID]", help=t("watch.id"))] = None,
    *,
    after: Annotated[int | None, typer.Option(min=0, help=t("watch.after"))] = None,
    timeout: Annotated[str | None, typer.Option(help=t("do.timeout"))] = None,
) -> int:
    """Print events as they come; of one task until it ends."""
    hub, speak = client(), screen()
    ends = None if timeout is None else monotonic() + seconds(timeout)
    try:
        if name is None:
            cursor = hub.get("/v1/snapshot")["cursor"] if after is None else after
            for event in events_of(hub, cursor, until=_left(ends)):
                _print(speak, event, of=None)
            return EXIT_TIMEOUT
        return _watch_task(hub, speak, name, after=after, ends=ends)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


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

    hub, speak = client(), screen()
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
        if not speak.json:
            speak.out(str(path))
    if speak.json:
        speak.result({"items": fetched})
    elif not fetched:
        speak.note(speak.say("get.none"))
    return EXIT_DONE


def show_approval(speak: Screen, approval: Obj) -> None:
    """Print what an approval is about: the sentence, exactly what would run, and its hash."""
    action = cast("Obj", approval["action"])
    speak.out(speak.say("approval.sentence", sentence=approval["sentence"]))
    speak.out(
        speak.say("approval.risk", risk=speak.say(f"risk.{approval['risk']}"), tool=action["tool"])
    )
    if action.get("argv"):
        speak.out("  " + speak.say("approval.command", argv=" ".join(map(_shell, action["argv"]))))
    for key, value in sorted(cast("Obj", action["arguments"]).items()):
        _show_value(speak, key, value)
    for key in ("folder", "target", "identity"):
        if action.get(key):
            speak.out(f"  {speak.say(f'approval.{key}')}: {action[key]}")
    for line in str(action.get("preview") or "").splitlines():
        speak.out(f"  │ {line}")
    speak.out(f"  SHA-256 {approval['action_sha256']}")
    if approval["state"] != "open":
        speak.out(
            speak.say(
                "approval.decided",
                state=speak.say(f"approval.{approval['state']}"),
                by=approval.get("decided_by") or "–",
                at=approval.get("decided_at") or "–",
            )
        )


def _show_value(speak: Screen, key: str, value: object) -> None:
    """Print an argument; a long text behind a rule, so that no line of it can pass for one of ours."""
    lines = str(value).splitlines() or [""]
    if len(lines) == 1:
        speak.out(f"  {one_line(key)} = {lines[0]}")
        return
    speak.out(f"  {one_line(key)} =")
    for line in lines:
        speak.out(f"  │ {line}")


def _shell(word: object) -> str:
    import shlex

    return shlex.quote(str(word))


def _rows(speak: Screen, tasks: list[Obj]) -> None:
    speak.table(
        [
            (
                task["id"],
                speak.say(f"verdict.{task['verdict']}")
                if task.get("verdict")
                else speak.say(f"state.{task['state']}"),
                str(task["created_at"])[:16].replace("T", " "),
                one_line(task["title"], most=80),
            )
            for task in tasks
        ]
    )


def _show_task(hub: Client, speak: Screen, task: Obj) -> None:
    speak.out(
        speak.say("show.head", title=one_line(task["title"]), id=task["id"], thread=task["thread"])
    )
    speak.out(
        speak.say(
            "show.who",
            agent=task["agent"],
            runner=task.get("runner") or "–",
            folder=task.get("folder") or "–",
            mode=task.get("mode") or "–",
        )
    )
    for item in task.get("plan", []):
        speak.out(f"  [{'x' if item.get('done') else ' '}] {one_line(item['text'])}")
    for criterion in task.get("criteria", []):
        speak.out(f"  • {one_line(criterion)}")
    if task.get("now_doing"):
        speak.out(speak.say("show.now", what=one_line(task["now_doing"])))
    for check in task.get("checks", []):
        mark = "✓" if check["passed"] else "✗"
        speak.out(f"  {mark} {one_line(check['name'])} – {one_line(check.get('evidence', ''))}")
    show_outcome(speak, task)
    for waiting in task.get("waiting_for", []):
        if waiting["kind"] == "approval":
            show_approval(speak, hub.get(f"/v1/approvals/{quoted(waiting['id'])}"))


def _show_changes(speak: Screen, task: Obj) -> None:
    counted = task.get("changes", {})
    speak.out(
        speak.say(
            "show.counted",
            created=counted.get("created", 0),
            changed=counted.get("changed", 0),
            deleted=counted.get("deleted", 0),
        )
    )
    for artifact in task.get("artifacts", []):
        speak.out(f"+ {artifact['path']}  {artifact['size']} B  {str(artifact['sha256'])[:12]}")


def _watch_task(
    hub: Client, speak: Screen, name: str, *, after: int | None, ends: float | None
) -> int:
    task = hub.get(f"/v1/tasks/{quoted(name)}")
    cursor = after or 0
    if after is None:
        path = f"/v1/threads/{quoted(task['thread'])}/events"
        for event in hub.get(path, limit=_HISTORY)["items"]:
            _print(speak, event, of=name)
            cursor = max(cursor, int(event["seq"]))
    if task["state"] not in FINAL:
        for event in events_of(hub, cursor, until=_left(ends)):
            _print(speak, event, of=name)
            if event and event.get("task") == name and event["kind"] == "task.finished":
                break
        else:
            return EXIT_TIMEOUT
        task = hub.get(f"/v1/tasks/{quoted(name)}")
    if not speak.json:
        show_outcome(speak, task)
    return exit_code(task)


def _print(speak: Screen, event: Obj | None, *, of: str | None) -> None:
    if event is None or of not in {None, event.get("task")}:
        return
    if speak.json:
        speak.result(event)
    elif of is None:
        what = cast("Obj", event["body"])
        said = what.get("text") or what.get("title") or what.get("summary") or ""
        speak.out(
            f"{event['seq']}  {str(event['at'])[11:19]}  {event['kind']}  {event.get('task') or ''}  {one_line(said, most=100)}".rstrip()
        )
    else:
        show_event(speak, event)


def _left(ends: float | None) -> Callable[[], float | None]:
    return lambda: None if ends is None else ends - monotonic()

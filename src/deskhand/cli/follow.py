"""Following work: events become lines, and the task object says when there is nothing more to wait for.

The lines are for people; what is decided here is decided by the task as the hub has it. A hub that goes away for a
while is waited for: the work goes on without us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic, sleep  # noqa: TID251 - a plain program that waits for its hub
from typing import Final, Literal, cast

from deskhand.cli.client import Client, quoted
from deskhand.cli.screen import Obj, Screen, one_line
from deskhand.errors import Code, DeskhandError

FINAL: Final = frozenset({"completed", "failed", "canceled"})
_POLL_SECONDS: Final = 25.0
_AWAY_SECONDS_MAX: Final = 60.0
_AGAIN_SECONDS: Final = 0.5
_LOOK_KINDS: Final = ("task.", "approval.", "question.")

EXIT_DONE, EXIT_ERROR, EXIT_USAGE, EXIT_FAILED, EXIT_WAITS = 0, 1, 2, 3, 4
EXIT_CANCELED, EXIT_UNVERIFIED, EXIT_TIMEOUT, EXIT_INTERRUPTED = 5, 6, 7, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When following ends: how long at most, and whether also at what only a person or a model can move on."""

    seconds: float | None = None
    also_when_stuck: bool = True


def events_of(
    client: Client, after: int, *, until: Callable[[], float | None]
) -> Iterator[Obj | None]:
    """Yield events as they come, and nothing after each page, until time is up.

    Args:
        client: who asks.
        after: the cursor.
        until: how many seconds are left; ``None`` for no end.

    Raises:
        DeskhandError: ``hub_unreachable`` when it stays away.
    """
    cursor, away_since = after, None
    while True:
        left = until()
        if left is not None and left <= 0:
            return
        try:
            page = client.events(
                cursor, wait=_POLL_SECONDS if left is None else min(left, _POLL_SECONDS)
            )
        except DeskhandError as error:
            now = monotonic()
            away_since = away_since or now
            if error.code is not Code.HUB_UNREACHABLE or now - away_since > _AWAY_SECONDS_MAX:
                raise
            sleep(_AGAIN_SECONDS)
            continue
        away_since = None
        yield from cast("list[Obj]", page["events"])
        cursor = int(page["next"])
        yield None
        if not page["events"] and left is not None and left < 1:
            sleep(min(left, _AGAIN_SECONDS))


def follow_task(
    client: Client, screen: Screen, name: str, *, after: int, until: Until
) -> tuple[Obj, Literal["final", "stuck", "timeout"]]:
    """Print a task's progress until it ends, is stuck or time is up; return it as the hub has it then."""
    ends = None if until.seconds is None else monotonic() + until.seconds
    look = True
    task: Obj = {}
    for event in events_of(
        client, after, until=lambda: None if ends is None else ends - monotonic()
    ):
        if event is not None:
            if event.get("task") == name:
                show_event(screen, event)
                look = look or str(event["kind"]).startswith(_LOOK_KINDS)
            continue
        if look:
            task, look = client.get(f"/v1/tasks/{quoted(name)}"), False
            if task["state"] in FINAL:
                return task, "final"
            if until.also_when_stuck and stuck(task):
                return task, "stuck"
    return client.get(f"/v1/tasks/{quoted(name)}"), "timeout"


def stuck(task: Obj) -> bool:
    """Whether only a person or a model can move the task on."""
    if task["state"] == "paused":
        return True
    if task["state"] == "queued":
        return task.get("reason") == "no_model"
    waits = {str(one["kind"]) for one in task.get("waiting_for", [])}
    return task["state"] == "input_required" and bool(waits - {"children"})


def exit_code(task: Obj, *, require_verified: bool = False) -> int:
    """Return what a script learns from a task."""
    state, verdict = task["state"], task.get("verdict")
    if state == "completed":
        return EXIT_UNVERIFIED if require_verified and verdict != "verified" else EXIT_DONE
    if state == "failed":
        return EXIT_FAILED
    if state == "canceled":
        return EXIT_CANCELED
    return EXIT_WAITS if stuck(task) else EXIT_DONE


def show_event(screen: Screen, event: Obj) -> None:
    """Print one event as progress, if it means something to a person."""
    line = _LINES.get(str(event["kind"]))
    if line is not None:
        shown = line(screen, cast("Obj", event["body"]))
        if shown is not None:
            said, style = shown
            screen.note(said, style)


_Line = Callable[[Screen, Obj], tuple[str, str] | None]


def _queued(screen: Screen, body: Obj) -> tuple[str, str] | None:
    reason = body.get("reason")
    return (screen.say(f"reason.{reason}"), "dim") if reason else None


def _step_finished(screen: Screen, body: Obj) -> tuple[str, str] | None:
    if body["outcome"] == "ok":
        return None
    said = screen.say(
        "event.step_ended",
        step=body["step"],
        outcome=screen.say(f"outcome.{body['outcome']}"),
        why=one_line(body.get("summary", "")),
    )
    return said, "bad"


def _checked(_: Screen, body: Obj) -> tuple[str, str] | None:
    check = cast("Obj", body["check"])
    passed = bool(check["passed"])
    line = f"  {'✓' if passed else '✗'} {check['name']}"
    evidence = one_line(check.get("evidence", ""), most=100)
    return (f"{line} – {evidence}" if evidence else line), "good" if passed else "bad"


def _plan(_: Screen, body: Obj) -> tuple[str, str] | None:
    items = cast("list[Obj]", body["items"])
    lines = [f"  [{'x' if item.get('done') else ' '}] {one_line(item['text'])}" for item in items]
    return ("\n".join(lines), "dim") if lines else None


def _approval(screen: Screen, body: Obj) -> tuple[str, str] | None:
    approval = cast("Obj", body["approval"])
    said = screen.say("event.approval", sentence=approval["sentence"], id=approval["id"])
    return said, "ask"


def _question(screen: Screen, body: Obj) -> tuple[str, str] | None:
    question = cast("Obj", body["question"])
    choices = " / ".join(str(choice) for choice in question.get("choices", []))
    asked = f"{question['text']} ({choices})" if choices else question["text"]
    return screen.say("event.question", text=asked, id=question["task"]), "ask"


def _message(_: Screen, body: Obj) -> tuple[str, str] | None:
    return (str(body["text"]), "") if body["role"] == "agent" else None


def _moved(screen: Screen, body: Obj) -> tuple[str, str] | None:
    state = str(body["state"])
    return (screen.say(f"state.{state}"), "dim") if state == "verifying" else None


_LINES: Final[dict[str, _Line]] = {
    "task.queued": _queued,
    "task.assigned": lambda screen, _: (screen.say("event.assigned"), "dim"),
    "task.accepted": lambda screen, _: (screen.say("event.accepted"), "dim"),
    "task.moved": _moved,
    "task.paused": lambda screen, _: (screen.say("state.paused"), "ask"),
    "task.resumed": lambda screen, _: (screen.say("event.resumed"), "dim"),
    "step.started": lambda _, body: (f"  · {body['step']} {one_line(body['title'])}", "dim"),
    "step.finished": _step_finished,
    "plan.updated": _plan,
    "approval.requested": _approval,
    "approval.decided": lambda screen, body: (screen.say(f"event.{body['decision']}"), "dim"),
    "question.asked": _question,
    "check.finished": _checked,
    "artifact.created": lambda _, body: (f"  + {one_line(body['artifact']['name'])}", ""),
    "message.posted": _message,
}


def show_outcome(screen: Screen, task: Obj) -> None:
    """Print how a task stands, as the result."""
    state = str(task["state"])
    word = (
        screen.say(f"verdict.{task['verdict']}")
        if task.get("verdict")
        else screen.say(f"state.{state}")
    )
    screen.out(f"{word}  {one_line(task.get('summary') or task['title'])}")
    for reason in task.get("not_done_because", []):
        screen.out(f"  – {one_line(reason)}")
    for artifact in task.get("artifacts", []):
        where = artifact.get("path") or artifact["name"]
        screen.out(
            screen.say("outcome.file", name=artifact["name"], size=artifact["size"], path=where)
        )
    for line in waiting_lines(screen, task):
        screen.out(line)


def waiting_lines(screen: Screen, task: Obj) -> list[str]:
    """Return what the task waits for and how to give it."""
    if task["state"] == "queued" and task.get("reason"):
        return [screen.say(f"reason.{task['reason']}"), *_suggested(screen, task)]
    if task["state"] == "paused":
        return [screen.say("waits.paused", id=task["id"])]
    return [
        screen.say(f"waits.{one['kind']}", id=one["id"], task=task["id"])
        for one in task.get("waiting_for", [])
    ]


def _suggested(screen: Screen, task: Obj) -> list[str]:
    return [
        screen.say("waits.suggestion", command=one["command"], preview=one_line(one["preview"]))
        for one in task.get("suggestions", [])
    ]

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
from deskhand.cli.screen import Exit, Obj, Screen, one_line
from deskhand.errors import Code, DeskhandError

FINAL: Final = frozenset({"completed", "failed", "canceled"})
_POLL_SECONDS: Final = 25.0
_AWAY_SECONDS_MAX: Final = 60.0
_AGAIN_SECONDS: Final = 0.5
_LOOK_KINDS: Final = ("task.", "approval.", "question.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When following ends: how long at most, and whether also at what only a person or a model can move on."""

    seconds: float | None = None
    also_when_stuck: bool = True


def events_of(
    client: Client, after: int, *, until: Callable[[], float | None]
) -> Iterator[Obj | None]:
    """Yield events after a cursor as they come, and ``None`` after each page, while seconds are left.

    Raises:
        DeskhandError: ``hub_unreachable`` when it stays away.
    """
    cursor, away_since = after, None
    while True:
        remaining = until()
        if remaining is not None and remaining <= 0:
            return
        try:
            patience = _POLL_SECONDS if remaining is None else min(remaining, _POLL_SECONDS)
            page = client.events(cursor, wait=patience)
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
        if not page["events"] and remaining is not None and remaining < 1:
            sleep(min(remaining, _AGAIN_SECONDS))


def left(seconds: float | None) -> Callable[[], float | None]:
    """Return what tells how many of these seconds are left from now on; ``None`` for no end."""
    ends = None if seconds is None else monotonic() + seconds
    return lambda: None if ends is None else ends - monotonic()


def follow_task(
    client: Client, screen: Screen, name: str, *, after: int, until: Until
) -> tuple[Obj, Literal["final", "stuck", "timeout"]]:
    """Print a task's progress until it ends, is stuck or time is up; return it as the hub has it then."""
    look = True
    for event in events_of(client, after, until=left(until.seconds)):
        if event is not None:
            if event.get("task") == name:
                show_event(screen, event)
                look = look or str(event["kind"]).startswith(_LOOK_KINDS)
        elif look:
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
    unverified = require_verified and task.get("verdict") != "verified"
    done = Exit.UNVERIFIED if unverified else Exit.DONE
    ends = {"completed": done, "failed": Exit.FAILED, "canceled": Exit.CANCELED}
    return ends.get(str(task["state"]), Exit.WAITS if stuck(task) else Exit.DONE)


def show_event(screen: Screen, event: Obj) -> None:
    """Print one event as progress, if it means something to a person."""
    kind, body = str(event["kind"]), cast("Obj", event["body"])
    if kind in _LINES:
        said, style = _LINES[kind](screen, body)
        if said:
            screen.note(said, style)


_Line = tuple[str, str]
"""What is said, or nothing, and its colour."""


def _step_finished(screen: Screen, body: Obj) -> _Line:
    outcome, why = str(body["outcome"]), one_line(body.get("summary", ""))
    if outcome == "ok":
        return "", ""
    shown = {"step": body["step"], "outcome": screen.say(f"outcome.{outcome}"), "why": why}
    return screen.say("event.step_ended", **shown), "bad"


def check_line(check: Obj) -> _Line:
    """Return how a check went."""
    line = f"  {'✓' if check['passed'] else '✗'} {one_line(check['name'])}"
    evidence = one_line(check.get("evidence", ""), most=100)
    return (f"{line} – {evidence}" if evidence else line), "good" if check["passed"] else "bad"


def plan_lines(items: list[Obj]) -> list[str]:
    """Return a plan with what is done of it."""
    return [f"  [{'x' if item.get('done') else ' '}] {one_line(item['text'])}" for item in items]


def _approval(screen: Screen, body: Obj) -> _Line:
    asked = body["approval"]
    return screen.say("event.approval", sentence=asked["sentence"], id=asked["id"]), "ask"


def _question(screen: Screen, body: Obj) -> _Line:
    question = body["question"]
    choices = " / ".join(map(str, question.get("choices", [])))
    asked = f"{question['text']} ({choices})" if choices else question["text"]
    return screen.say("event.question", text=asked, id=question["task"]), "ask"


def _queued(screen: Screen, body: Obj) -> _Line:
    return (screen.say(f"reason.{body['reason']}") if body.get("reason") else ""), "dim"


def _moved(screen: Screen, body: Obj) -> _Line:
    return (screen.say("state.verifying") if body["state"] == "verifying" else ""), "dim"


_LINES: Final[dict[str, Callable[[Screen, Obj], _Line]]] = {
    "task.queued": _queued,
    "task.assigned": lambda screen, _: (screen.say("event.assigned"), "dim"),
    "task.accepted": lambda screen, _: (screen.say("event.accepted"), "dim"),
    "task.moved": _moved,
    "task.paused": lambda screen, _: (screen.say("state.paused"), "ask"),
    "task.resumed": lambda screen, _: (screen.say("event.resumed"), "dim"),
    "step.started": lambda _, body: (f"  · {body['step']} {one_line(body['title'])}", "dim"),
    "step.finished": _step_finished,
    "plan.updated": lambda _, body: ("\n".join(plan_lines(body["items"])), "dim"),
    "approval.requested": _approval,
    "approval.decided": lambda screen, body: (screen.say(f"event.{body['decision']}"), "dim"),
    "question.asked": _question,
    "check.finished": lambda _, body: check_line(body["check"]),
    "artifact.created": lambda _, body: (f"  + {one_line(body['artifact']['name'])}", ""),
    "message.posted": lambda _, body: (body["text"] if body["role"] == "agent" else "", ""),
}


def standing(screen: Screen, task: Obj) -> str:
    """Return a task's verdict, or its state while it has none, in a word."""
    verdict = task.get("verdict")
    return screen.say(f"verdict.{verdict}" if verdict else f"state.{task['state']}")


def show_outcome(screen: Screen, task: Obj) -> None:
    """Print how a task stands, as the result."""
    screen.out(f"{standing(screen, task)}  {one_line(task.get('summary') or task['title'])}")
    for reason in task.get("not_done_because", []):
        screen.out(f"  – {one_line(reason)}")
    for one in task.get("artifacts", []):
        where = one.get("path") or one["name"]
        screen.out(screen.say("outcome.file", name=one["name"], size=one["size"], path=where))
    for line in _waiting_lines(screen, task):
        screen.out(line)


def _waiting_lines(screen: Screen, task: Obj) -> list[str]:
    """Return what the task waits for and how to give it."""
    if task["state"] == "queued" and task.get("reason"):
        lines = [screen.say(f"reason.{task['reason']}")]
        for one in task.get("suggestions", []):
            shown = {"command": one["command"], "preview": one_line(one["preview"])}
            lines.append(screen.say("waits.suggestion", **shown))
        return lines
    if task["state"] == "paused":
        return [screen.say("waits.paused", id=task["id"])]
    return [
        screen.say(f"waits.{one['kind']}", id=one["id"], task=task["id"])
        for one in task.get("waiting_for", [])
    ]

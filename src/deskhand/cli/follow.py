"""Following work: events become lines, and the task object says when there is nothing more to wait for.

The lines are for people; what is decided here is decided by the task as the hub has it. A hub that goes away for a
while is waited for: the work goes on without us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from time import monotonic, sleep  # noqa: TID251 - a plain program that waits for its hub
from typing import Final, cast

from deskhand.cli.client import LIST_LIMIT, Client
from deskhand.cli.screen import Exit, Obj, one_line, speak
from deskhand.errors import Code, DeskhandError
from deskhand.limits import SYNC_WAIT_SECONDS_MAX
from deskhand.texts import table

FINAL: Final = frozenset({"completed", "failed", "canceled"})
_AWAY_SECONDS_MAX: Final = 60.0
_AGAIN_SECONDS: Final = 0.5
_SUGGESTED_SECONDS: Final = 1.0
_LOOK_KINDS: Final = ("task.", "approval.", "question.")
_SAID: Final = table("deskhand.cli", "follow.toml")


def pages_of(hub: Client, after: int, *, seconds: float | None) -> Iterator[list[Obj]]:
    """Yield the events after a cursor as they come, page by page (empty ones too), for at most so long.

    Raises:
        DeskhandError: ``hub_unreachable`` when it stays away.
    """
    ends, gives_up = monotonic() + (inf if seconds is None else seconds), inf
    while (left := ends - monotonic()) > 0:
        wait = int(min(left, SYNC_WAIT_SECONDS_MAX))
        try:
            page = hub.get("/v1/sync", after=after, limit=LIST_LIMIT, wait=wait)
        except DeskhandError as error:
            gives_up = min(gives_up, monotonic() + _AWAY_SECONDS_MAX)
            if error.code is not Code.HUB_UNREACHABLE or monotonic() > gives_up:
                raise
            sleep(_AGAIN_SECONDS)
            continue
        after, gives_up = int(page["next"]), inf
        yield page["events"]
        if not page["events"] and left < 1:
            sleep(min(left, _AGAIN_SECONDS))


def events_of(hub: Client, after: int, *, seconds: float | None) -> Iterator[Obj]:
    """Yield the events after a cursor one by one, as ``pages_of`` does."""
    for page in pages_of(hub, after, seconds=seconds):
        yield from page


def follow_task(
    hub: Client, name: str, *, after: int, seconds: float | None, show: Callable[[Obj], None], also_when_stuck: bool
) -> tuple[Obj, bool]:
    """Show a task's events until it ends or, if wished, is stuck; return it, and whether that was in time."""
    look, busy = True, False
    for page in pages_of(hub, after, seconds=seconds):
        for event in page:
            if mine := event.get("task") == name:
                show(event)
            look = look or ((mine or busy) and str(event["kind"]).startswith(_LOOK_KINDS))
        if look:
            task, look = hub.one("tasks", name), False
            if also_when_stuck and (busy := task.get("reason") == "folder_busy"):
                task |= _behind(hub, task)
            if task["state"] in FINAL or (also_when_stuck and stuck(task)):
                return task, True
    return hub.one("tasks", name), False


def _behind(hub: Client, task: Obj) -> Obj:
    """Return, as ``behind``, which task has the folder of a queued one and itself waits for a person, if one does."""
    now = hub.get("/v1/snapshot")
    roots = {one["id"]: f"{one['runner']}{one['root'].rstrip('/')}/" for one in now["folders"]}
    mine = roots.get(task.get("folder"), "-")
    for other in now["tasks"]:
        its = roots.get(other.get("folder"), "+")
        writes = other["state"] == "input_required" and other.get("mode") != "read-only"
        if writes and stuck(other) and (mine.startswith(its) or its.startswith(mine)):
            return {"behind": other["id"]}
    return {}


def suggested(hub: Client, name: str, *, after: int) -> Obj:
    """Return a task that waits for a model as soon as its computer has said what it may mean, or soon after."""
    for event in events_of(hub, after, seconds=_SUGGESTED_SECONDS):
        if event["kind"] == "task.suggested" and event.get("task") == name:
            break
    return hub.one("tasks", name)


def stuck(task: Obj) -> bool:
    """Whether only a person or a model can move the task on."""
    if task["state"] == "queued":
        return task.get("reason") == "no_model" or "behind" in task
    waits = {str(one["kind"]) for one in task.get("waiting_for", [])} - {"children"}
    return task["state"] == "paused" or (task["state"] == "input_required" and bool(waits))


def exit_code(task: Obj, *, require_verified: bool = False) -> int:
    """Return what a script learns from a task."""
    done = Exit.UNVERIFIED if require_verified and task.get("verdict") != "verified" else Exit.DONE
    ends = {"completed": done, "failed": Exit.FAILED, "canceled": Exit.CANCELED}
    return ends.get(str(task["state"]), Exit.WAITS if stuck(task) else Exit.DONE)


def show_event(event: Obj) -> None:
    """Print one event as progress, if it means something to a person."""
    kind, body = str(event["kind"]), cast("Obj", event["body"])
    if kind == "plan.updated":
        speak.note("\n".join(plan_lines(body["items"])), "dim")
    elif kind == "check.finished":
        speak.note(*check_line(body["check"]))
    elif said := _SAID.get(kind):
        about = body.get(kind.partition(".")[0])  # an approval, a question, a file; or only its id
        more = cast("Obj", about) if isinstance(about, dict) else {}
        told: Obj = {"reason": None, **body, **more}
        if told.get("choices"):
            told["text"] += f" ({' / '.join(told['choices'])})"
        lines = {name: one_line(value) for name, value in told.items()}
        lines |= {name: str(told[name]) for name in ("text", "sentence") if name in told}
        if speak.knows(key := said["key"].format(**told)):
            speak.note(speak.say(key, **lines), said["style"])


def check_line(check: Obj) -> tuple[str, str]:
    """Return how a check went, and its colour."""
    evidence = one_line(check.get("evidence", ""), most=100)
    line = f"  {'✓' if check['passed'] else '✗'} {one_line(check['name'])}"
    return (f"{line} – {evidence}" if evidence else line), "good" if check["passed"] else "bad"


def plan_lines(items: list[Obj]) -> list[str]:
    """Return a plan with what is done of it."""
    return [f"  [{'x' if item.get('done') else ' '}] {one_line(item['text'])}" for item in items]


def standing(task: Obj) -> str:
    """Return a task's verdict, or its state while it has none, in a word."""
    verdict = task.get("verdict")
    return speak.say(f"verdict.{verdict}" if verdict else f"state.{task['state']}")


def ended(task: Obj, *, require_verified: bool = False) -> int:
    """Print how a task stands now and return what a script learns from it."""
    show_outcome(task)
    speak.answer(task)
    return exit_code(task, require_verified=require_verified)


def show_outcome(task: Obj) -> None:
    """Print how a task stands, what it made, and what it waits for and how to give it."""
    if task.get("answer"):
        speak.out(str(task["summary"]))
        return
    speak.out(f"{standing(task)}  {one_line(task.get('summary') or task['title'])}")
    speak.out(*(f"  – {one_line(reason)}" for reason in task.get("not_done_because", [])))
    speak.out(*(speak.say("outcome.file", **one) for one in task.get("artifacts", [])))
    if task["state"] == "queued" and task.get("reason"):
        speak.out(speak.say(f"reason.{task['reason']}"))
        speak.out(*(speak.say("waits.behind", task=one) for one in [task.get("behind")] if one))
        _show_suggestions(task)
        return
    paused = [{"kind": "paused", "id": task["id"]}]
    for one in paused if task["state"] == "paused" else task.get("waiting_for", []):
        speak.out(speak.say(f"waits.{one['kind']}", id=one["id"], task=task["id"]))


def _show_suggestions(task: Obj) -> None:
    found = cast("list[Obj]", task.get("suggestions", []))
    for one in found:
        shown = {name: one_line(one[name]) for name in ("id", "command", "preview")}
        speak.out(speak.say("waits.suggestion", **shown))
        if left := " · ".join(one.get("not_honored", [])):
            speak.out(speak.say("waits.not_honored", words=one_line(left)))
    if found:
        speak.out(speak.say("waits.choose", task=task["id"], id=found[0]["id"]))

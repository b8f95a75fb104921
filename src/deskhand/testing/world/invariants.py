"""What must hold when everything has healed, whatever happened before: the promises, as looks at logs and disks.

Each look says what is broken in one line, beginning with the promise it breaks. It refuses to repair or to excuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sqlalchemy import select

from deskhand.core.delivery import announcement
from deskhand.core.folding import COLLECTIONS
from deskhand.protocol import events as ev
from deskhand.protocol.events import REDACTED, Event, body_of
from deskhand.protocol.tasks import Approval, Artifact, Task
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.testing.world.hub import ACCOUNT, House
from deskhand.testing.world.laptops import GRANTS, Effects, Laptop
from deskhand.testing.world.phones import Phone

_SAYS = {
    "message.post": ("message.posted", "task.created"),
    "question.answer": ("question.answered",),
    "approval.decide": ("approval.decided",),
    "task.cancel": ("task.finished",),
    "task.retry": ("task.created",),
    "task.resume": ("task.resumed",),
    "task.pause": ("task.paused",),
    "task.edit": ("task.edited",),
    "task.archive": ("task.archived",),
    "thread.erase": ("thread.erased",),
    "settings.put": ("setting.changed",),
    "device.revoke": ("device.revoked",),
}
_OVER = frozenset({"allowed", "denied", "void", "answered", "removed", "admitted", "refused"})


async def broken(house: House, phones: Sequence[Phone], laptops: Sequence[Laptop], effects: Effects) -> list[str]:
    """Return everything that does not hold.

    What an erased thread said is judged as it was when it was said.
    """
    stored = await house.events()
    log = [house.said.get(e.seq, e) if e.body == REDACTED else e for e in stored]
    found = [*gaps(stored), *ends(log), *epochs(log), *unheard(log, effects), *done(log)]
    found += [*outcasts(log, house), *in_time(log), *forgotten(stored)]
    for phone in phones:
        found += kept(log, phone)
        if not phone.gone:
            found += await different(house, phone)
    found += [*permitted(log, effects), *notified(log, house, phones)]
    if house.store is not None:
        found += [f"R5 {said}" for said in await house.store.verify(ACCOUNT)]
    erased = any(event.kind == "thread.erased" for event in log)
    passed = {"stale_epoch", *(("not_found",) if erased else ())}
    found += [
        f"R1 {laptop.name} was refused {code}"
        for laptop in laptops
        if laptop.journal and not laptop.gone
        for _, code in laptop.journal.refused()
        if code not in passed
    ]
    return found


def gaps(log: Sequence[Event]) -> Iterator[str]:
    """R5: the log has every number once."""
    if [event.seq for event in log] != list(range(1, len(log) + 1)):
        yield "R5 the log has gaps"


def kept(log: Sequence[Event], phone: Phone) -> Iterator[str]:
    """R1: every wish has its answer, and what was taken is in the log exactly once."""
    for op_id, op in phone.wanted.items():
        answer = phone.answers.get(op_id)
        if answer is None and phone.gone:
            continue
        if answer is None:
            yield f"R1 {phone.name} never heard of {op.kind} {op_id}"
        elif answer.status != "rejected" and op.kind in _SAYS:
            if answer.seq is None or not 0 < answer.seq <= len(log):
                yield f"R1 {op.kind} {op_id} was acknowledged and is not in the log"
                continue
            event = log[answer.seq - 1]
            if event.kind not in _SAYS[op.kind] or event.actor != phone.name:
                yield f"R1 {op.kind} {op_id} was acknowledged as {event.seq}, which is {event.kind}"
    said = Counter(e.body["text"] for e in log if e.kind == "message.posted" and e.actor == phone.name)
    posts = [op for op in phone.wanted.values() if op.kind == "message.post" and "as" not in op.body]
    for op in posts:
        answer = phone.answers.get(op.op_id)
        if answer is None and phone.gone:
            continue  # whoever was shut out never heard; it may be there once
        times = 0 if answer is None or answer.status == "rejected" else 1
        if said[op.body["text"]] != times:
            yield f"R1 {op.body['text']!r} is {said[op.body['text']]} times in the log, not {times}"


def ends(log: Sequence[Event]) -> Iterator[str]:
    """R3: every task has exactly one end; what was neither working nor over when its thread was erased has none."""
    ended = Counter(event.task for event in log if event.kind == "task.finished")
    erased = {event.thread for event in log if event.kind == "thread.erased"}
    for event in log:
        least = 0 if event.thread in erased else 1
        if event.kind == "task.created" and not least <= ended[event.task] <= 1:
            yield f"R3 {event.task} has {ended[event.task]} ends"
    decided = Counter(e.body["approval"] for e in log if e.kind == "approval.decided")
    yield from (f"R18 {name} was decided {n} times" for name, n in decided.items() if n > 1)


def done(log: Sequence[Event]) -> Iterator[str]:
    """R3: what is called completed did every step it was asked for, and what could be done was not given up."""
    steps = Counter(event.task for event in log if event.kind == "step.finished")
    words: dict[str | None, list[str]] = {}
    for event in log:
        body = body_of(event)
        if isinstance(body, ev.TaskCreated):
            words[event.task] = body.task.text.split()[1:]
        elif isinstance(body, ev.TaskFinished) and body.state == "completed":
            wanted = sum({"ask": 0, "both": 2}.get(word, 1) for word in words[event.task])
            if steps[event.task] != wanted:
                yield f"R3 {event.task} is completed with {steps[event.task]} of {wanted} steps"
        elif isinstance(body, ev.TaskFinished) and body.state == "failed":
            left = event.actor.startswith("phone")  # whoever removed its computer
            if not left and "stop" not in words[event.task]:
                yield f"R3 {event.task} was given up: {' '.join(body.not_done_because)}"


def epochs(log: Sequence[Event]) -> Iterator[str]:
    """R9: what an attempt says is state only under the epoch that is valid when it is said."""
    now: dict[str, int] = {}
    for event in log:
        body, task = body_of(event), event.task or ""
        if isinstance(body, (ev.TaskAssigned, ev.TaskFinished)):
            if isinstance(body, ev.TaskFinished) and event.actor.startswith("laptop"):
                yield from _current(event, now.get(task), body.epoch)
            now[task] = body.epoch
            if isinstance(body, ev.TaskFinished):
                now[task] += 1_000_000  # nothing is valid any more
        elif isinstance(body, ev.AttemptBody) and event.actor != ev.HUB:
            yield from _current(event, now.get(task), body.epoch)


def _current(event: Event, now: int | None, epoch: int) -> Iterator[str]:
    if epoch != now:
        yield f"R9 {event.kind} {event.seq} of {event.task} is state under epoch {epoch}, not {now}"


def outcasts(log: Sequence[Event], house: House) -> Iterator[str]:
    """R9: nobody speaks any more who was removed."""
    for event in log:
        if event.seq > house.removed.get(event.actor, len(log)):
            yield f"R9 {event.actor} was removed and still said {event.kind} {event.seq}"


def forgotten(stored: Sequence[Event]) -> Iterator[str]:
    """BR-06: nothing is left of what was said in a conversation that was erased."""
    erased = {event.thread: event.seq for event in stored if event.kind == "thread.erased"}
    for event in stored:
        there = event.kind == "message.posted" and event.body != REDACTED
        if there and event.seq < erased.get(event.thread, 0):
            yield f"BR-06 {event.seq} of an erased conversation can still be read"


def in_time(log: Sequence[Event]) -> Iterator[str]:
    """R7: what must not begin before its time is not given to anybody before, by the hub's clock."""
    waits: dict[str | None, str] = {}
    for event in log:
        body = body_of(event)
        if isinstance(body, ev.TaskCreated) and body.task.not_before:
            waits[event.task] = body.task.not_before
        elif event.kind == "task.assigned" and event.at < waits.get(event.task, ""):
            yield f"R7 {event.task} was given out at {event.at}, before {waits[event.task]}"


def unheard(log: Sequence[Event], effects: Effects) -> Iterator[str]:
    """R4: a task whose effect may have happened without its knowing says so, and is not called verified."""
    unknown = {e.task for e in log if e.kind == "step.finished" and e.body["outcome"] == "unknown"}
    verdicts = {e.task: e.body.get("verdict") for e in log if e.kind == "task.finished"}
    yield from (
        f"R4 {task} is verified with an unknown effect"
        for task in sorted(filter(None, unknown))
        if verdicts.get(task) == "verified"
    )
    known = Counter(str(e.body["summary"]) for e in log if e.kind == "step.finished" and e.body["outcome"] == "ok")
    by_label = {(e.task or "")[-8:]: e.task for e in log if e.kind == "task.created"}
    for label in effects.times:
        task = by_label.get(label.split(".")[0])
        lost = verdicts.get(task) in ("verified", "unverified") and not known[label]
        if lost and task not in unknown and not known["found"]:
            yield f"R4 {label} happened and {task} does not tell"


def permitted(log: Sequence[Event], effects: Effects) -> Iterator[str]:
    """R18: in a folder that asks, nothing happened without a recorded yes to exactly that, each used once."""
    yes: Counter[str] = Counter()
    given: dict[str, str] = {}
    broad: dict[tuple[str, str, str], bool] = {}
    asked: dict[str, Approval] = {}
    for event in log:
        body = body_of(event)
        if isinstance(body, ev.ApprovalRequested):
            asked[body.approval.id] = body.approval
        elif isinstance(body, ev.ApprovalDecided) and body.decision == "allow":
            approval = asked[body.approval]
            label = str(approval.action.arguments["label"])
            if body.action_sha256 == approval.action_sha256:
                yes[label] += 1
                given[body.approval] = label
                if body.scope == "task":
                    key = (label.split(".", maxsplit=1)[0], approval.action.tool, approval.action.folder or "")
                    broad[key] = True
        elif isinstance(body, ev.ApprovalVoided) and body.approval in given:
            yes[given.pop(body.approval)] -= 1  # taken back before it was used
    for one in effects.happened:
        folder = f"fld_{one.laptop}_{one.folder}"
        if GRANTS.get(one.folder) != "ask" or (one.label.split(".")[0], one.tool, folder) in broad:
            continue
        most = effects.times[one.label] if one.tool == "idem" and yes[one.label] else yes[one.label]
        if effects.times[one.label] > most:
            yield f"R18 {one.label} happened {effects.times[one.label]} times with {most} yes"


_WHY = {"over", "digest"}
"""Why a notification need not be sent in a world: it was answered before, or another one spoke of it. One that was
read before need not, either, and then its mark stands in the store."""


def notified(log: Sequence[Event], house: House, phones: Sequence[Phone]) -> Iterator[str]:
    """R6: each announcement was planned once for each phone, tried until it was taken, and is not called what it is not."""
    erased = {event.thread for event in log if event.kind == "thread.erased"}
    wanted: dict[tuple[str, str, str], int] = {}
    said: dict[object, Event] = {}
    for event in log:
        body = None if event.thread in erased else body_of(event)
        told = announcement(body, thread=event.thread, task=event.task) if body else None
        if told is not None:
            there = (p for p in phones if event.seq < house.removed.get(p.name, len(log) + 1))
            wanted |= {(phone.name, told.tag, told.kind): 1 for phone in there}
            said[told.tag, told.kind] = event
    tasks = tables.projections[Task]
    with house.disk.connect() as connection:
        rows = connection.execute(select(tables.deliveries)).mappings().all()
        living = set(connection.scalars(select(tasks.c.id)))
        marks = connection.execute(select(tables.read_marks)).mappings().all()
    rows = [row for row in rows if row["task"] in living or row["class"] == "runner_offline"]
    # What is said again carries its occasion behind the tag.
    first = (row for row in rows if " " not in str(row["tag"]))
    planned = Counter((str(row["device"]), str(row["tag"]), str(row["class"])) for row in first)
    if planned != wanted:
        yield f"R6 planned {sum(planned.values())} notifications, announced {sum(wanted.values())}"
    for row in rows:
        fate, taken = str(row["fate"]), row["id"] in house.push.taken
        if fate in {"accepted", "shown", "tapped"} and not taken:
            yield f"R6 {row['id']} is called {fate} and nobody took it"
        about = said.get((row["tag"], row["class"]))
        read = about and any(mark["thread"] == about.thread and mark["seq"] >= about.seq for mark in marks)
        needless = fate == "suppressed" and (row["reason"] in _WHY or (row["reason"] == "read" and read))
        if not (taken or row["device"] in house.removed or needless):
            yield f"R6 {row['id']} is still {fate} for {row['reason']}"


async def different(house: House, phone: Phone) -> list[str]:
    """R5: the phone shows exactly what the hub has."""
    found: list[str] = []
    read = range(phone.begun + 1, phone.cursor + 1)
    if [event.seq for event in phone.account.log] != list(read):
        found.append(f"R5 {phone.name} has gaps")
    for kind, name in COLLECTIONS.items():
        stored = await house.store.find(ACCOUNT, kind, limit=10_000) if house.store else []
        mine = {_id(one): one for one in phone.account.find(kind, limit=10_000)}
        theirs = {_id(one): one for one in stored}
        hidden = [name for name in theirs if name not in mine and _needed(theirs[name], phone)]
        other = [name for name, one in mine.items() if one != theirs.get(name)]
        if hidden or other:
            found.append(f"R5 {phone.name} shows other {name} than the hub has: {hidden + other}")
    return found


def _id(thing: Wire) -> str:
    return str(getattr(thing, "id", ""))


def _needed(thing: Wire, phone: Phone) -> bool:
    """Return whether a phone must have it: with a snapshot it begins without what is over."""
    over = isinstance(thing, Artifact) or getattr(thing, "state", None) in _OVER
    return not (phone.begun and over)

"""What must be true when everybody has died often enough and all is quiet: looked up in the files that are left.

The judge reads both databases, the folders and the effects that were written down outside; it believes nobody's story.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, select

from deskhand.hub.credentials import local_device
from deskhand.protocol.events import Event
from deskhand.store import tables
from deskhand.store.engine import open_sqlite_reader
from deskhand.store.opening import FILE
from deskhand.store.private import OWNER_FILE
from deskhand.store.tables import read_event, verify
from tests.kills.memory import intents
from tests.kills.passing import EFFECTS, told
from tests.kills.phone import Acknowledged, Known, Wanted

_ONCE = frozenset({"once", "probe"})
"""Tools whose effect may never happen twice for one wish."""
_END = "task.finished"
Files = Mapping[str, list[Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where everything lies, and what the phone was told."""

    place: Path
    hub: Path
    runner: Path
    known: Known
    settled: bool


@dataclass(slots=True, kw_only=True)
class Found:
    """What is broken, and how much was looked at."""

    violations: list[str] = field(default_factory=list[str])
    counts: Counter[str] = field(default_factory=Counter[str])

    def accuse(self, promise: str, what: str) -> None:
        """Note a broken promise."""
        self.violations.append(f"{promise} {what}")


@dataclass(slots=True, kw_only=True)
class Story:
    """One task as the log tells it."""

    wanted: Wanted
    events: list[Event]
    outcomes: dict[str, list[str]]

    def of(self, kind: str) -> list[Event]:
        """Return its events of one kind."""
        return [event for event in self.events if event.kind == kind]

    @property
    def canceled(self) -> bool:
        """Whether the person ended it."""
        return any(event.body.get("state") == "canceled" for event in self.of(_END))

    @property
    def said(self) -> str:
        """All that was said in it."""
        return "\n".join(str(event.body.get("text", "")) for event in self.of("message.posted"))


def judge(evidence: Evidence) -> Found:
    """Return every broken promise."""
    found = Found()
    owner = local_device(evidence.hub / OWNER_FILE)
    if owner is None:
        found.accuse("R1", "the owner's file is gone")
        return found
    engine = open_sqlite_reader(evidence.hub / FILE)
    with engine.connect() as connection:
        for sentence in verify(connection, owner.account):
            found.accuse("R15", sentence)
        events = _events(connection)
        ops = set(connection.scalars(select(tables.ops.c.op_id)))
    engine.dispose()
    known = evidence.known
    found.counts["acknowledged ops"] = len(known.acknowledged)
    found.counts["refused ops"] = len(known.refused)
    found.counts["events"] = len(events)
    _acknowledged(known.acknowledged, {event.seq: event for event in events}, ops, found)
    stories = list(_stories(known, events))
    _ends(evidence, stories, found)
    _cut_off(evidence, stories, found)
    _effects(evidence, stories, events, found)
    _spoken(stories, found)
    return found


def _events(connection: Connection) -> list[Event]:
    rows = connection.execute(select(tables.events).order_by(tables.events.c.seq)).mappings()
    return [read_event(row) for row in rows]


def _acknowledged(said: list[Acknowledged], events: Mapping[int, Event], ops: set[str], found: Found) -> None:
    """Every op that was acknowledged is remembered, and its event is in the log (R1)."""
    for one in said:
        if one.op.op_id not in ops:
            found.accuse("R1", f"{one.op.kind} {one.op.op_id} was acknowledged and is forgotten")
        elif one.result.seq is not None and one.result.seq not in events:
            found.accuse("R1", f"{one.op.kind} at {one.result.seq} was acknowledged and is lost")


def _stories(known: Known, events: list[Event]) -> Iterator[Story]:
    """Yield what the log tells of each task that was asked for."""
    of_task: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_task[str(event.task)].append(event)
    for wanted in known.wanted.values():
        mine = of_task.get(str(wanted.task), [])
        yield Story(wanted=wanted, events=mine, outcomes=_outcomes(mine))


def _outcomes(events: list[Event]) -> dict[str, list[str]]:
    """Return what the agent was told of each label, from the words of the task's end."""
    found: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.kind != _END:
            continue
        for text in (event.body.get("summary"), *_texts(event.body.get("not_done_because"))):
            for label, outcome in _listed(str(text)):
                found[label].append(outcome)
    return found


def _texts(said: object) -> list[Any]:
    return cast("list[Any]", said) if isinstance(said, list) else []


def _listed(text: str) -> list[list[str]]:
    try:
        listed: object = json.loads(text)
    except ValueError:
        return []
    return cast("list[list[str]]", listed) if isinstance(listed, list) else []


def _ends(evidence: Evidence, stories: list[Story], found: Found) -> None:
    """Every task that was taken has exactly one end (R3)."""
    canceled = {str(one.op.task) for one in evidence.known.acknowledged if one.op.kind == "task.cancel"}
    for story in stories:
        name, ends = story.wanted.name, story.of(_END)
        found.counts["tasks"] += 1
        found.counts[f"tasks {ends[0].body.get('state') if ends else 'without an end'}"] += 1
        if len(ends) != 1:
            last = [event.kind for event in story.events[-6:]]
            found.accuse("R3", f"{name} ({story.wanted.words}) has {len(ends)} ends: {last}")
        elif story.canceled is not (story.wanted.task in canceled):
            found.accuse("R3", f"{name} ended as {ends[0].body.get('state')}")
        elif not story.canceled and not story.outcomes:
            why = ends[0].body.get("not_done_because")
            found.accuse("R3", f"{name} ended without its agent: {why}")
    if not evidence.settled:
        found.accuse("R3", "not everything came to rest")


def _cut_off(evidence: Evidence, stories: list[Story], found: Found) -> None:
    """What began was written down before, and what a cancellation cut off was told to the owner (R4).

    An attempt that the hub refused, because the cancel came before its accept, has an intent and never acts on it.
    """
    began = {
        str(line["began"]) for line in told(evidence.place / EFFECTS) if "began" in line and line["tool"] != "pure"
    }
    by_task = {str(story.wanted.task): story for story in stories if story.canceled}
    known: set[str] = set()
    for intent in intents(evidence.runner):
        story = by_task.get(intent.task)
        known.add(intent.label)
        if story is None or intent.outcome not in {None, "unknown"}:
            continue
        if intent.status == "superseded" and intent.label not in began:
            found.counts["refused before it began"] += 1
            continue
        found.counts["cut off by a cancellation and told"] += 1
        if intent.label not in story.said:
            found.accuse(
                "R4",
                f"{intent.label} was cut off by a cancellation ({intent.outcome}); no message names it: "
                f"{story.said[-300:]!r}",
            )
    for label in sorted(began - known):
        found.accuse("R4", f"{label} began and was not written down before")


def _effects(evidence: Evidence, stories: list[Story], events: list[Event], found: Found) -> None:
    """No effect twice, none without its yes, none in doubt that nobody was told of (R4, R18)."""
    lines = told(evidence.place / EFFECTS)
    began = Counter(str(line["began"]) for line in lines if "began" in line)
    happened = Counter(str(line["effect"]) for line in lines if "effect" in line)
    at: dict[str, str] = {}
    for line in lines:
        if "effect" in line:
            at.setdefault(str(line["effect"]), str(line["at"]))
    found.counts["effects"] = happened.total()
    yes = _yes(events)
    by_name = {story.wanted.name: story for story in stories}
    for label in sorted(began | happened):
        story, tool = by_name[label.partition(".")[0]], label.rpartition(".")[2]
        tool = "once" if tool == "again" else tool
        granted = yes.get(label, [])
        most = 2 if label.endswith(".again") else 1
        if tool in _ONCE and happened[label] > most:
            found.accuse("R4", f"{label} happened {happened[label]} times")
        if story.wanted.folder == "asks" and tool in _ONCE | {"idem"}:
            found.counts["effects that needed a yes"] += happened[label] > 0
            if not granted or (at.get(label) or "9") < granted[0]:
                found.accuse("R18", f"{label} began without a yes")
            if tool in _ONCE and began[label] > len(granted):
                found.accuse("R18", f"{label}: {began[label]} times with {len(granted)} yes")
    files = _files(evidence.place)
    for story in stories:
        _told(files, story, began, happened, found)


def _spoken(stories: list[Story], found: Found) -> None:
    """Every text of an agent reaches the person, and none of them twice (A-10)."""
    for story in stories:
        texts = Counter(line for line in story.said.splitlines() if " says " in line)
        found.counts["texts of agents"] += texts.total()
        for text in sorted(text for text, times in texts.items() if times > 1):
            found.accuse("R3", f"{text!r} was said {texts[text]} times")
        turns = {label.split(".")[1] for label in story.outcomes if label.count(".") == 2}
        for turn in sorted(turns):
            if not texts[f"{story.wanted.name} says {turn}"]:
                found.accuse("R3", f"what {story.wanted.name} said at {turn} is lost")


def _yes(events: list[Event]) -> dict[str, list[str]]:
    """Return when each label was said yes to, in the order of the log."""
    asked: dict[str, str] = {}
    found: dict[str, list[str]] = defaultdict(list)
    for event in events:
        body: Any = event.body
        if event.kind == "approval.requested":
            arguments = body["approval"]["action"]["arguments"]
            label = arguments.get("label") or arguments["argv"][-1]
            asked[str(body["approval"]["id"])] = str(label)
        elif event.kind == "approval.decided" and body["decision"] == "allow":
            found[asked[str(body["approval"])]].append(str(event.at))
    return found


def _told(files: Files, story: Story, began: Counter[str], happened: Counter[str], found: Found) -> None:
    """What the agent was told of each call is true, and what is in doubt was said to the owner too."""
    labels = {label for label in began if label.partition(".")[0] == story.wanted.name}
    for label in sorted(labels | story.outcomes.keys()):
        tool, outcomes = label.rpartition(".")[2], story.outcomes.get(label, [])
        if "." not in label:
            continue
        found.counts[f"{tool} {'/'.join(outcomes) or 'untold'}"] += 1
        well = outcomes.count("ok")
        if tool in _ONCE | {"idem"} and well and not happened[label]:
            found.accuse("R4", f"{label} is called done and never happened")
        if tool in _ONCE and began[label] and not story.canceled and not outcomes:
            found.accuse("R4", f"{label} began and nobody was told what became of it")
        if tool in _ONCE and happened[label] and outcomes and not {"ok", "unknown"} & {*outcomes}:
            found.accuse("R4", f"{label} happened and was called {outcomes}")
        if "error" in outcomes:
            found.accuse("R4", f"{label} was called an error, and nothing went wrong in it: {outcomes}")
        if "unknown" in outcomes:
            found.counts["in doubt and told"] += 1
            if label not in story.said:
                found.accuse("R4", f"{label} is in doubt; no message names it: {story.said[-300:]!r}")
        if well and tool in {"idem", "out", "cmd"}:
            _right(files, label, tool, found)


def _files(place: Path) -> Files:
    """Return where the files of each name lie: looked up once, because there may be thousands."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in place.rglob("*.*"):
        if path.is_file():
            found[path.name].append(path)
    return found


def _right(files: Files, label: str, tool: str, found: Found) -> None:
    """What can be repeated left the right state, once and whole."""
    for suffix in (".a", ".b") if tool == "cmd" else (".txt",):
        held = [path.read_text(encoding="utf-8") for path in files[f"{label}{suffix}"]]
        if held != [label]:
            found.accuse("R4", f"{label}{suffix} holds {held}")

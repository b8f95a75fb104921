"""Notes and a table that were never seen before: made anew for each run, with a line planted among them.

For the demo and for tests. The same generator and seed give the same files; it refuses to know any result.
"""

from __future__ import annotations

import csv
import io
import random
import shutil
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

PEOPLE = ("Ana", "Jonas", "Mina", "Sofia", "Tom", "Yuna")
TOPICS = ("the printer", "the spring fair", "the landing page", "the price list", "the new contract")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
RECORDING_BYTES = 24 * 1024**2
_CHECK = Path(__file__).with_name("every_action_item.txt")
CHANNELS = ("search", "social", "mail", "print", "radio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Where a line was put, and what it says."""

    file: str
    line: int
    text: str


def random_mark(chance: random.Random) -> str:
    """Return a line with something to do, for a run that was given none."""
    who, topic, day = chance.choice(PEOPLE), chance.choice(TOPICS), chance.choice(DAYS)
    return f"TODO: {who} calls about {topic} on {day}, reference {chance.randrange(1000, 9999)}"


def write_notes(folder: Path, chance: random.Random, *, mark: str) -> Planted:
    """Write three meeting notes into ``folder`` and plant ``mark`` in one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("client-call.md", "standup.md", "planning.md")
    chosen, planted = chance.choice(names), None
    for name in names:
        lines = _note(name.removesuffix(".md").replace("-", " ").title(), chance)
        if name == chosen:
            at = chance.randrange(4, len(lines))
            lines.insert(at, mark)
            planted = Planted(file=name, line=at + 1, text=mark)
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert planted is not None  # noqa: S101 - one of the names was chosen
    return planted


def write_meetings(folder: Path, chance: random.Random, *, mark: str) -> Planted:
    """Write yesterday's notes and recording, and the owner's own check of a briefing over them, into ``folder``."""
    text = mark if mark.startswith("TODO:") else f"TODO: {mark}"
    planted = write_notes(folder / "notes", chance, mark=text)
    check = folder / "checks"
    (folder / "notes" / "client-call.ogg").write_bytes(chance.randbytes(RECORDING_BYTES))
    check.mkdir()
    shutil.copy(_CHECK, check / "every_action_item.py")
    return planted


def write_campaign(path: Path, chance: random.Random, *, rows: int = 184) -> dict[str, Decimal]:
    """Write a campaign table and return the true totals of its numeric columns, for a test to compare."""
    path.parent.mkdir(parents=True, exist_ok=True)
    totals = {"spend": Decimal(0), "clicks": Decimal(0), "orders": Decimal(0)}
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["date", "channel", "spend", "clicks", "orders"])
    for row in range(rows):
        spend = Decimal(chance.randrange(500, 20_000)) / 100
        clicks, orders = chance.randrange(0, 900), chance.randrange(0, 40)
        day = f"2026-11-{row % 7 + 16:02d}"
        writer.writerow([day, chance.choice(CHANNELS), f"{spend:.2f}", clicks, orders])
        totals["spend"] += spend
        totals["clicks"] += clicks
        totals["orders"] += orders
    path.write_text(out.getvalue(), encoding="utf-8")
    return totals


def _note(title: str, chance: random.Random) -> list[str]:
    who, topic = chance.sample(PEOPLE, 3), chance.sample(TOPICS, 3)
    days, price = chance.sample(DAYS, 3), chance.randrange(200, 9000)
    return [
        f"# {title}",
        "",
        f"Present: {', '.join(who)}",
        "",
        f"We talked about {topic[0]} for most of the hour; the tone was friendly.",
        f"Decision: {topic[0]} goes ahead with the smaller version for {price} EUR.",
        f"- [ ] {who[0]} sends the draft about {topic[1]} by {days[0]}",
        f"Action: {who[1]} checks {topic[2]} before {days[1]}",
        f"Open question: who pays for {topic[2]} if it slips past {days[2]}?",
        "The coffee machine is still broken.",
        f"Risk: the supplier of {topic[1]} answers late, {chance.randrange(2, 9)} days in the last order.",
        f"Next meeting on {days[2]} at {chance.randrange(9, 17)}:30.",
    ]

"""`python -m tests.kills --kills 2000 --seed 1`: real processes, real files, real HTTP, real SIGKILL; then judgement.

`--minutes 10 --tasks 20` kills every few seconds instead, with so many tasks under way. It refuses to go on quietly:
the exit code is 1 when a promise was broken, when a point was passed that is not listed, when nobody died at a listed
one, or when fewer than half died with a step under way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from deskhand.testing.promises import note
from tests.kills.lives import Zygote
from tests.kills.plans import Plans
from tests.kills.points import POINTS
from tests.kills.world import Outcome, Wish, World

PER_WORLD: Final = 34
_UP_EVERY: Final = 3


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of all worlds."""

    kills: Counter[str] = field(default_factory=Counter[str])
    hits: Counter[str] = field(default_factory=Counter[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    open: int = 0
    failed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, outcome: Outcome) -> None:
        """Take in one world."""
        self.kills.update(outcome.kills)
        self.hits.update(outcome.hits)
        self.counts.update(outcome.counts)
        self.open += outcome.open
        if outcome.violations:
            self.failed[outcome.name] = outcome.violations

    @property
    def never(self) -> list[str]:
        """Return the points at which nobody died."""
        return [point for point in POINTS if not self.kills[point]]

    @property
    def share_open(self) -> float:
        """Return the share of kills with a step under way."""
        return self.open / max(1, self.kills.total())


def main() -> int:
    """Kill as asked and print what came of it."""
    asked = _asked()
    began = perf_counter()
    with Zygote() as zygote:
        report = asyncio.run(_run(asked, zygote))
    seconds = perf_counter() - began
    broken = [said for all_said in report.failed.values() for said in all_said]
    everywhere = not (asked.minutes or asked.at or asked.bug or asked.only)
    if everywhere:
        broken += [f"nobody died at: {point}" for point in report.never]
    if everywhere and report.share_open < 0.5:
        broken.append(f"only {report.share_open:.0%} died with a step under way")
    if everywhere or asked.minutes:
        _note(report, of="kills every few seconds" if asked.minutes else "kills")
    said = _said(report, broken, seconds)
    sys.stdout.write(json.dumps(said) + "\n" if asked.json else _table(said))
    return 1 if broken else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0, help="kill every few seconds")
    parser.add_argument("--tasks", type=int, default=6, help="how many are under way at once")
    parser.add_argument("--jobs", type=int, default=6, help="worlds at once")
    parser.add_argument("--at", action="append", default=[], help="die at these points only")
    parser.add_argument("--only", default="", help="tasks with this word only")
    parser.add_argument("--bug", help="plant one, to see whether it is found")
    parser.add_argument("--keep", type=Path, help="leave the worlds' files here")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


async def _run(asked: argparse.Namespace, zygote: Zygote) -> Report:
    """Let the worlds live, some at once; go on until somebody died at every point."""
    report, waiting = Report(), _wishes(asked)
    plans = Plans(asked.seed, kills=asked.kills, at=asked.at, minutes=bool(asked.minutes))
    place = asked.keep or Path(tempfile.mkdtemp(prefix="kills-"))

    async def worlds() -> None:
        for wish in waiting:
            if plans.enough:
                return
            here = place / f"world-{wish.number}"
            here.mkdir(parents=True)
            report.add(await World(wish, here, zygote=zygote, plans=plans).run())
            if asked.minutes:
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(1 if asked.minutes else asked.jobs):
                group.create_task(worlds())
    finally:
        if not asked.keep:
            shutil.rmtree(place, ignore_errors=True)
    return report


def _wishes(asked: argparse.Namespace) -> Iterator[Wish]:
    number = 0
    while True:
        yield Wish(
            seed=asked.seed,
            number=number,
            kills=min(PER_WORLD, asked.kills),
            up=number % _UP_EVERY == _UP_EVERY - 1,
            minutes=asked.minutes,
            tasks=asked.tasks,
            bug=asked.bug,
            only=asked.only,
        )
        number += 1


def _said(report: Report, broken: list[str], seconds: float) -> dict[str, Any]:
    return {
        "kills": report.kills.total(),
        "share_open": round(report.share_open, 3),
        "seconds": round(seconds, 1),
        "points": {point: [report.hits[point], report.kills[point]] for point in POINTS},
        "outside": {at: n for at, n in report.kills.items() if at.endswith("from outside")},
        "counts": dict(report.counts),
        "failed": report.failed,
        "broken": broken,
    }


def _table(said: dict[str, Any]) -> str:
    lines = [f"{'hits':>8} {'kills':>6}  point"]
    lines += [f"{hits:>8} {kills:>6}  {point}" for point, (hits, kills) in said["points"].items()]
    lines += [f"{'':>8} {kills:>6}  {at}" for at, kills in said["outside"].items()]
    lines += [f"{number:>8}  {what}" for what, number in sorted(said["counts"].items())]
    lines += [f"BROKEN {name}: {one}" for name, all_said in said["failed"].items() for one in all_said]
    lines += [f"BROKEN {one}" for one in said["broken"] if one not in "".join(lines)]
    share = f"{said['share_open']:.0%} with a step under way"
    lines.append(f"{said['kills']} kills, {share}, {said['seconds']} s, {len(said['broken'])} broken")
    return "\n".join(lines) + "\n"


def _note(report: Report, *, of: str) -> None:
    """Leave the figures behind."""
    kills, counts = report.kills.total(), report.counts
    ways = {
        "R1": f"0 of {counts['acknowledged ops']} acknowledged ops lost",
        "R3": f"{counts['tasks']} tasks, each with exactly one end",
        "R4": f"0 of {counts['effects']} effects twice; all told of: {counts['in doubt and told']} in doubt, "
        f"{counts['cut off by a cancellation and told']} cut off by a cancellation",
        "R18": f"0 of {counts['effects that needed a yes']} effects without the yes they needed",
    }
    for promise, figure in ways.items():
        failing = [
            f"world {name}"
            for name, said in report.failed.items()
            if any(one.startswith(f"{promise} ") for one in said)
        ]
        came = f"{len(failing)} worlds broke it" if failing else figure
        note(promise, f"{came} in {kills} kills", runs=kills, of=of, failing=failing)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m deskhand.testing.seeds N`: so many worlds, each from its own seed; a failure prints its seed and its story.

`--tasks N` plays dense worlds until so many tasks were simulated, or `--minutes` are over; `--from S` goes on where it
stopped. `--seed S` plays one again exactly. It refuses to go on quietly: the exit code is 1 when anything was broken.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from time import perf_counter
from typing import Final

from deskhand.testing.promises import note
from deskhand.testing.world.world import Outcome, simulate

_AT_ONCE = 2
_TASKS_PER_WORLD: Final = 60
_SAY_EVERY: Final = 50
PROMISED: Final = ("R1", "R3", "R4", "R5", "R6", "R18")
"""The promises that every world is judged by and that have a figure."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worlds that were asked for and print what came of them."""
    asked = _asked(arguments)
    number = -(-asked.tasks // _TASKS_PER_WORLD) if asked.tasks else asked.number
    seeds = range(asked.first, asked.first + number)
    if asked.seed is not None:
        seeds = range(asked.seed, asked.seed + 1)
    per_world = _TASKS_PER_WORLD if asked.dense or asked.tasks else 0
    began, counts, failed = perf_counter(), Counter[str](), list[Outcome]()
    digest, played = hashlib.sha256(), 0
    for outcome in outcomes(seeds, asked.jobs, size=asked.size, tasks=per_world):
        played += 1
        counts.update(outcome.counts)
        digest.update(outcome.sha256.encode())
        if outcome.violations:
            failed.append(outcome)
            say(told(outcome, size=asked.size, dense=per_world > 0))
        seconds = perf_counter() - began
        if asked.tasks and played % _SAY_EVERY == 0:
            say(f"{counts['tasks']:,} tasks, {len(failed)} failed, {counts['tasks'] / seconds:.1f}/s")
        if asked.minutes and seconds > asked.minutes * 60:
            say(f"time is over; go on with --from {outcome.seed + 1}")
            break
    seconds = perf_counter() - began
    leave_figures(played, failed, counts)
    if asked.json:
        said = summary(seeds[:played], failed, counts, seconds)
        say(json.dumps({**said, "sha256": digest.hexdigest()}, sort_keys=True))
    else:
        say(figures(counts))
        say(
            f"{played} seeds, {len(failed)} failed, {counts['simulated seconds'] / 3600:.0f} simulated hours"
            f" in {seconds:.0f} s ({played / seconds:.1f} seeds/s, {counts['tasks'] / seconds:.1f} tasks/s)"
        )
    return 1 if failed else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="seeds", description=__doc__)
    parser.add_argument("number", nargs="?", type=int, default=200, metavar="N")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="S")
    parser.add_argument("--seed", type=int, metavar="S", help="play this one again")
    parser.add_argument("--size", type=float, default=1.0, help="1.0: about an hour of work")
    parser.add_argument("--tasks", type=int, default=0, metavar="N", help="so many, in dense worlds")
    parser.add_argument("--dense", action="store_true", help="many small tasks in each world")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so long")
    parser.add_argument("--jobs", type=int, default=_AT_ONCE, metavar="J")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def outcomes(seeds: Sequence[int], jobs: int, *, size: float, tasks: int = 0) -> Iterator[Outcome]:
    """Yield what became of each world, in the order of the seeds, some at once."""
    one = partial(play, size=size, tasks=tasks)
    if jobs < 2 or len(seeds) < 2:  # noqa: PLR2004 - one at a time needs no pool
        yield from map(one, seeds)
        return
    pool = ProcessPoolExecutor(jobs)
    try:
        yield from pool.map(one, seeds, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def play(seed: int, *, size: float = 1.0, tasks: int = 0) -> Outcome:
    """Simulate one world without the product's own log lines, and without looking for garbage meanwhile."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    gc.disable()
    gc.freeze()
    try:
        return simulate(seed, size=size, tasks=tasks)
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()
        logging.disable(before)


def told(outcome: Outcome, *, size: float, dense: bool = False) -> str:
    """Return a failure as a person wants to read it: what is broken, what happened before, how to see it again."""
    how = "--dense" if dense else f"--size {size}"
    return "\n".join(
        [
            f"seed {outcome.seed} FAILED",
            *(f"  {said}" for said in outcome.violations),
            *(f"    {line}" for line in outcome.story),
            f"  again: python -m deskhand.testing.seeds --seed {outcome.seed} {how}",
        ]
    )


def leave_figures(played: int, failed: Sequence[Outcome], counts: Counter[str]) -> None:
    """Leave a figure for each promise that these worlds were judged by."""
    figure = (
        f"{counts['tasks']:,} tasks in {played:,} simulated worlds of {counts['simulated seconds'] / 3600:,.0f} hours"
        f" with {counts['crashes']:,} crashes and {counts['effects']:,} effects"
    )
    for promise in PROMISED:
        broke = [f"seed {one.seed}" for one in failed if _breaks(one, promise)]
        sentence = f"{figure}: {len(broke)} broke it"
        note(promise, sentence, runs=played, of="seeds", failing=broke)


def _breaks(outcome: Outcome, promise: str) -> bool:
    return any(said.split()[0] == promise for said in outcome.violations)


def figures(counts: Counter[str]) -> str:
    """Return how much happened, the most frequent first."""
    return " · ".join(f"{what} {number:,}" for what, number in counts.most_common())


def summary(seeds: Sequence[int], failed: Sequence[Outcome], counts: Counter[str], seconds: float) -> dict[str, object]:
    """Return all of it for a program."""
    return {
        "seeds": len(seeds),
        "failed": [outcome.seed for outcome in failed],
        "counts": dict(counts),
        "seconds": round(seconds, 1),
    }


def say(line: str) -> None:
    """Print for a person or a program."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

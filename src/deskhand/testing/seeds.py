"""`python -m deskhand.testing.seeds N`: so many worlds, each from its own seed; a failure prints its seed and its story.

`--seed S` plays one again exactly. It refuses to go on quietly: the exit code is 1 when anything was broken.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from time import perf_counter

from deskhand.testing.world.world import Outcome, simulate

_AT_ONCE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worlds that were asked for and print what came of them."""
    parser = argparse.ArgumentParser(prog="seeds", description=__doc__)
    parser.add_argument("number", nargs="?", type=int, default=200, metavar="N")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="S")
    parser.add_argument("--seed", type=int, metavar="S", help="play this one again")
    parser.add_argument("--size", type=float, default=1.0, help="1.0: about an hour of work")
    parser.add_argument("--jobs", type=int, default=_AT_ONCE, metavar="J")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    seeds = range(asked.first, asked.first + asked.number)
    if asked.seed is not None:
        seeds = range(asked.seed, asked.seed + 1)
    began, counts, failed = perf_counter(), Counter[str](), list[Outcome]()
    digest = hashlib.sha256()
    for number, outcome in enumerate(outcomes(seeds, asked.jobs, size=asked.size), start=1):
        counts.update(outcome.counts)
        digest.update(outcome.sha256.encode())
        if outcome.violations:
            failed.append(outcome)
            say(told(outcome, size=asked.size))
        if sys.stderr.isatty():
            sys.stderr.write(f"\r {number} of {len(seeds)} ")
    seconds = perf_counter() - began
    if asked.json:
        said = summary(seeds, failed, counts, seconds)
        say(json.dumps({**said, "sha256": digest.hexdigest()}, sort_keys=True))
    else:
        say(figures(counts))
        say(
            f"{len(seeds)} seeds, {len(failed)} failed, {counts['simulated seconds'] / 3600:.0f}"
            f" simulated hours in {seconds:.0f} s ({len(seeds) / seconds:.1f} seeds/s)"
        )
    return 1 if failed else 0


def outcomes(seeds: Sequence[int], jobs: int, *, size: float) -> Iterator[Outcome]:
    """Yield what became of each world, in the order of the seeds, some at once."""
    if jobs < 2 or len(seeds) < 2:  # noqa: PLR2004 - one at a time needs no pool
        yield from map(partial(play, size=size), seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(play, size=size), seeds, chunksize=4)


def play(seed: int, *, size: float = 1.0) -> Outcome:
    """Simulate one world without the product's own log lines."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return simulate(seed, size=size)
    finally:
        logging.disable(before)


def told(outcome: Outcome, *, size: float) -> str:
    """Return a failure as a person wants to read it: what is broken, what happened before, how to see it again."""
    return "\n".join(
        [
            f"seed {outcome.seed} FAILED",
            *(f"  {said}" for said in outcome.violations),
            *(f"    {line}" for line in outcome.story),
            f"  again: python -m deskhand.testing.seeds --seed {outcome.seed} --size {size}",
        ]
    )


def figures(counts: Counter[str]) -> str:
    """Return how much happened, the most frequent first."""
    return " · ".join(f"{what} {number:,}" for what, number in counts.most_common())


def summary(
    seeds: Sequence[int], failed: Sequence[Outcome], counts: Counter[str], seconds: float
) -> dict[str, object]:
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


if __name__ == "__main__":
    sys.exit(main())

"""Many power cuts on many machines, and what they cost; the small number in the test run, the large one by a parameter."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from typing_extensions import override

from tests.powercut.machine import Cut, Machine
from tests.powercut.vfs import PowerVfs

LIVES: Final = 10
"""How often one machine loses its power, each time on what the last cut left."""
MEMORY: Final = next((name for name in ("/dev/shm",) if Path(name).is_dir()), None)  # noqa: S108 - a private folder in it
"""Where a modelled disk lies best: nothing here waits for a real one."""


@dataclass(slots=True)
class Report:
    """What became of all cuts.

    ``at_stake`` counts those that could take something that was acknowledged since the machine had started; ``failing``
    names seed and life of those after which something was wrong.
    """

    cuts: int = 0
    acknowledged: int = 0
    at_stake: int = 0
    acts: Counter[str] = field(default_factory=Counter[str])
    failing: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])

    def add(self, cut: Cut, name: str) -> None:
        """Count one cut."""
        self.cuts += 1
        self.acts[f"in a {cut.act}" if cut.act else "at rest"] += 1
        self.acknowledged += cut.at_stake
        self.at_stake += cut.at_stake > 0
        if cut.wrong:
            self.failing.append(name)
            self.wrong += cut.wrong

    @override
    def __str__(self) -> str:
        """Say it in one sentence."""
        places = ", ".join(f"{count} {act}" for act, count in self.acts.most_common(4))
        return (
            f"{self.cuts} power cuts ({places}): {self.acknowledged} acknowledged writes and files, "
            f"{len(self.failing)} cuts after which one was lost or anything broken"
        )


async def run(
    vfs: PowerVfs, *, cuts: int, seed: int, weaken: str = "", each: Callable[[Report], None] = lambda _: None
) -> Report:
    """Cut the power so many times; a machine that lost something is given up."""
    report = Report()
    while report.cuts < cuts:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            machine = Machine(Path(folder), seed=seed, vfs=vfs, weaken=weaken)
            for life in range(min(LIVES, cuts - report.cuts)):
                cut = await machine.live_and_die()
                report.add(cut, f"seed {seed} life {life}")
                each(report)
                if cut.wrong:
                    break
        seed += 1
    return report

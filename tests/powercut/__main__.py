"""``python -m tests.powercut --cuts 1000 --seed 1``: cut the power so often, say what it cost, end with 1 if anything.

``--synchronous NORMAL`` or ``OFF`` runs the control, which must lose something.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from deskhand.testing.promises import note
from tests.powercut.run import run
from tests.powercut.vfs import power_vfs


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.powercut")
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--synchronous", choices=("NORMAL", "OFF"))
    said = parser.parse_args()
    vfs = power_vfs()
    if vfs is None:
        sys.stderr.write("This Python's sqlite3 has its library built in: nothing can be put under it.\n")
        return 2
    weaken = f"PRAGMA synchronous={said.synchronous}" if said.synchronous else ""
    report = asyncio.run(run(vfs, cuts=said.cuts, seed=said.seed, weaken=weaken))
    if not weaken:
        note("R2", str(report), runs=report.cuts, of="power cuts", failing=report.failing)
    sys.stdout.write(f"{report}\n" + "".join(f"  {name}\n" for name in report.failing))
    sys.stdout.writelines(f"    {line}\n" for line in report.wrong[:20])
    return 1 if report.failing else 0


if __name__ == "__main__":
    raise SystemExit(main())

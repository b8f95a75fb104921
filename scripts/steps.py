"""The steps behind `make check` and `make test`: what runs, how long it took, what it said.

Only the order and the reporting live here; each step is a program of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
WEB = ROOT / "web"
WEB_CHECKS = ("lint", "check")
WEB_TESTS = ("test",)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One program to run."""

    name: str
    command: tuple[str, ...]
    folder: Path = ROOT


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a step ended; `left_out` holds the reason why it did not run."""

    name: str
    passed: bool
    seconds: float = 0.0
    left_out: str = ""


def checks() -> list[Step]:
    """Everything that judges the Python tree without running it."""
    return [
        Step(name="ruff check", command=(str(BIN / "ruff"), "check", "--quiet")),
        Step(name="ruff format", command=(str(BIN / "ruff"), "format", "--check", "--quiet")),
        Step(name="types", command=(str(BIN / "basedpyright"),)),
        Step(name="import walls", command=(str(BIN / "lint-imports"), "--no-cache")),
    ]


def carry_out(step: Step) -> Outcome:
    """Run a step; show what it said only if it failed."""
    began = time.monotonic()
    done = subprocess.run(
        step.command,
        cwd=step.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outcome = Outcome(name=step.name, passed=done.returncode == 0, seconds=time.monotonic() - began)
    if not outcome.passed:
        print(done.stdout.rstrip())
    tell(outcome)
    return outcome


def tell(outcome: Outcome) -> None:
    """Print the one line of a step."""
    word = "left out" if outcome.left_out else "ok" if outcome.passed else "FAILED"
    print(f" {outcome.name:<20} {word:<8} {outcome.left_out or f'{outcome.seconds:.1f} s'}", flush=True)


def web(wanted: tuple[str, ...]) -> list[Outcome]:
    """Run those of the wanted npm scripts that the web app has."""
    manifest = WEB / "package.json"
    if not manifest.is_file():
        return []
    package: dict[str, Any] = json.loads(manifest.read_text())
    known = [script for script in wanted if script in package.get("scripts", {})]
    npm = shutil.which("npm")
    if npm is None:
        return [left_out_or_failed(f"web {script}", "no npm on PATH") for script in known]
    ready = install_web(npm) if known else None
    if ready is not None and not ready.passed:
        return [ready]
    return [
        carry_out(Step(name=f"web {script}", command=(npm, "run", "--silent", script), folder=WEB)) for script in known
    ]


def install_web(npm: str) -> Outcome | None:
    """Install the locked npm packages if the lock changed since the last time."""
    lock = WEB / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""
    stamp = WEB / "node_modules" / ".deskhand.sha256"
    if stamp.is_file() and stamp.read_text() == wanted:
        return None
    install = ("ci", "--no-audit", "--no-fund")
    outcome = carry_out(Step(name="web packages", command=(npm, *install), folder=WEB))
    if outcome.passed:
        stamp.write_text(wanted)
    return outcome


def left_out_or_failed(name: str, reason: str) -> Outcome:
    """Leave a step out for want of a tool; where nothing may be left out that is a failure."""
    must = os.environ.get("CI", "").lower() == "true"
    outcome = Outcome(name=name, passed=not must, left_out=reason)
    tell(outcome)
    return outcome


def pytest_step(name: str, folders: list[Path], *options: str) -> Step:
    """Make the step that runs pytest over some folders."""
    paths = [str(folder.relative_to(ROOT)) for folder in folders]
    return Step(name=name, command=(sys.executable, "-m", "pytest", "-q", *options, *paths))

"""The import walls and the banned calls hold: a planted break of each is found by the real linters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.findings import ROOT

BIN = Path(sys.executable).parent
ROOMS = ("cli", "core", "evals", "hub", "notify", "permissions", "protocol", "runner", "store", "testing", "texts")

BREAKS = {
    "core/reaches_up.py": ("import deskhand.store.tables", "Imports run downward"),
    "runner/knows_the_hub.py": ("import deskhand.hub.app", "Imports run downward"),
    "store/knows_notify.py": ("import deskhand.notify.webpush", "Imports run downward"),
    "cli/measures.py": ("import deskhand.evals", "Imports run downward"),
    "testing/measures.py": ("import deskhand.evals", "Imports run downward"),
    "cli/plays.py": ("import deskhand.testing", "Only evals are made of testing's parts"),
    "a_room_nobody_planned.py": ("x = 1", "Imports run downward"),
    "permissions/reads_disk.py": ("import pathlib", "The pure packages do no I/O"),
    "core/waits.py": ("import asyncio", "The pure packages do no I/O"),
    "hub/thinks.py": ("import pydantic_ai", "Agent SDKs stay in agents and tools"),
    "runner/engine.py": ("import dbos", "The durable engine stays in workflow"),
    "notify/other.py": ("import deskhand.notify.webpush", "Every adapter stands alone"),
}

BANNED = {
    "import datetime\n\nNOW = datetime.datetime.now(datetime.UTC)\n": "the clock",
    "import time\n\nNOW = time.time()\n": "the clock",
    "import time\n\ntime.sleep(1)\n": "waiting",
    "import asyncio\n\nWAIT = asyncio.sleep(1)\n": "waiting",
    "import uuid\n\nNAME = uuid.uuid4()\n": "chance",
    "import asyncio\n\nTASK = asyncio.create_task\n": "loose tasks",
    "from unittest import mock\n\nDOUBLE = mock\n": "mocks",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small copy of the house with our own contracts and one module in each room."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "deskhand"
    for room in ROOMS:
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").touch()
    for module in ("__init__", "hub/app", "notify/webpush", "store/tables"):
        (package / f"{module}.py").touch()
    return tmp_path


def broken(house: Path) -> list[str]:
    """Ask import-linter which contracts are broken."""
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"],
        cwd=house,
        env={"PYTHONPATH": str(house), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Contracts:" in said, said
    return [line.removesuffix(" BROKEN") for line in said.splitlines() if line.endswith(" BROKEN")]


def test_a_house_without_breaks_keeps_every_contract(house: Path) -> None:
    """What the planted breaks show is theirs alone."""
    assert broken(house) == []


@pytest.mark.parametrize("path", BREAKS)
def test_a_planted_break_is_found(house: Path, path: str) -> None:
    """One import in the wrong direction is enough."""
    line, contract = BREAKS[path]
    (house / "deskhand" / path).write_text(line + "\n")

    assert broken(house) == [contract]


@pytest.mark.parametrize("text", BANNED)
def test_a_banned_call_is_found(text: str) -> None:
    """Time, chance and tasks are given, never taken."""
    ruff = [BIN / "ruff", "check", "--quiet", "--select", "TID251", "--stdin-filename", "src/deskhand/planted.py", "-"]

    done = subprocess.run(ruff, input=text, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "TID251" in done.stdout

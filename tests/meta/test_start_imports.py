"""Starting a program must not load what only some of its work needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.meta.findings import ROOT

ROOTS = (
    "deskhand.cli.main",
    "deskhand.cli.programs.computer",
    "deskhand.hub.app",
    "deskhand.runner.app",
    "deskhand.tools.registry",
)
LATE = (
    "acp",
    "anthropic",
    "claude_agent_sdk",
    "dbos",
    "docx",
    "apprise",
    "duckdb",
    "lxml",
    "markdown_it",
    "mcp",
    "numpy",
    "openai",
    "openpyxl",
    "pydantic_ai",
    "pypdf",
    "webpush",
)
"""Loaded in a thread after "ready", or by the first task that needs them: each costs 0.2 to 3 s."""


def exists(module: str) -> bool:
    """Tell whether a root is there, without importing anything."""
    return (ROOT / "src" / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize("root", [each for each in ROOTS if exists(each)])
def test_a_program_starts_without_the_heavy_libraries(root: str) -> None:
    """The agent stack, the durable engine and the document readers are not there at start."""
    script = f"import sys, {root}; print(*sorted(set({LATE}) & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)

    assert (done.stdout.strip(), done.stderr) == ("", "")

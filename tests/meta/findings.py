"""What the rules of this repository say, and which files they are asked about.

A rule is a plain function from text to findings: it reads no file itself, so that each rule can be
shown a planted bad example.
"""

from __future__ import annotations

import dataclasses
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One place where a rule does not hold."""

    path: str
    line: int
    message: str

    def shown(self) -> str:
        """Show it the way compilers do, so that editors can jump there."""
        return f"{self.path}:{self.line}: {self.message}"


@cache
def files() -> tuple[str, ...]:
    """List every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - git is where the person has it
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return tuple(sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file()))


@cache
def read(path: str) -> str | None:
    """Return a file's text, or nothing for a picture, a font or another file without text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def texts(*, below: tuple[str, ...] = ("",), ending: tuple[str, ...] = ("",)) -> dict[str, str]:
    """Read all text files below some folders whose names end in a certain way."""
    chosen = (path for path in files() if path.startswith(below) and path.endswith(ending))
    return {path: text for path in chosen if (text := read(path)) is not None}


def python_sources() -> dict[str, str]:
    """Read every Python file of product, tests and scripts."""
    return texts(ending=(".py",))

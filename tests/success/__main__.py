"""Writes what the loop adds: ``python -m tests.success``; ``--check`` only says whether the page is current."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.success.page import PAGE, figures_of, page_of


def main() -> int:
    """Run every trial and write the page."""
    with tempfile.TemporaryDirectory() as base:
        text = page_of(asyncio.run(figures_of(Path(base))))
    if "--check" in sys.argv:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

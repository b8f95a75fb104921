"""The built page inside the package: made from this source, small, and free of foreign addresses."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deskhand.hub.http.app import PAGE

WEB = Path(__file__).parents[2] / "web"
SCRIPT_BYTES_MAX = 90 * 1024
READER = re.compile(r"Pages-|pdf\.worker")
"""What draws the pages of a PDF."""
READER_BYTES_MAX = 560 * 1024


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file by its name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.needs("node")
@pytest.mark.timeout(180)
def test_the_page_in_the_package_is_what_its_source_builds_to(tmp_path: Path) -> None:
    """Byte for byte: what is served is what can be read in ``web/``."""
    npm = shutil.which("npm") or "npm"
    if not (WEB / "node_modules" / "vite").is_dir():
        ci = (npm, "ci", "--no-audit", "--no-fund")
        subprocess.run(ci, cwd=WEB, check=True, capture_output=True)
    built = tmp_path / "page"

    subprocess.run(
        (npm, "run", "--silent", "build"),
        cwd=WEB,
        env={**os.environ, "DESKHAND_PAGE": str(built)},
        check=True,
        capture_output=True,
    )

    assert digests(built) == digests(PAGE), "run: make web"


def packed(paths: list[Path]) -> int:
    """Return how many bytes of these go over the air."""
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in paths)


def test_all_script_of_the_page_together_stays_small() -> None:
    """At most 90 KB of script, packed: it must stand on a phone within a second."""
    scripts = [path for path in PAGE.rglob("*.js") if path.name != "worker.js" and not READER.match(path.name)]

    assert 0 < packed(scripts) <= SCRIPT_BYTES_MAX


def test_the_reader_of_pdfs_comes_only_when_it_is_needed() -> None:
    """It is larger than all the rest: nothing names it to the browser beforehand, and the worker does not keep it."""
    reader = [path for path in PAGE.rglob("*.js") if READER.match(path.name)]
    beforehand = [(PAGE / name).read_text() for name in ("index.html", "worker.js")]

    assert len(reader) == 2
    assert packed(reader) <= READER_BYTES_MAX
    assert not [path.name for path in reader for text in beforehand if path.name in text]


def test_the_page_names_no_address_but_its_own() -> None:
    """No request leaves for anybody but the hub: no font, no script, no picture from elsewhere."""
    known = re.compile(
        r"https?://(www\.w3\.org|svelte\.dev/e/|github\.com/|mths\.be|fetch\b|www\.xfa\.org/|ns\.adobe\.com/"
        # Placeholders by which the reader of PDFs tells whether an address is well formed.
        r"|foo\.bar$|example\.com$"
        # In a line that a person types at the computer; the page itself asks nobody there.
        r"|ntfy\.sh/deskhand-)"
    )
    texts = {path.name: path.read_text() for path in PAGE.rglob("*") if path.suffix in TEXTUAL}

    found = {
        (name, address)
        for name, text in texts.items()
        for address in re.findall(r"https?://[a-z0-9][\w.-]*\.[a-z]+[/\w.-]*", text)
        if not known.match(address)
    }

    assert found == set()


TEXTUAL = frozenset({".html", ".js", ".css", ".svg", ".webmanifest"})

"""Making a backup of a home while its hub and runner go on.

Databases are copied as of one moment each, first the runner's, then the hub's, then every file that the copy names: so
nothing is named that is not there. It refuses to take secrets along: tokens, push addresses and the keys of this
computer stay where they are (decision 0014).
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deskhand import __version__
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.wire import JsonObject
from deskhand.store.backup.archive import DATABASES, FORMAT, MANIFEST, PLAIN, Writing, written
from deskhand.store.faults import translated
from deskhand.store.schema import copy_sqlite

HUB: Final = DATABASES[-1]
_SECRET_TABLES: Final = ("subscriptions", "invites", "joinings")
"""Whoever has a push address and its keys can write to that device; invitations let somebody in."""
_NAMED: Final = """
    SELECT blob FROM artifacts WHERE state = 'stored' AND blob IS NOT NULL
    UNION SELECT sha256 FROM uploads WHERE sha256 IS NOT NULL ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that is on disk. ``missing`` names files that should be in it and cannot be read or are damaged."""

    path: Path
    events: int
    files: int
    bytes: int
    missing: tuple[str, ...]


def make_backup(
    home: Path,
    target: Path,
    *,
    now: str,
    who: JsonObject,
    told: Callable[[int, int], None] = lambda _, __: None,
) -> Made:
    """Write a backup of a home into one file.

    Args:
        home: the home; it may be in use.
        target: the file, replaced when it is there.
        now: when this backup is made.
        who: which account and which local runner the home belongs to; no secrets.
        told: called with how many files are written, and of how many.

    Raises:
        DeskhandError: ``not_found`` where there is no hub; ``store_damaged``, ``disk_full``, ``unavailable``.
    """
    if not (home / HUB).is_file():
        raise DeskhandError(Code.NOT_FOUND, str(home / HUB))
    with translated(), tempfile.TemporaryDirectory(dir=target.parent, prefix=".deskhand-") as made:
        copies = Path(made)
        own = _copied(home, copies)
        schema, accounts, named = _look(copies / HUB)
        blobs = {f"blobs/{name[:2]}/{name[2:4]}/{name}": name for name in named}
        manifest: JsonObject = {
            "format": FORMAT,
            "made_at": now,
            "version": __version__,
            "schema": schema,
            "accounts": {**accounts},
            **who,
            "sha256": {name: _sha256(copies / name) for name in own},
            "files": len(blobs),
        }
        with written(target) as writing:
            said = json.dumps(manifest, indent=1).encode("utf-8")
            writing.add(MANIFEST, io.BytesIO(said), len(said))
            for name in own:
                _add(writing, copies / name, name)
            missing: list[str] = []
            for done, (place, name) in enumerate(blobs.items(), start=1):
                if _add(writing, home / place, place) != name:
                    missing.append(name)
                told(done, len(blobs))
    return Made(
        path=target,
        events=sum(accounts.values()),
        files=len(blobs) - len(missing),
        bytes=target.stat().st_size,
        missing=tuple(missing),
    )


def _copied(home: Path, copies: Path) -> list[str]:
    """Copy what is there of a home's own files, each as of one moment; return their names."""
    names = [name for name in (*DATABASES, *PLAIN) if (home / name).is_file()]
    for name in names:
        (copies / name).parent.mkdir(exist_ok=True)
        (copy_sqlite if name in DATABASES else shutil.copyfile)(home / name, copies / name)
    return names


def _look(hub: Path) -> tuple[str, dict[str, int], list[str]]:
    """Take secrets out of the copy; return its schema, the head of each account, and the files that it names."""
    with closing(sqlite3.connect(hub, isolation_level=None)) as driver:
        driver.execute("PRAGMA secure_delete=ON")
        for table in _SECRET_TABLES:
            driver.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        (schema,) = driver.execute("SELECT version_num FROM alembic_version").fetchone()
        accounts = dict(driver.execute("SELECT id, head FROM accounts"))
        return schema, accounts, [name for (name,) in driver.execute(_NAMED)]


def _add(writing: Writing, path: Path, name: str) -> str | None:
    """Add a file; return its hash, or nothing when it is not there."""
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return None
    with source:
        return writing.add(name, source, path.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""A backup of a home: a plain tar that any tool can read, ending in the hash of everything before.

It is made while hub and runner go on. Databases are copied as of one moment each, first the runner's, then the hub's,
then every file that the copy names: so nothing is named that is not there. Written under another name, synced, then
renamed, so that a backup is whole or not there.

It refuses to take secrets along: tokens, push addresses and the keys of this computer stay where they are (decision
0014); and, before anything is unpacked, a file of which a single bit is wrong or missing, and any member that a backup
does not have.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from deskhand import __version__
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.wire import JsonObject
from deskhand.store.faults import translated
from deskhand.store.private import sync
from deskhand.store.schema import copy_sqlite

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASES: Final = ("runner/journal.sqlite3", "hub.sqlite3")
"""In the order they are copied: what the runner knows then is never ahead of what the hub knows."""
HUB: Final = DATABASES[-1]
PLAIN: Final = ("config.toml", "folders.json")
_BLOB: Final = re.compile(r"blobs/([0-9a-f]{2})/([0-9a-f]{2})/\1\2[0-9a-f]{60}")
_SEAL: Final = "sha256-of-all-before"
_PIECE: Final = 1024 * 1024
_MANIFEST_BYTES_MAX: Final = 512 * 1024**2
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
    with suppress(FileNotFoundError), path.open("rb") as source:
        return writing.add(name, source, path.stat().st_size)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Writing:
    """A backup that is being written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._seen = hashlib.sha256()

    def add(self, name: str, source: IO[bytes], size: int) -> str:
        """Add ``size`` bytes under a name; return their SHA-256.

        Raises:
            DeskhandError: ``store_damaged`` when there are fewer.
        """
        self._put(_header(name, size))
        digest, left = hashlib.sha256(), size
        while left:
            piece = source.read(min(left, _PIECE))
            if not piece:
                raise DeskhandError(Code.STORE_DAMAGED, name)
            digest.update(piece)
            self._put(piece)
            left -= len(piece)
        self._put(b"\0" * (-size % tarfile.BLOCKSIZE))
        return digest.hexdigest()

    def seal(self) -> None:
        """End with the hash of all that was written."""
        self._file.write(_seal(self._seen.hexdigest()))

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._seen.update(data)


@contextmanager
def written(target: Path) -> Generator[Writing]:
    """Write a file that only this user can read; it has its name only when the block ended well."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            writing = Writing(file)
            yield writing
            writing.seal()
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
        sync(target.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_manifest(path: Path) -> JsonObject:
    """Return what a whole, unharmed backup says of itself; every byte is read.

    Raises:
        DeskhandError: ``backup_damaged``; ``not_found``.
    """
    if not path.is_file():
        raise DeskhandError(Code.NOT_FOUND, str(path))
    with path.open("rb") as file:
        _require_seal(file, path.stat().st_size)
        file.seek(0)
        with _opened(file) as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or first.size > _MANIFEST_BYTES_MAX:
                raise DeskhandError(Code.BACKUP_DAMAGED, "no manifest")
            manifest: object = json.load(cast("IO[bytes]", tar.extractfile(first)))
    if not isinstance(manifest, dict):
        raise DeskhandError(Code.BACKUP_DAMAGED, "no manifest")
    found = cast("JsonObject", manifest)
    if found.get("format") != FORMAT:
        raise DeskhandError(Code.SCHEMA_NEWER, f"backup format {found.get('format')}")
    return found


def unpack(path: Path, target: Path) -> None:
    """Unpack a backup whose manifest was read into an empty directory, everything closed to others.

    Raises:
        DeskhandError: ``backup_damaged`` for a member that no backup has.
    """
    with path.open("rb") as file, _opened(file) as tar:
        for member in tar:
            if member.name in (MANIFEST, _SEAL):
                continue
            known = member.name in (*DATABASES, *PLAIN) or _BLOB.fullmatch(member.name)
            if not known or not member.isreg():
                raise DeskhandError(Code.BACKUP_DAMAGED, member.name[:80])
            place = target / member.name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as kept:
                shutil.copyfileobj(cast("IO[bytes]", tar.extractfile(member)), kept, _PIECE)


def _require_seal(file: BinaryIO, size: int) -> None:
    left = size - len(_seal(""))
    digest = hashlib.sha256()
    while left > 0 and (piece := file.read(min(left, _PIECE))):
        digest.update(piece)
        left -= len(piece)
    if left or file.read() != _seal(digest.hexdigest()):
        raise DeskhandError(Code.BACKUP_DAMAGED, "bytes are wrong or missing")


@contextmanager
def _opened(file: BinaryIO) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, ValueError):
        raise DeskhandError(Code.BACKUP_DAMAGED, "not a backup") from None


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(format=tarfile.GNU_FORMAT)


def _seal(said: str) -> bytes:
    """Return the last member and the end of the archive; always of one length."""
    block = said.encode("ascii").ljust(tarfile.BLOCKSIZE, b"\0")
    return _header(_SEAL, 64) + block + b"\0" * (2 * tarfile.BLOCKSIZE)

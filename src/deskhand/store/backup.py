"""A backup of a home: a plain tar that any tool can read, ending in the hash of everything before; and its export.

It is made while hub and runner go on. Databases are copied as of one moment each, first the runner's, then the hub's,
then every file that the copy names: so nothing is named that is not there. Written under another name, synced, then
renamed, so that a backup is whole or not there.

It refuses to take along what gives somebody a right: tokens, push addresses and keys stay where they are, secrets go
along sealed and without their key (decision 0014); and, before anything is unpacked, a file of which a single bit is wrong or missing, and any member that a backup
does not have.

What a restored log must be before anybody opens it: safe in meaning, not only in its bytes. Settling is one transaction
of the unpacked copy. It refuses to send, to begin and to admit anything: what was due is over, what was open waits for
its owner, and who was shut out meanwhile stays out (BR-02).

An export is everything of a home in a form that outlives this program: Markdown, JSON Lines and plain files. What is
exported is what was said and made: no credentials, push addresses or invitations.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from sqlalchemy import Connection, Engine, delete, insert, select, update

from deskhand import __version__
from deskhand.clock import Clock, Ids, stamp
from deskhand.core.drafting import Wish
from deskhand.core.lifecycle import after_restore
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Credential
from deskhand.protocol import events, objects, ops
from deskhand.protocol.tasks import Artifact
from deskhand.protocol.wire import JsonObject
from deskhand.store import tables
from deskhand.store.engine import copy_sqlite, open_sqlite_reader, translated
from deskhand.store.log.transaction import Memory, SqlTx
from deskhand.store.private import SECRETS_FILE, replacing

_e = tables.events.c
FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASES: Final = ("runner/journal.sqlite3", "hub.sqlite3")
"""In the order they are copied: what the runner knows then is never ahead of what the hub knows."""
HUB: Final = DATABASES[-1]
PLAIN: Final = ("config.toml", "folders.json", "policy.txt", SECRETS_FILE)
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


def make_backup(home: Path, target: Path, *, now: str, who: JsonObject) -> dict[str, Any]:
    """Write a backup of a home into one file; return what is in it, as ``backup --json`` prints it.

    ``missing`` names files that should be in it and cannot be read or are damaged.

    Args:
        home: the home; it may be in use.
        target: the file, replaced when it is there.
        now: when this backup is made.
        who: which account and which local runner the home belongs to; no secrets.

    Raises:
        DeskhandError: ``not_found`` where there is no hub; ``store_damaged``, ``disk_full``, ``unavailable``.
    """
    if not (home / HUB).is_file():
        raise DeskhandError(Code.NOT_FOUND, str(home / HUB))
    with translated(), tempfile.TemporaryDirectory(dir=target.parent, prefix=".deskhand-") as made:
        copies = Path(made)
        own = [name for name in (*DATABASES, *PLAIN) if (home / name).is_file()]
        for name in own:  # each as of one moment
            (copies / name).parent.mkdir(exist_ok=True)
            (copy_sqlite if name in DATABASES else shutil.copyfile)(home / name, copies / name)
        schema, accounts, named = _look(copies / HUB)
        what = {"format": FORMAT, "made_at": now, "version": __version__, "schema": schema}
        manifest = {**what, "accounts": accounts, **who, "files": len(named)}
        (copies / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        missing: list[str] = []
        with written(target) as tar:
            for name in (MANIFEST, *own):
                add(tar, name, copies / name)
            for name in named:
                place = f"blobs/{name[:2]}/{name[2:4]}/{name}"
                if add(tar, place, home / place) != name:
                    missing.append(name)
    came_to = {"events": sum(accounts.values()), "files": len(named) - len(missing), "missing": missing}
    return {"path": str(target), "made_at": now, "bytes": target.stat().st_size, **came_to}


def _look(hub: Path) -> tuple[str, dict[str, int], list[str]]:
    """Take secrets out of the copy; return its schema, the head of each account, and the files that it names."""
    with closing(sqlite3.connect(hub, isolation_level=None)) as driver:
        driver.execute("PRAGMA secure_delete=ON")
        for table in _SECRET_TABLES:
            driver.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        (schema,) = driver.execute("SELECT version_num FROM alembic_version").fetchone()
        accounts = dict(driver.execute("SELECT id, head FROM accounts"))
        return schema, accounts, [name for (name,) in driver.execute(_NAMED)]


@contextmanager
def written(target: Path) -> Generator[tarfile.TarFile]:
    """Write a backup that only this user can read, sealed and under its name when the block ended well."""
    with replacing(target) as file:
        # Never closed: the seal is its end.
        yield tarfile.TarFile(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)
        file.seek(0)
        file.write(_seal(hashlib.file_digest(file, "sha256").hexdigest()))


def add(tar: tarfile.TarFile, name: str, path: Path) -> str | None:
    """Add a file; return its hash, or nothing when it is not there."""
    with suppress(FileNotFoundError), path.open("rb") as source:
        tar.addfile(_member(name, path.stat().st_size), source)
        source.seek(0)
        return hashlib.file_digest(source, "sha256").hexdigest()
    return None


def read_manifest(path: Path) -> JsonObject:
    """Return what a whole, unharmed backup says of itself; every byte is read.

    Raises:
        DeskhandError: ``backup_damaged``; ``not_found``.
    """
    if not path.is_file():
        raise DeskhandError(Code.NOT_FOUND, str(path))
    manifest: object = None
    with path.open("rb") as file:
        _require_seal(file, path.stat().st_size)
        file.seek(0)
        with _opened(file) as tar:
            first = tar.next()
            if first and first.name == MANIFEST and first.size <= _MANIFEST_BYTES_MAX:
                manifest = json.load(cast("IO[bytes]", tar.extractfile(first)))
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
            (target / member.name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            member.mode = 0o600
            tar.extract(member, target, filter="data")


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


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


def _seal(said: str) -> bytes:
    """Return the last member and the end of the archive; always of one length."""
    header = _member(_SEAL, 64).tobuf(format=tarfile.GNU_FORMAT)
    block = said.encode("ascii").ljust(tarfile.BLOCKSIZE, b"\0")
    return header + block + b"\0" * (2 * tarfile.BLOCKSIZE)


# --- going back


def replaced(hub: Path, account: str) -> tuple[set[str], list[tables.RowValues]] | None:
    """Return who lost access to the account and where its pushes go, as the file of the hub that is replaced says.

    Nothing when it does not know the account or cannot be read.
    """
    owner = tables.accounts.c.id
    with suppress(DeskhandError), translated(), open_sqlite_reader(hub).connect() as connection:
        if connection.execute(select(owner).where(owner == account)).first():
            out = select(tables.credentials.c.principal).filter_by(account=account, revoked=True)
            told = select(tables.subscriptions).filter_by(account=account)
            revoked = set(connection.execute(out).scalars())
            return revoked, [dict(row) for row in connection.execute(told).mappings()]
    return None


def settle(
    engine: Engine, clock: Clock, ids: Ids, *, backup_at: str, before: Path, here: Credential | None
) -> list[events.LogRestored]:
    """Settle every account of a restored hub's file; return what each was told.

    Args:
        engine: the unpacked copy, at the present schema.
        clock: gives the time of what is said.
        ids: names messages and the new life of each log.
        backup_at: when the backup was made.
        before: the hub's file of the home that is replaced, which may not be there.
        here: how this computer's own runner comes in, where it needs a new token.
    """
    told: list[events.LogRestored] = []
    with engine.begin() as connection:
        for account in connection.execute(select(tables.accounts.c.id)).scalars().all():
            revoked, subscriptions = replaced(before, account) or (None, [])
            runner = here if here and here.principal.account == account else None
            owner = ops.Principal(account=account, id=events.HUB, role=objects.Role.OWNER)
            wish = Wish(principal=owner, thread=None, task=None, ids=ids)
            tx = SqlTx(connection, account, now=stamp(clock.now()), memory=Memory())
            kept = runner.principal.id if runner else None
            drafts = after_restore(tx, wish, backup_at=backup_at, revoked=revoked, kept=kept)
            for draft in drafts:
                tx.emit(draft)
            bodies = [draft.body for draft in drafts]
            ended = {body.device for body in bodies if isinstance(body, events.DeviceRevoked)}
            for name in ended | (revoked or set[str]()):
                tx.revoke_credentials(name)
            if runner:
                tx.revoke_credentials(runner.principal.id)
                tx.add_credential(runner)
            tx.flush()
            _forget_the_moment(connection, account)
            _push_again(connection, subscriptions)
            mine = update(tables.accounts).filter_by(id=account)
            connection.execute(mine.values(incarnation=ids.new("log")))
            told += [body for body in bodies if isinstance(body, events.LogRestored)]
    return told


def _forget_the_moment(connection: Connection, account: str) -> None:
    """What was due then is not sent now, and nobody is connected or holds a task."""
    mine = update(tables.deliveries).filter_by(account=account)
    due = mine.where(tables.deliveries.c.next_try_at.is_not(None))
    connection.execute(due.values(fate="failed", reason="restored", next_try_at=None))
    for table in (tables.leases, tables.presence):
        connection.execute(delete(table).filter_by(account=account))


def _push_again(connection: Connection, told: list[tables.RowValues]) -> None:
    """Let devices that stay be reached as before: their addresses are in no backup."""
    held = select(tables.credentials.c.principal).filter_by(revoked=False)
    active = set(connection.execute(held).scalars())
    if mine := [row for row in told if row["device"] in active]:
        connection.execute(insert(tables.subscriptions), mine)


# --- export


def export_home(home: Path, target: Path) -> dict[str, int]:
    """Write a home's log into a new directory; return how much of what.

    Args:
        home: the home; it may be in use.
        target: a directory that is not there yet; it is closed to others.

    Raises:
        DeskhandError: ``not_found``, ``disk_full``, ``store_damaged``.
    """
    if not (home / HUB).is_file():
        raise DeskhandError(Code.NOT_FOUND, str(home / HUB))
    engine = open_sqlite_reader(home / HUB)
    with translated(), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")  # one moment for everything
        for folder in ("", "threads", "files"):
            (target / folder).mkdir(mode=0o700, parents=not folder)
        return {
            "threads": _threads(connection, target / "threads"),
            "events": _events(connection, target / "events.jsonl"),
            "files": _made(connection, home, target / "files"),
        }


def _events(connection: Connection, target: Path) -> int:
    query = select(tables.events).order_by(_e.account, _e.seq).execution_options(yield_per=1000)
    count = 0
    with target.open("x", encoding="utf-8") as file:
        for count, row in enumerate(connection.execute(query).mappings(), start=1):  # noqa: B007 - how many
            said = tables.read_event(row).to_json()
            file.write(tables.json_text({"account": row["account"], **said}) + "\n")
    return count


def _threads(connection: Connection, folder: Path) -> int:
    table = tables.projections[objects.Thread]
    rows = connection.execute(select(table.c.account, table.c.object)).all()
    for account, stored in rows:
        thread = tables.read_object(objects.Thread, stored)
        of_thread = select(_e.at, _e.body).filter_by(account=account, thread=thread.id)
        parts = [f"# {thread.title}"]
        for at, said in connection.execute(of_thread.where(tables.SAID_ONLY).order_by(_e.seq)):
            body: dict[str, Any] = json.loads(said)  # empty where it was erased
            who = body.get("role") or body.get("verdict") or body.get("state")
            words = [body.get("text"), body.get("summary"), *body.get("not_done_because", ())]
            parts += [f"## {who}, {at}", *filter(None, words)] if who else []
        name = f"{_plain(thread.title)}-{thread.id}.md"
        (folder / name).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return len(rows)


def _made(connection: Connection, home: Path, folder: Path) -> int:
    stored = connection.execute(select(tables.projections[Artifact].c.object)).scalars()
    count = 0
    for one in stored:
        made = tables.read_object(Artifact, one)
        source = home / "blobs" / made.sha256[:2] / made.sha256[2:4] / made.sha256
        if source.is_file():
            shutil.copyfile(source, folder / f"{made.id}-{_plain(made.name)}")
            count += 1
    return count


def _plain(name: str) -> str:
    """Return what may stand in a file's name on any system."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "untitled"

"""What a restored log must be before anybody opens it: safe in meaning, not only in its bytes; and taking its place.

Settling is one transaction of the unpacked copy. It refuses to send, to begin and to admit anything: what was due is
over, what was open waits for its owner, and who was shut out meanwhile stays out (BR-02). Placing is one step: it
refuses to delete anything, and to leave a moment in which there is no home or half of one.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, delete, insert, select, update

from deskhand.clock import Clock, stamp
from deskhand.core.drafting import Wish
from deskhand.core.restoring import after_restore
from deskhand.ids import Ids
from deskhand.ports import Credential
from deskhand.protocol.authority import Principal
from deskhand.protocol.events import HUB, DeviceRevoked, LogRestored
from deskhand.protocol.objects import Role
from deskhand.store import tables
from deskhand.store.log.transaction import Memory, SqlTx
from deskhand.store.private import sync
from deskhand.store.rows import RowValues

_TOLD: Final = (
    "SELECT account, id, device, endpoint, p256dh, auth FROM subscriptions WHERE account = ?"
)
_HERE: Final = -100
_EXCHANGE: Final = 2
_REVOKED: Final = "SELECT principal FROM credentials WHERE account = ? AND revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What the home that is replaced knows of an account: who lost access, and where pushes go."""

    revoked: frozenset[str]
    subscriptions: list[RowValues]


def replaced(hub: Path, account: str) -> Replaced | None:
    """Return what a present hub's file knows of the account, or nothing when it does not or cannot be read."""
    if not hub.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(hub))}?mode=ro", uri=True)) as driver:
            if not driver.execute("SELECT 1 FROM accounts WHERE id = ?", [account]).fetchone():
                return None
            revoked = frozenset(name for (name,) in driver.execute(_REVOKED, [account]))
            driver.row_factory = sqlite3.Row
            told = [dict(row) for row in driver.execute(_TOLD, [account])]
            return Replaced(revoked=revoked, subscriptions=told)
    except sqlite3.Error:
        return None


def settle(
    engine: Engine,
    clock: Clock,
    ids: Ids,
    *,
    backup_at: str,
    before: Path,
    here: Credential | None,
) -> list[LogRestored]:
    """Settle every account of a restored hub's file; return what each was told.

    Args:
        engine: the unpacked copy, at the present schema.
        clock: gives the time of what is said.
        ids: names messages and the new life of each log.
        backup_at: when the backup was made.
        before: the hub's file of the home that is replaced, which may not be there.
        here: how this computer's own runner comes in, where it needs a new token.
    """
    now, kept = stamp(clock.now()), here.principal if here else None
    told: list[LogRestored] = []
    with engine.begin() as connection:
        for account in connection.execute(select(tables.accounts.c.id)).scalars().all():
            known = replaced(before, account)
            owner = Principal(account=account, id=HUB, role=Role.OWNER)
            wish = Wish(principal=owner, thread=None, task=None, ids=ids)
            tx = SqlTx(connection, account, now=now, memory=Memory())
            drafts = after_restore(
                tx,
                wish,
                backup_at=backup_at,
                revoked=known.revoked if known else None,
                kept=kept.id if kept and kept.account == account else None,
            )
            for draft in drafts:
                tx.emit(draft)
            bodies = [draft.body for draft in drafts]
            ended = {body.device for body in bodies if isinstance(body, DeviceRevoked)}
            for name in ended | (known.revoked if known else set[str]()):
                tx.revoke_credentials(name)
            if here and kept and kept.account == account:
                tx.revoke_credentials(kept.id)
                tx.add_credential(here)
            tx.flush()
            _forget_the_moment(connection, account)
            _push_again(connection, known)
            mine = update(tables.accounts).filter_by(id=account)
            connection.execute(mine.values(incarnation=ids.new("log")))
            told += [body for body in bodies if isinstance(body, LogRestored)]
    return told


def _forget_the_moment(connection: Connection, account: str) -> None:
    """What was due then is not sent now, and nobody is connected or holds a task."""
    mine = update(tables.deliveries).filter_by(account=account)
    due = mine.where(tables.deliveries.c.next_try_at.is_not(None))
    connection.execute(due.values(fate="failed", reason="restored", next_try_at=None))
    for table in (tables.leases, tables.presence):
        connection.execute(delete(table).filter_by(account=account))


def _push_again(connection: Connection, known: Replaced | None) -> None:
    """Let devices that stay be reached as before: their addresses are in no backup."""
    held = select(tables.credentials.c.principal).filter_by(revoked=False)
    active = set(connection.execute(held).scalars())
    told = known.subscriptions if known else []
    if mine := [row for row in told if row["device"] in active]:
        connection.execute(insert(tables.subscriptions), mine)


def exchanged(one: Path, other: Path) -> bool:
    """Let two directories swap their names at once; return whether the system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(
        _HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE
    )


def place(prepared: Path, home: Path, *, aside: Path) -> Path | None:
    """Make ``prepared`` the home; return where the one before is now, if there was one.

    Raises:
        OSError: it cannot be moved: a mount point, for example.
    """
    os.sync()  # every file that was unpacked, before its directory gets the name that counts
    if not home.exists():
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        prepared.rename(home)
        sync(home.parent)
        return None
    if exchanged(prepared, home):
        prepared.rename(aside)
    else:
        home.rename(aside)
        try:
            prepared.rename(home)
        except OSError:
            aside.rename(home)
            raise
    sync(home.parent)
    return aside

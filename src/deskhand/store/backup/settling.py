"""What a restored log must be before anybody opens it: safe in meaning, not only in its bytes.

All of it is one transaction of the unpacked copy. It refuses to send, to begin and to admit anything: what was due is
over, what was open waits for its owner, and who was shut out meanwhile stays out (BR-02).
"""

from __future__ import annotations

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
from deskhand.store.rows import RowValues

_PUSHED: Final[tuple[str, ...]] = ("account", "id", "device", "endpoint", "p256dh", "auth")
_TOLD: Final = (
    "SELECT account, id, device, endpoint, p256dh, auth FROM subscriptions WHERE account = ?"
)
_REVOKED: Final = "SELECT principal FROM credentials WHERE account = ? AND revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What the home that is replaced knows of an account: who lost access, and where pushes go."""

    revoked: frozenset[str]
    subscriptions: tuple[tuple[str, ...], ...]


def replaced(hub: Path, account: str) -> Replaced | None:
    """Return what a present hub's file knows of the account, or nothing when it does not or cannot be read."""
    if not hub.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(hub))}?mode=ro", uri=True)) as driver:
            if not driver.execute("SELECT 1 FROM accounts WHERE id = ?", [account]).fetchone():
                return None
            revoked = frozenset(name for (name,) in driver.execute(_REVOKED, [account]))
            return Replaced(revoked=revoked, subscriptions=tuple(driver.execute(_TOLD, [account])))
    except sqlite3.Error:
        return None


def settle(
    engine: Engine,
    clock: Clock,
    ids: Ids,
    *,
    backup_at: str,
    before: Path | None,
    here: Credential | None,
) -> list[LogRestored]:
    """Settle every account of a restored hub's file; return what each was told.

    Args:
        engine: the unpacked copy, at the present schema.
        clock: gives the time of what is said.
        ids: names messages and the new life of each log.
        backup_at: when the backup was made.
        before: the hub's file of the home that is replaced, if there is one.
        here: how this computer's own runner comes in, where it needs a new token.
    """
    now = stamp(clock.now())
    with engine.begin() as connection:
        accounts = connection.execute(select(tables.accounts.c.id)).scalars().all()
        return [
            _settle(
                connection,
                Wish(
                    principal=Principal(account=account, id=HUB, role=Role.OWNER),
                    thread=None,
                    task=None,
                    ids=ids,
                ),
                now=now,
                backup_at=backup_at,
                known=replaced(before, account) if before else None,
                here=here if here and here.principal.account == account else None,
            )
            for account in accounts
        ]


def _settle(
    connection: Connection,
    wish: Wish,
    *,
    now: str,
    backup_at: str,
    known: Replaced | None,
    here: Credential | None,
) -> LogRestored:
    account = wish.principal.account
    tx = SqlTx(connection, account, now=now, memory=Memory())
    drafts = after_restore(
        tx,
        wish,
        backup_at=backup_at,
        revoked=known.revoked if known else None,
        kept=here.principal.id if here else None,
    )
    for draft in drafts:
        tx.emit(draft)
    ended = {draft.body.device for draft in drafts if isinstance(draft.body, DeviceRevoked)}
    for name in ended | (known.revoked if known else set[str]()):
        tx.revoke_credentials(name)
    if here is not None:
        tx.revoke_credentials(here.principal.id)
        tx.add_credential(here)
    tx.flush()
    _forget_the_moment(connection, account)
    _push_again(connection, known)
    anew = {"incarnation": wish.ids.new("log")}
    connection.execute(update(tables.accounts).where(tables.accounts.c.id == account).values(anew))
    return next(draft.body for draft in drafts if isinstance(draft.body, LogRestored))


def _forget_the_moment(connection: Connection, account: str) -> None:
    """What was due then is not sent now, and nobody is connected or holds a task."""
    due = tables.deliveries.c
    connection.execute(
        update(tables.deliveries)
        .where(due.account == account, due.next_try_at.is_not(None))
        .values(fate="failed", reason="restored", next_try_at=None)
    )
    for table in (tables.leases, tables.presence):
        connection.execute(delete(table).where(table.c.account == account))


def _push_again(connection: Connection, known: Replaced | None) -> None:
    """Let devices that stay be reached as before: their addresses are in no backup."""
    held = select(tables.credentials.c.principal).where(tables.credentials.c.revoked.is_(False))
    active = set(connection.execute(held).scalars())
    told = known.subscriptions if known else ()
    rows: list[RowValues] = [dict(zip(_PUSHED, row, strict=True)) for row in told]
    if mine := [row for row in rows if row["device"] in active]:
        connection.execute(insert(tables.subscriptions), mine)

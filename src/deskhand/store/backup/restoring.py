"""What a restored log must be before anybody opens it: safe in meaning, not only in its bytes; and taking its place.

Settling is one transaction of the unpacked copy. It refuses to send, to begin and to admit anything: what was due is
over, what was open waits for its owner, and who was shut out meanwhile stays out (BR-02). Placing is one step: it
refuses to delete anything, and to leave a moment in which there is no home or half of one.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from deskhand.clock import Clock, stamp
from deskhand.core.drafting import Wish
from deskhand.core.restoring import after_restore
from deskhand.errors import DeskhandError
from deskhand.ids import Ids
from deskhand.ports import Credential
from deskhand.protocol import authority, events, objects
from deskhand.store import private, tables
from deskhand.store.engine import open_sqlite_reader, translated
from deskhand.store.log.transaction import Memory, SqlTx

_HERE: Final = -100
_EXCHANGE: Final = 2


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
            owner = authority.Principal(account=account, id=events.HUB, role=objects.Role.OWNER)
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


def exchanged(one: Path, other: Path) -> bool:
    """Let two directories swap their names at once; return whether the system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)


def place(prepared: Path, home: Path, *, aside: Path) -> Path | None:
    """Make ``prepared`` the home; return where the one before is now, if there was one.

    Raises:
        OSError: it cannot be moved: a mount point, for example.
    """
    os.sync()  # every file that was unpacked, before its directory gets the name that counts
    before = aside if home.exists() else None
    if before is None:
        prepared.rename(home)
    elif exchanged(prepared, home):
        prepared.rename(aside)
    else:
        home.rename(aside)
        try:
            prepared.rename(home)
        except OSError:
            aside.rename(home)
            raise
    private.sync(home.parent)
    return before

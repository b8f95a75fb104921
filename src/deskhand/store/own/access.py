"""Who may come in and what they saw: credentials, invitations, joinings, presence, read marks, leases.

Plain functions on a connection, for reads and inside writes. Tokens and secrets are here only as hashes (SE-03).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, bindparam, case, delete, select, update

from deskhand.ports import Credential, Invite, Joining
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Presence, Role
from deskhand.store import tables
from deskhand.store.rows import GENESIS, RowValues
from deskhand.store.tables import inserting, put

R = TypeVar("R")

_invites = tables.invites.c
_joinings = tables.joinings.c
_marks = tables.read_marks.c
_OWNED = (
    tables.subscriptions.c.device,
    tables.leases.c.runner,
    tables.joinings.c.device,
    tables.presence.c.runner,
)
"""What goes with a principal that is shut out: the columns that name it."""

# Asked for every request: built once.
_LIVE = select(tables.credentials).where(
    tables.credentials.c.token_sha256 == bindparam("token_sha256"),
    tables.credentials.c.revoked.is_(False),
)
_there = tables.presence.c
_PRESENCE = (
    select(*(_there[name] for name in Presence.model_fields))
    .where(_there.account == bindparam("of"))
    .order_by(_there.runner)
)


def _one(connection: Connection, query: Select[Any], make: Callable[..., R]) -> R | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else make(**row)


def begin_account(connection: Connection, account: str) -> None:
    """Begin an account's log; again is nothing."""
    statement = inserting(connection, tables.accounts).on_conflict_do_nothing()
    connection.execute(statement, {"id": account, "head": 0, "hash": GENESIS})


def credential(connection: Connection, token_sha256: str) -> Credential | None:
    """Return whose token this is, unless revoked."""
    row = connection.execute(_LIVE, {"token_sha256": token_sha256}).mappings().first()
    if row is None:
        return None
    principal = Principal(
        account=row["account"], id=row["principal"], role=Role(row["role"]), name=row["name"]
    )
    return Credential(token_sha256=row["token_sha256"], principal=principal, kind=row["kind"])


def add_credential(connection: Connection, account: str, credential: Credential) -> None:
    """Let a principal in. A token of another account is refused by its unique key."""
    principal = credential.principal
    row: RowValues = {
        "account": account,
        "token_sha256": credential.token_sha256,
        "principal": principal.id,
        "role": principal.role.value,
        "name": principal.name,
        "kind": credential.kind,
        "revoked": False,
    }
    put(connection, tables.credentials, row)


def revoke(connection: Connection, account: str, principal: str) -> None:
    """Shut a principal out, with its subscriptions, leases, joinings and presence."""
    held = tables.credentials
    mine = (held.c.account == account, held.c.principal == principal)
    connection.execute(update(held).where(*mine).values(revoked=True))
    for owner in _OWNED:
        table = owner.table
        connection.execute(delete(table).where(table.c.account == account, owner == principal))


def put_invite(connection: Connection, account: str, invite: Invite) -> None:
    """Create an invitation, or replace it."""
    put(connection, tables.invites, {**asdict(invite), "account": account})


def invite(connection: Connection, account: str, name: str) -> Invite | None:
    """Return an invitation as it is, used or not."""
    held = select(tables.invites).where(_invites.account == account, _invites.id == name)
    return _one(connection, held, Invite)


def unused_invite(
    connection: Connection, *, secret_sha256: str | None = None, code: str | None = None
) -> Invite | None:
    """Return an unused invitation by its link or its digits; without either there is none."""
    unused = select(tables.invites).where(_invites.used_by.is_(None)).limit(1)
    if secret_sha256 is not None:
        return _one(connection, unused.where(_invites.secret_sha256 == secret_sha256), Invite)
    if code is not None:
        return _one(connection, unused.where(_invites.code == code), Invite)
    return None


def put_joining(connection: Connection, account: str, joining: Joining) -> None:
    """Create the private side of a pair request, or replace it."""
    put(connection, tables.joinings, {**asdict(joining), "account": account})


def joining(connection: Connection, request: str) -> Joining | None:
    """Return the private side of a pair request."""
    held = select(tables.joinings).where(_joinings.request == request)
    return _one(connection, held, Joining)


def own_joining(connection: Connection, account: str, request: str) -> Joining | None:
    """Return the private side of a pair request of this account."""
    found = joining(connection, request)
    return found if found is not None and found.account == account else None


def set_presence(connection: Connection, account: str, presence: Presence) -> None:
    """Note how a runner's link stands."""
    put(connection, tables.presence, {**presence.model_dump(), "account": account})


def lose_links(connection: Connection) -> None:
    """Note that nobody is connected: this hub begins. Who is connected to another one says so again soon."""
    held = tables.presence
    gone = {"connected": False, "state": "no_network"}
    connection.execute(update(held).where(held.c.connected.is_(True)).values(gone))


def presence(connection: Connection, account: str) -> dict[str, Presence]:
    """Return the links of the account's runners."""
    rows = connection.execute(_PRESENCE, {"of": account})
    return {row["runner"]: Presence(**row) for row in rows.mappings()}


def mark_read(connection: Connection, account: str, principal: str, thread: str, seq: int) -> None:
    """Move a read mark, never backwards."""
    statement = inserting(connection, tables.read_marks)
    said = statement.excluded["seq"]
    higher = statement.on_conflict_do_update(
        index_elements=["account", "principal", "thread"],
        set_={"seq": case((said > _marks.seq, said), else_=_marks.seq)},
    )
    connection.execute(
        higher, {"account": account, "principal": principal, "thread": thread, "seq": seq}
    )


def read_marks(connection: Connection, account: str, principal: str) -> dict[str, int]:
    """Return thread -> highest seq seen."""
    mine = (_marks.account == account, _marks.principal == principal)
    query = select(_marks.thread, _marks.seq).where(*mine)
    return {row.thread: row.seq for row in connection.execute(query)}


def renew_lease(
    connection: Connection, account: str, task: str, *, runner: str, epoch: int, now: str
) -> None:
    """Note that the runner still works on a task."""
    said = {"task": task, "runner": runner, "epoch": epoch, "renewed_at": now}
    put(connection, tables.leases, {**said, "account": account})

"""Who may come in and what they saw: credentials, invitations, joinings, presence, read marks, leases.

Plain functions on a connection, for reads and inside writes. Tokens and secrets are here only as hashes (SE-03).
"""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, delete, select, update

from deskhand.ports import Credential, Invite, Joining
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Presence, Role
from deskhand.store import tables
from deskhand.store.rows import GENESIS
from deskhand.store.tables import inserting, one, put

_OWNED = (
    tables.subscriptions.c.device,
    tables.leases.c.runner,
    tables.joinings.c.device,
    tables.presence.c.runner,
)
"""What goes with a principal that is shut out: the columns that name it."""


def begin_account(connection: Connection, account: str) -> None:
    """Begin an account's log; again is nothing."""
    statement = inserting(connection, tables.accounts).on_conflict_do_nothing()
    row = {"id": account, "head": 0, "hash": GENESIS, "incarnation": ""}
    connection.execute(statement, row)


def credential(connection: Connection, token_sha256: str) -> Credential | None:
    """Return whose token this is, unless revoked."""
    row = one(connection, tables.credentials, token_sha256=token_sha256)
    if row is None or row["revoked"]:
        return None
    principal = Principal(
        account=row["account"], id=row["principal"], role=Role(row["role"]), name=row["name"]
    )
    return Credential(token_sha256=token_sha256, principal=principal, kind=row["kind"])


def add_credential(connection: Connection, account: str, credential: Credential) -> None:
    """Let a principal in. A token of another account is refused by its unique key."""
    who = credential.principal
    row = {"account": account, "principal": who.id, "role": who.role.value, "name": who.name}
    how = {"token_sha256": credential.token_sha256, "kind": credential.kind, "revoked": False}
    put(connection, tables.credentials, row | how)


def revoke(connection: Connection, account: str, principal: str) -> None:
    """Shut a principal out, with its subscriptions, leases, joinings and presence."""
    mine = update(tables.credentials).filter_by(account=account, principal=principal)
    connection.execute(mine.values(revoked=True))
    for owner in _OWNED:
        connection.execute(delete(owner.table).filter_by(account=account).where(owner == principal))


def put_invite(connection: Connection, account: str, invite: Invite) -> None:
    """Create an invitation, or replace it."""
    put(connection, tables.invites, {**asdict(invite), "account": account})


def invite(connection: Connection, account: str, name: str) -> Invite | None:
    """Return an invitation as it is, used or not."""
    row = one(connection, tables.invites, account=account, id=name)
    return None if row is None else Invite(**row)


def unused_invite(
    connection: Connection, *, secret_sha256: str | None = None, code: str | None = None
) -> Invite | None:
    """Return an unused invitation by its link or its digits; without either there is none."""
    by = {"code": code} if secret_sha256 is None else {"secret_sha256": secret_sha256}
    unused = select(tables.invites).filter_by(used_by=None, **by).limit(1)
    row = None if None in by.values() else connection.execute(unused).mappings().first()
    return None if row is None else Invite(**row)


def put_joining(connection: Connection, account: str, joining: Joining) -> None:
    """Create the private side of a pair request, or replace it."""
    put(connection, tables.joinings, {**asdict(joining), "account": account})


def joining(connection: Connection, request: str) -> Joining | None:
    """Return the private side of a pair request."""
    row = one(connection, tables.joinings, request=request)
    return None if row is None else Joining(**row)


def own_joining(connection: Connection, account: str, request: str) -> Joining | None:
    """Return the private side of a pair request of this account."""
    found = joining(connection, request)
    return found if found is not None and found.account == account else None


def set_presence(connection: Connection, account: str, presence: Presence) -> None:
    """Note how a runner's link stands."""
    put(connection, tables.presence, {**presence.model_dump(), "account": account})


def lose_links(connection: Connection) -> None:
    """Note that nobody is connected: this hub begins. Who is connected to another one says so again soon."""
    connected = update(tables.presence).filter_by(connected=True)
    connection.execute(connected.values(connected=False, state="no_network"))


def presence(connection: Connection, account: str) -> dict[str, Presence]:
    """Return the links of the account's runners."""
    columns = [tables.presence.c[name] for name in Presence.model_fields]
    mine = select(*columns).filter_by(account=account).order_by(tables.presence.c.runner)
    return {row["runner"]: Presence(**row) for row in connection.execute(mine).mappings()}


def mark_read(connection: Connection, account: str, principal: str, thread: str, seq: int) -> None:
    """Move a read mark, never backwards."""
    statement = inserting(connection, tables.read_marks)
    higher = statement.on_conflict_do_update(
        index_elements=["account", "principal", "thread"],
        set_={"seq": statement.excluded["seq"]},
        where=statement.excluded["seq"] > tables.read_marks.c.seq,
    )
    row = {"account": account, "principal": principal, "thread": thread, "seq": seq}
    connection.execute(higher, row)


def read_marks(connection: Connection, account: str, principal: str) -> dict[str, int]:
    """Return thread -> highest seq seen."""
    mine = select(tables.read_marks).filter_by(account=account, principal=principal)
    return {row.thread: row.seq for row in connection.execute(mine)}

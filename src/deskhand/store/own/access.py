"""Who may come in and what they saw: credentials, invitations, joinings, presence, read marks, leases.

Plain functions on a connection, for reads and inside writes. Tokens and secrets are here only as hashes (SE-03).
"""

from __future__ import annotations

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    RowMapping,
    Table,
    and_,
    bindparam,
    case,
    delete,
    select,
    update,
)

from deskhand.ports import Credential, Invite, Joining
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Presence, Role
from deskhand.store import tables
from deskhand.store.rows import Row, RowValues
from deskhand.store.statements import inserting, upsert


def _dialect(connection: Connection) -> str:
    return connection.dialect.name


def put(connection: Connection, table: Table, row: RowValues) -> None:
    """Insert a row, or replace the one of the same key."""
    connection.execute(upsert(_dialect(connection), table), row)


# --- credentials -------------------------------------------------------------------------------------------------

# Asked for every request: built once.
_LIVE = select(tables.credentials).where(
    tables.credentials.c.token_sha256 == bindparam("token_sha256"),
    tables.credentials.c.revoked.is_(False),
)


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
    row: RowValues = {
        "account": account,
        "token_sha256": credential.token_sha256,
        "principal": credential.principal.id,
        "role": credential.principal.role.value,
        "name": credential.principal.name,
        "kind": credential.kind,
        "revoked": False,
    }
    put(connection, tables.credentials, row)


def revoke(connection: Connection, account: str, principal: str) -> None:
    """Shut a principal out, with its subscriptions, lease, joining and presence."""
    held = tables.credentials
    connection.execute(
        update(held)
        .where(held.c.account == account, held.c.principal == principal)
        .values(revoked=True)
    )
    owned = (
        (tables.subscriptions, tables.subscriptions.c.device),
        (tables.leases, tables.leases.c.runner),
        (tables.joinings, tables.joinings.c.device),
        (tables.presence, tables.presence.c.runner),
    )
    for table, owner in owned:
        connection.execute(delete(table).where(table.c.account == account, owner == principal))


# --- invitations and joinings ------------------------------------------------------------------------------------


def put_invite(connection: Connection, account: str, invite: Invite) -> None:
    """Create an invitation, or replace it."""
    row: RowValues = {
        "account": account,
        "id": invite.id,
        "secret_sha256": invite.secret_sha256,
        "code": invite.code,
        "kind": invite.kind,
        "role": invite.role,
        "admits_alone": invite.admits_alone,
        "expires_at": invite.expires_at,
        "used_by": invite.used_by,
    }
    put(connection, tables.invites, row)


def invite_by_id(connection: Connection, account: str, name: str) -> Invite | None:
    """Return an invitation as it is, used or not."""
    held = tables.invites.c
    return _invite(_one(connection, tables.invites, and_(held.account == account, held.id == name)))


def unused_invite(
    connection: Connection, *, secret_sha256: str | None, code: str | None
) -> Invite | None:
    """Return an unused invitation by its link or its digits; without either there is none."""
    held = tables.invites.c
    if secret_sha256 is not None:
        named = held.secret_sha256 == secret_sha256
    elif code is not None:
        named = held.code == code
    else:
        return None
    return _invite(_one(connection, tables.invites, and_(named, held.used_by.is_(None))))


def put_joining(connection: Connection, account: str, joining: Joining) -> None:
    """Create the private side of a pair request, or replace it."""
    row: RowValues = {
        "account": account,
        "request": joining.request,
        "invite": joining.invite,
        "secret_sha256": joining.secret_sha256,
        "public_key": joining.public_key,
        "expires_at": joining.expires_at,
        "device": joining.device,
    }
    put(connection, tables.joinings, row)


def joining(connection: Connection, request: str, *, account: str | None = None) -> Joining | None:
    """Return the private side of a pair request."""
    held = tables.joinings.c
    named = held.request == request
    row = _one(
        connection,
        tables.joinings,
        named if account is None else and_(named, held.account == account),
    )
    return None if row is None else Joining(**row)


# --- presence, read marks, leases --------------------------------------------------------------------------------


def presence(connection: Connection, account: str) -> dict[str, Presence]:
    """Return the links of the account's runners."""
    held = tables.presence
    query = select(held).where(held.c.account == account).order_by(held.c.runner)
    return {
        row["runner"]: Presence(
            runner=row["runner"], connected=row["connected"], seen_at=row["seen_at"]
        )
        for row in connection.execute(query).mappings()
    }


def read_marks(connection: Connection, account: str, principal: str) -> dict[str, int]:
    """Return thread -> highest seq seen."""
    held = tables.read_marks.c
    query = select(held.thread, held.seq).where(
        held.account == account, held.principal == principal
    )
    return {row.thread: row.seq for row in connection.execute(query)}


def higher_mark(dialect: str) -> Insert:
    """Return the statement that moves a read mark, never backwards."""
    table = tables.read_marks
    statement = inserting(dialect, table)
    said = statement.excluded["seq"]
    return statement.on_conflict_do_update(
        index_elements=["account", "principal", "thread"],
        set_={"seq": case((said > table.c.seq, said), else_=table.c.seq)},
    )


def _one(connection: Connection, table: Table, where: ColumnElement[bool]) -> RowMapping | None:
    return connection.execute(select(table).where(where).limit(1)).mappings().first()


def _invite(row: Row | None) -> Invite | None:
    return None if row is None else Invite(**row)


def begin_account(connection: Connection, account: str, genesis: str) -> None:
    """Begin an account's log; again is nothing."""
    statement = inserting(_dialect(connection), tables.accounts).on_conflict_do_nothing()
    connection.execute(statement, {"id": account, "head": 0, "hash": genesis})

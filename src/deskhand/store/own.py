"""The hub's own truth beside the log: who may come in and what they saw, notifications, files on their way in.

Plain functions on a connection, for reads and inside writes. Tokens and secrets are here only as hashes (SE-03).
Notifications are due rows: planned once with the event that causes them, claimed, tried, settled; a claim moves
``next_try_at`` to the end of the claim, so that a hub that dies in between loses nothing (R6). Uploads are reserved
against a quota and kept once a message names them. It refuses to let a late answer of a push service undo what the
device itself acknowledged, and to speak of another principal's upload; bytes are the business of ``blobs``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import Connection, RowMapping, case, delete, func, insert, select, tuple_, update

from deskhand import limits, ports
from deskhand.clock import stamp, unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Credential, Invite, Joining, PushSubscription
from deskhand.protocol.objects import Delivery, Presence, Role, Upload
from deskhand.protocol.ops import Principal
from deskhand.protocol.tasks import Artifact
from deskhand.protocol.wire import JsonObject
from deskhand.store import tables
from deskhand.store.tables import GENESIS, RowValues, dumped, inserting, json_text, one, put

_d = tables.deliveries.c
_s = tables.subscriptions.c
_u = tables.uploads.c
_artifacts = tables.projections[Artifact].c
_FIELDS = tuple(Upload.model_fields)

_ORDER = ("planned", "held", "suppressed", "failed", "sent", "accepted", "shown", "tapped")
_BY_DEVICE = ("shown", "tapped")
_UNTRIED = ("planned", "held", "suppressed")
_COLUMNS = ("id", "tag", "device", "task", "fate", "reason", "attempts")
_OWNED = (tables.subscriptions.c.device, tables.leases.c.runner, tables.joinings.c.device, tables.presence.c.runner)
"""What goes with a principal that is shut out: the columns that name it."""


def begin_account(connection: Connection, account: str) -> None:
    """Begin an account's log; again is nothing."""
    statement = inserting(connection, tables.accounts).on_conflict_do_nothing()
    row = {"id": account, "head": 0, "hash": GENESIS, "incarnation": ""}
    connection.execute(statement, row)


def accounts(connection: Connection) -> list[str]:
    """Return every account of this hub."""
    return [*connection.execute(select(tables.accounts.c.id).order_by(tables.accounts.c.id)).scalars()]


def credential(connection: Connection, token_sha256: str) -> Credential | None:
    """Return whose token this is, unless revoked."""
    row = one(connection, tables.credentials, token_sha256=token_sha256)
    if row is None or row["revoked"]:
        return None
    who = {name: row[name] or "" for name in ("account", "name", "person")}
    principal = Principal(**who, id=row["principal"], role=Role(row["role"]))
    return Credential(token_sha256=token_sha256, principal=principal, kind=row["kind"])


def add_credential(connection: Connection, account: str, credential: Credential) -> None:
    """Let a principal in. A token of another account is refused by its unique key."""
    who = credential.principal
    row = {"account": account, "principal": who.id, "role": who.role.value, "name": who.name, "person": who.person}
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


def unused_invites(connection: Connection, account: str) -> list[Invite]:
    """Return what nobody came with yet, in time or too late."""
    unused = select(tables.invites).filter_by(account=account, used_by=None)
    return [Invite(**row) for row in connection.execute(unused).mappings()]


def put_joining(connection: Connection, account: str, joining: Joining) -> None:
    """Create the private side of a pair request, or replace it."""
    put(connection, tables.joinings, {**asdict(joining), "account": account})


def joining(connection: Connection, request: str) -> Joining | None:
    """Return the private side of a pair request."""
    row = one(connection, tables.joinings, request=request)
    return None if row is None else Joining(**row)


def own_joining(connection: Connection, account: str, request: str) -> Joining | None:
    """Return the private side of a pair request of this account."""
    row = one(connection, tables.joinings, request=request, account=account)
    return None if row is None else Joining(**row)


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


def readers(connection: Connection, account: str, thread: str) -> dict[str, int]:
    """Return who saw a thread, and up to which seq."""
    marks = select(tables.read_marks).filter_by(account=account, thread=thread)
    return {row.principal: row.seq for row in connection.execute(marks)}


def put_subscription(connection: Connection, subscription: PushSubscription) -> None:
    """Keep a subscription; the same endpoint replaces itself, the oldest of a device beyond the limit go."""
    account, device = subscription.account, subscription.device
    same = delete(tables.subscriptions).filter_by(account=account, endpoint=subscription.endpoint)
    connection.execute(same.where(_s.id != subscription.id))
    put(connection, tables.subscriptions, asdict(subscription))
    newest = select(_s.id).filter_by(account=account, device=device).order_by(_s.id.desc())
    older = delete(tables.subscriptions).filter_by(account=account, device=device)
    kept = newest.limit(limits.PUSH_SUBSCRIPTIONS_PER_DEVICE)
    connection.execute(older.where(_s.id.not_in(kept)))


def drop_subscription(connection: Connection, account: str, name: str) -> None:
    """Forget a subscription."""
    connection.execute(delete(tables.subscriptions).filter_by(account=account, id=name))


def subscriptions(connection: Connection, account: str) -> list[PushSubscription]:
    """Return all push subscriptions of the account, oldest first."""
    query = select(tables.subscriptions).filter_by(account=account).order_by(_s.id)
    return [PushSubscription(**row) for row in connection.execute(query).mappings()]


def plan_delivery(connection: Connection, account: str, planned: ports.PlannedDelivery) -> None:
    """Store a delivery unless there is one of the same (tag and occasion, class, subscription or else road)."""
    delivery = planned.delivery
    row: RowValues = {name: getattr(delivery, name) for name in _COLUMNS}
    other = "" if delivery.road == "webpush" else delivery.road
    row |= {"account": account, "class": delivery.kind, "subscription": planned.subscription or other}
    row["tag"] = f"{delivery.tag} {delivery.occasion}".rstrip()
    row["next_try_at"] = delivery.at if delivery.fate == "planned" else None
    row["planned"] = json_text({"delivery": dumped(delivery)})
    statement = inserting(connection, tables.deliveries).on_conflict_do_nothing()
    connection.execute(statement, row)


def acknowledge_delivery(connection: Connection, account: str, name: str, *, fate: str, device: str) -> bool:
    """Record shown or tapped; return whether it was this device's and moved forward."""
    row = one(connection, tables.deliveries, account=account, id=name)
    if row is None or row["device"] != device or _ORDER.index(fate) <= _ORDER.index(row["fate"]):
        return False
    mine = update(tables.deliveries).filter_by(account=account, id=name)
    connection.execute(mine.values(fate=fate, next_try_at=None))
    return True


def claim_deliveries(connection: Connection, now: str, *, limit: int) -> list[ports.DueDelivery]:
    """Take rows whose time has come for a while, the longest overdue first; no other hub sends them too."""
    due = select(tables.deliveries).where(_d.next_try_at <= now).with_for_update(skip_locked=True)
    longest = due.order_by(_d.next_try_at, _d.account, _d.id).limit(limit)
    rows = connection.execute(longest).mappings().all()
    if not rows:
        return []
    until = stamp(unstamp(now) + timedelta(seconds=limits.DELIVERY_CLAIM_SECONDS))
    claimed = tuple_(_d.account, _d.id).in_([(row["account"], row["id"]) for row in rows])
    connection.execute(update(tables.deliveries).where(claimed).values(next_try_at=until))
    named = tuple_(_s.account, _s.id).in_([(row["account"], row["subscription"]) for row in rows])
    held = connection.execute(select(tables.subscriptions).where(named)).mappings()
    known = {(row["account"], row["id"]): PushSubscription(**row) for row in held}
    return [
        ports.DueDelivery(
            account=row["account"],
            delivery=_delivery(row, json.loads(row["planned"])["delivery"]),
            subscription=known.get((row["account"], row["subscription"])),
        )
        for row in rows
    ]


def let_go(connection: Connection, now: str) -> None:
    """Free first tries that a hub which is gone had claimed; only for a hub that has the store to itself."""
    taken = (_d.fate == "planned") & (_d.next_try_at > now)
    connection.execute(update(tables.deliveries).where(taken).values(next_try_at=now))


def hasten_deliveries(connection: Connection, *, after: str, to: str) -> None:
    """Let whatever is due after one moment be due at another."""
    late = update(tables.deliveries).where(_d.next_try_at > after)
    connection.execute(late.values(next_try_at=to))


def next_delivery_at(connection: Connection) -> str | None:
    """Return when the next delivery is due."""
    due = select(func.min(_d.next_try_at)).where(_d.next_try_at.is_not(None))
    return connection.execute(due).scalar()


def settle_delivery(
    connection: Connection, account: str, name: str, *, fate: str, reason: str | None, next_try_at: str | None
) -> None:
    """Record an attempt, or why there was none; what the device acknowledged meanwhile stands."""
    acknowledged = _d.fate.in_(_BY_DEVICE)
    changes = {
        "fate": case((acknowledged, _d.fate), else_=fate),
        "reason": reason,
        "attempts": _d.attempts + int(fate not in _UNTRIED),
        "next_try_at": case((acknowledged, None), else_=next_try_at),
    }
    mine = update(tables.deliveries).filter_by(account=account, id=name)
    connection.execute(mine.values(changes))


def deliveries(connection: Connection, account: str, *, before: str | None, limit: int) -> list[Delivery]:
    """Return deliveries, newest first."""
    query = select(tables.deliveries).filter_by(account=account)
    if before is not None:
        query = query.where(_d.id < before)
    rows = connection.execute(query.order_by(_d.id.desc()).limit(limit)).mappings()
    return [_delivery(row, json.loads(row["planned"])["delivery"]) for row in rows]


def _delivery(row: RowMapping, said: JsonObject) -> Delivery:
    moved = {name: row[name] for name in ("fate", "reason", "attempts")}
    return Delivery.from_json({**said, **moved})


def create_upload(connection: Connection, account: str, principal: str, upload: Upload, *, now: str) -> None:
    """Reserve an upload; what expired without being posted makes room.

    Raises:
        DeskhandError: ``too_large``.
    """
    owned: RowValues = {"account": account, "principal": principal, "posted": False}
    connection.execute(delete(tables.uploads).filter_by(**owned).where(_u.expires_at < now))
    reserved = select(func.coalesce(func.sum(_u.size), 0)).filter_by(**owned)
    if int(connection.execute(reserved).scalar_one()) + upload.size > limits.UPLOAD_QUOTA_BYTES:
        raise DeskhandError(Code.TOO_LARGE, f"{limits.UPLOAD_QUOTA_BYTES} bytes waiting to be posted")
    row: RowValues = {name: getattr(upload, name) for name in _FIELDS}
    connection.execute(insert(tables.uploads), row | owned)


def find_upload(connection: Connection, account: str, principal: str, name: str) -> Upload | None:
    """Return an upload of exactly this principal."""
    row = one(connection, tables.uploads, account=account, id=name, principal=principal)
    return None if row is None else Upload(**{field: row[field] for field in _FIELDS})


def finished_upload(connection: Connection, account: str, name: str, *, principal: str) -> Upload | None:
    """Return an upload of exactly this principal whose bytes are all here."""
    found = find_upload(connection, account, principal, name)
    return found if found is not None and found.sha256 is not None else None


def finish_upload(connection: Connection, account: str, name: str, *, sha256: str, media_type: str) -> None:
    """Note that all bytes of an upload are here, and what they are; a finished one stays as it is."""
    open_one = update(tables.uploads).filter_by(account=account, id=name, sha256=None)
    here = {"offset": _u.size, "sha256": sha256, "media_type": media_type}
    connection.execute(open_one.values(here))


def keep_uploads(connection: Connection, account: str, names: Sequence[str]) -> None:
    """A message names these: they no longer expire."""
    mine = update(tables.uploads).filter_by(account=account).where(_u.id.in_(names))
    connection.execute(mine.values(posted=True))


def named_blobs(connection: Connection) -> set[str]:
    """Return every blob that an artifact or upload of any account names."""
    both = select(_artifacts.blob).union(select(_u.sha256))
    return {name for name in connection.execute(both).scalars() if name is not None}

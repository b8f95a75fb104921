"""Notifications as due rows: planned once with the event that causes them, claimed, tried, settled.

A claim moves ``next_try_at`` to the end of the claim, so that a hub that dies in between loses nothing (R6). It
refuses to let a late answer of a push service undo what the device itself acknowledged.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import (
    Connection,
    RowMapping,
    String,
    bindparam,
    case,
    delete,
    func,
    select,
    tuple_,
    update,
)

from deskhand.clock import stamp, unstamp
from deskhand.limits import DELIVERY_CLAIM_SECONDS, PUSH_SUBSCRIPTIONS_PER_DEVICE
from deskhand.ports import DueDelivery, PlannedDelivery, PushSubscription
from deskhand.protocol.objects import Delivery
from deskhand.protocol.wire import JsonObject
from deskhand.store import tables
from deskhand.store.rows import RowValues, dumped, json_text
from deskhand.store.tables import inserting, put

_d = tables.deliveries.c
_s = tables.subscriptions.c

_ORDER = ("planned", "held", "suppressed", "failed", "sent", "accepted", "shown", "tapped")
_BY_DEVICE = ("shown", "tapped")
_COLUMNS = ("id", "tag", "device", "task", "fate", "reason", "attempts")
_NOTICE = ("title", "body", "url_path", "urgency", "ttl_seconds")

_MINE = (_d.account == bindparam("of"), _d.id == bindparam("name"))
_STANDS = select(_d.fate, _d.device).where(*_MINE)
_MOVE = update(tables.deliveries).where(*_MINE).values(fate=bindparam("now"), next_try_at=None)
_NEXT = select(func.min(_d.next_try_at)).where(_d.next_try_at.is_not(None))
_ACKNOWLEDGED = _d.fate.in_(_BY_DEVICE)
_SETTLE = (
    update(tables.deliveries)
    .where(*_MINE)
    .values(
        fate=case((_ACKNOWLEDGED, _d.fate), else_=bindparam("now", type_=String)),
        reason=bindparam("why"),
        attempts=_d.attempts + 1,
        next_try_at=case((_ACKNOWLEDGED, None), else_=bindparam("again", type_=String)),
    )
)


def put_subscription(connection: Connection, subscription: PushSubscription) -> None:
    """Keep a subscription; the same endpoint replaces itself, the oldest of a device beyond the limit go."""
    account = subscription.account
    same = (_s.endpoint == subscription.endpoint, _s.id != subscription.id)
    connection.execute(delete(tables.subscriptions).where(_s.account == account, *same))
    put(connection, tables.subscriptions, asdict(subscription))
    of_device = (_s.account == account, _s.device == subscription.device)
    newest = select(_s.id).where(*of_device).order_by(_s.id.desc())
    kept = newest.limit(PUSH_SUBSCRIPTIONS_PER_DEVICE)
    connection.execute(delete(tables.subscriptions).where(*of_device, _s.id.not_in(kept)))


def drop_subscription(connection: Connection, account: str, name: str) -> None:
    """Forget a subscription."""
    connection.execute(delete(tables.subscriptions).where(_s.account == account, _s.id == name))


def subscriptions(connection: Connection, account: str) -> list[PushSubscription]:
    """Return all push subscriptions of the account, oldest first."""
    query = select(tables.subscriptions).where(_s.account == account).order_by(_s.id)
    return [PushSubscription(**row) for row in connection.execute(query).mappings()]


def plan(connection: Connection, account: str, planned: PlannedDelivery) -> None:
    """Store a delivery unless one of the same (tag, class, subscription) is there."""
    delivery = planned.delivery
    notice = {name: getattr(planned, name) for name in _NOTICE}
    row: RowValues = {
        "account": account,
        "class": delivery.kind,
        "subscription": planned.subscription or "",
        **{name: getattr(delivery, name) for name in _COLUMNS},
        "next_try_at": planned.next_try_at if delivery.fate == "planned" else None,
        "planned": json_text({"delivery": dumped(delivery), "notice": notice}),
    }
    statement = inserting(connection, tables.deliveries).on_conflict_do_nothing()
    connection.execute(statement, row)


def acknowledge(connection: Connection, account: str, name: str, *, fate: str, device: str) -> bool:
    """Record shown or tapped; return whether it was this device's and moved forward."""
    asked = {"of": account, "name": name}
    row = connection.execute(_STANDS, asked).first()
    if row is None or row.device != device or _ORDER.index(fate) <= _ORDER.index(row.fate):
        return False
    connection.execute(_MOVE, {**asked, "now": fate})
    return True


def claim(connection: Connection, now: str, *, limit: int) -> list[DueDelivery]:
    """Take rows whose time has come for a while, the longest overdue first; no other hub sends them too."""
    due = (
        select(_d.account, _d.id)
        .where(_d.next_try_at <= now)
        .order_by(_d.next_try_at, _d.account, _d.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    keys = [(row.account, row.id) for row in connection.execute(due)]
    if not keys:
        return []
    claimed = tuple_(_d.account, _d.id).in_(keys)
    until = stamp(unstamp(now) + timedelta(seconds=DELIVERY_CLAIM_SECONDS))
    connection.execute(update(tables.deliveries).where(claimed).values(next_try_at=until))
    joined = tables.deliveries.outerjoin(
        tables.subscriptions, (_s.account == _d.account) & (_s.id == _d.subscription)
    )
    rows = (
        select(tables.deliveries, _s.endpoint, _s.p256dh, _s.auth, _s.device.label("of_device"))
        .select_from(joined)
        .where(claimed)
        .order_by(_d.account, _d.id)
    )
    return [_due_delivery(row) for row in connection.execute(rows).mappings()]


def let_go(connection: Connection, now: str) -> None:
    """Free first tries that a hub which is gone had claimed; only for a hub that has the store to itself."""
    taken = (_d.fate == "planned") & (_d.next_try_at > now)
    connection.execute(update(tables.deliveries).where(taken).values(next_try_at=now))


def hasten(connection: Connection, *, after: str, to: str) -> None:
    """Let whatever is due after one moment be due at another."""
    late = update(tables.deliveries).where(_d.next_try_at > after)
    connection.execute(late.values(next_try_at=to))


def next_at(connection: Connection) -> str | None:
    """Return when the next delivery is due."""
    return connection.execute(_NEXT).scalar()


def settle(
    connection: Connection,
    account: str,
    name: str,
    *,
    fate: str,
    reason: str | None,
    next_try_at: str | None,
) -> None:
    """Record one attempt; what the device acknowledged meanwhile stands."""
    said = {"of": account, "name": name, "now": fate, "why": reason, "again": next_try_at}
    connection.execute(_SETTLE, said)


def ledger(
    connection: Connection, account: str, *, before: str | None, limit: int
) -> list[Delivery]:
    """Return deliveries, newest first."""
    query = select(tables.deliveries).where(_d.account == account)
    if before is not None:
        query = query.where(_d.id < before)
    rows = connection.execute(query.order_by(_d.id.desc()).limit(limit)).mappings()
    return [_delivery(row, json.loads(row["planned"])["delivery"]) for row in rows]


def _delivery(row: RowMapping, said: JsonObject) -> Delivery:
    moved = {name: row[name] for name in ("fate", "reason", "attempts")}
    return Delivery.from_json({**said, **moved})


def _due_delivery(row: RowMapping) -> DueDelivery:
    planned = json.loads(row["planned"])
    subscription = None
    if row["endpoint"] is not None:
        keys = {name: row[name] for name in ("account", "endpoint", "p256dh", "auth")}
        subscription = PushSubscription(id=row["subscription"], device=row["of_device"], **keys)
    return DueDelivery(
        account=row["account"],
        delivery=_delivery(row, planned["delivery"]),
        subscription=subscription,
        **planned["notice"],
    )

"""Notifications as due rows: planned once with the event that causes them, claimed, tried, settled.

A claim moves ``next_try_at`` to the end of the claim, so that a hub that dies in between loses nothing (R6). It
refuses to let a late answer of a push service undo what the device itself acknowledged.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import Connection, RowMapping, case, delete, func, select, tuple_, update

from deskhand.clock import stamp, unstamp
from deskhand.limits import DELIVERY_CLAIM_SECONDS, PUSH_SUBSCRIPTIONS_PER_DEVICE
from deskhand.ports import DueDelivery, Notice, PlannedDelivery, PushSubscription
from deskhand.protocol.objects import Delivery
from deskhand.protocol.wire import JsonObject
from deskhand.store import tables
from deskhand.store.rows import RowValues, dumped, json_text
from deskhand.store.tables import inserting, one, put

_d = tables.deliveries.c
_s = tables.subscriptions.c

_ORDER = ("planned", "held", "suppressed", "failed", "sent", "accepted", "shown", "tapped")
_BY_DEVICE = ("shown", "tapped")
_COLUMNS = ("id", "tag", "device", "task", "fate", "reason", "attempts")


def put_subscription(connection: Connection, subscription: PushSubscription) -> None:
    """Keep a subscription; the same endpoint replaces itself, the oldest of a device beyond the limit go."""
    account, device = subscription.account, subscription.device
    same = delete(tables.subscriptions).filter_by(account=account, endpoint=subscription.endpoint)
    connection.execute(same.where(_s.id != subscription.id))
    put(connection, tables.subscriptions, asdict(subscription))
    newest = select(_s.id).filter_by(account=account, device=device).order_by(_s.id.desc())
    older = delete(tables.subscriptions).filter_by(account=account, device=device)
    kept = newest.limit(PUSH_SUBSCRIPTIONS_PER_DEVICE)
    connection.execute(older.where(_s.id.not_in(kept)))


def drop_subscription(connection: Connection, account: str, name: str) -> None:
    """Forget a subscription."""
    connection.execute(delete(tables.subscriptions).filter_by(account=account, id=name))


def subscriptions(connection: Connection, account: str) -> list[PushSubscription]:
    """Return all push subscriptions of the account, oldest first."""
    query = select(tables.subscriptions).filter_by(account=account).order_by(_s.id)
    return [PushSubscription(**row) for row in connection.execute(query).mappings()]


def plan(connection: Connection, account: str, planned: PlannedDelivery) -> None:
    """Store a delivery unless one of the same (tag, class, subscription) is there."""
    delivery = planned.delivery
    row: RowValues = {name: getattr(delivery, name) for name in _COLUMNS}
    row |= {"account": account, "class": delivery.kind, "subscription": planned.subscription or ""}
    row["next_try_at"] = delivery.at if delivery.fate == "planned" else None
    row["planned"] = json_text({"delivery": dumped(delivery), "notice": asdict(planned.notice)})
    statement = inserting(connection, tables.deliveries).on_conflict_do_nothing()
    connection.execute(statement, row)


def acknowledge(connection: Connection, account: str, name: str, *, fate: str, device: str) -> bool:
    """Record shown or tapped; return whether it was this device's and moved forward."""
    row = one(connection, tables.deliveries, account=account, id=name)
    if row is None or row["device"] != device or _ORDER.index(fate) <= _ORDER.index(row["fate"]):
        return False
    mine = update(tables.deliveries).filter_by(account=account, id=name)
    connection.execute(mine.values(fate=fate, next_try_at=None))
    return True


def claim(connection: Connection, now: str, *, limit: int) -> list[DueDelivery]:
    """Take rows whose time has come for a while, the longest overdue first; no other hub sends them too."""
    due = select(tables.deliveries).where(_d.next_try_at <= now).with_for_update(skip_locked=True)
    longest = due.order_by(_d.next_try_at, _d.account, _d.id).limit(limit)
    rows = connection.execute(longest).mappings().all()
    if not rows:
        return []
    until = stamp(unstamp(now) + timedelta(seconds=DELIVERY_CLAIM_SECONDS))
    claimed = tuple_(_d.account, _d.id).in_([(row["account"], row["id"]) for row in rows])
    connection.execute(update(tables.deliveries).where(claimed).values(next_try_at=until))
    named = tuple_(_s.account, _s.id).in_([(row["account"], row["subscription"]) for row in rows])
    held = connection.execute(select(tables.subscriptions).where(named)).mappings()
    known = {(row["account"], row["id"]): PushSubscription(**row) for row in held}
    return [_due_delivery(row, known.get((row["account"], row["subscription"]))) for row in rows]


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
    due = select(func.min(_d.next_try_at)).where(_d.next_try_at.is_not(None))
    return connection.execute(due).scalar()


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
    acknowledged = _d.fate.in_(_BY_DEVICE)
    changes = {
        "fate": case((acknowledged, _d.fate), else_=fate),
        "reason": reason,
        "attempts": _d.attempts + 1,
        "next_try_at": case((acknowledged, None), else_=next_try_at),
    }
    mine = update(tables.deliveries).filter_by(account=account, id=name)
    connection.execute(mine.values(changes))


def ledger(
    connection: Connection, account: str, *, before: str | None, limit: int
) -> list[Delivery]:
    """Return deliveries, newest first."""
    query = select(tables.deliveries).filter_by(account=account)
    if before is not None:
        query = query.where(_d.id < before)
    rows = connection.execute(query.order_by(_d.id.desc()).limit(limit)).mappings()
    return [_delivery(row, json.loads(row["planned"])["delivery"]) for row in rows]


def _delivery(row: RowMapping, said: JsonObject) -> Delivery:
    moved = {name: row[name] for name in ("fate", "reason", "attempts")}
    return Delivery.from_json({**said, **moved})


def _due_delivery(row: RowMapping, subscription: PushSubscription | None) -> DueDelivery:
    planned = json.loads(row["planned"])
    return DueDelivery(
        account=row["account"],
        delivery=_delivery(row, planned["delivery"]),
        subscription=subscription,
        notice=Notice(**{"id": row["id"], "tag": row["tag"], **planned["notice"]}),
    )

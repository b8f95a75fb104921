"""Turns a decided announcement into delivery rows, one for each subscription, in the same transaction.

The words come from the catalogue and name the kind of thing only. It refuses to send; ``delivering`` does.
"""

from __future__ import annotations

from deskhand.core.delivery import Announcement
from deskhand.ids import Ids
from deskhand.ports import PlannedDelivery, PushSubscription, Tx
from deskhand.protocol.objects import Delivery
from deskhand.texts import text

WEB_PUSH = "webpush"


def plan(
    tx: Tx, announced: Announcement, *, task: str | None, ids: Ids, language: str
) -> list[Delivery]:
    """Plan the announcement for every subscription of the account."""
    return [
        plan_for(tx, announced, subscription, task=task, ids=ids, language=language)
        for subscription in tx.subscriptions()
    ]


def plan_for(
    tx: Tx,
    announced: Announcement,
    subscription: PushSubscription,
    *,
    task: str | None,
    ids: Ids,
    language: str,
) -> Delivery:
    """Plan the announcement for one subscription."""
    delivery = Delivery.from_json(
        {
            "id": ids.new("dlv"),
            "class": announced.kind,
            "road": WEB_PUSH,
            "device": subscription.device,
            "task": task,
            "tag": announced.tag,
            "fate": "planned",
            "at": tx.now,
        }
    )
    planned = PlannedDelivery(
        delivery=delivery,
        subscription=subscription.id,
        title=text(announced.title_id, language=language),
        body=text(announced.body_id, language=language),
        url_path=announced.url_path,
        urgency=announced.urgency,
        ttl_seconds=announced.ttl_seconds,
        next_try_at=tx.now,
    )
    tx.plan_delivery(planned)
    return delivery

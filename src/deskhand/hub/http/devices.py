"""Devices and where their notifications go: taking a device's rights, subscribing, trying it out."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from deskhand.core.delivery import trial_announcement
from deskhand.errors import Code, DeskhandError
from deskhand.hub.announcing import plan_for
from deskhand.hub.http.access import Door, GuardedRoute, PushDoor, TheCaller, TheDoor
from deskhand.hub.http.answers import Answer, spoken
from deskhand.hub.http.bodies import described, read_json
from deskhand.hub.http.ops import submit_one
from deskhand.ports import PushSubscription, Tx
from deskhand.protocol.objects import Delivery
from deskhand.protocol.ops import Op
from deskhand.protocol.requests import PushAsk

router = APIRouter(route_class=GuardedRoute)


@router.delete("/v1/devices/{device}", status_code=204)
async def revoke_device(
    request: Request, door: TheDoor, caller: TheCaller, device: str
) -> Response:
    """Take every right from a device at once: token, streams, pushes, leases (PA-07)."""
    op = Op(op_id=door.hub.ids.new("del"), kind="device.revoke", body={"device": device})
    await submit_one(request, door, caller, op)
    door.hub.streams.disconnect(device)
    return Response(status_code=204)


@router.get("/v1/push/key")
async def push_key(door: TheDoor) -> Answer:
    """Return what a page gives to ``pushManager.subscribe``."""
    return Answer({"key": _push(door).public_key})


@router.post("/v1/push/subscriptions", status_code=201, openapi_extra=described(PushAsk))
async def subscribe(request: Request, door: TheDoor, caller: TheCaller) -> Answer:
    """Send this device's notifications there."""
    wish = await read_json(request, PushAsk)
    if not _push(door).allows(wish.endpoint):
        raise DeskhandError(Code.ADDRESS_REFUSED, field="endpoint")
    me = caller.principal
    subscription = PushSubscription(
        id=door.hub.ids.new("sub"),
        account=me.account,
        device=me.id,
        endpoint=wish.endpoint,
        p256dh=wish.keys.p256dh,
        auth=wish.keys.auth,
    )
    await door.hub.store.put_subscription(subscription)
    return Answer({"id": subscription.id}, status_code=201)


@router.post("/v1/push/test", status_code=202)
async def push_test(request: Request, door: TheDoor, caller: TheCaller) -> Answer:
    """Plan a notification to this device; its fate is among the deliveries."""
    me, ids, language = caller.principal, door.hub.ids, spoken(request)

    def work(tx: Tx) -> list[Delivery]:
        mine = [one for one in tx.subscriptions() if one.device == me.id]
        announced = trial_announcement(ids.new("try"))
        return [plan_for(tx, announced, one, task=None, ids=ids, language=language) for one in mine]

    planned = await door.hub.store.write(me.account, work)
    if not planned:
        raise DeskhandError(Code.ILLEGAL_STATE, "no subscription")
    door.hub.courier.wake()
    return Answer({"deliveries": [one.id for one in planned]}, status_code=202)


def _push(door: Door) -> PushDoor:
    if door.push is None:
        raise DeskhandError(Code.UNAVAILABLE, "push")
    return door.push

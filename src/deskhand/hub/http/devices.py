"""Devices over HTTP: pairing (the decisions are in ``hub.pairing``), taking rights away, and where pushes go."""

from __future__ import annotations

from starlette.responses import Response

from deskhand.core.delivery import trial_announcement
from deskhand.errors import Code, DeskhandError
from deskhand.hub.delivering import plan
from deskhand.hub.http.access import Call, TheCall, cookie_for
from deskhand.hub.http.messages import Answer, read_json
from deskhand.hub.peer import Peer, uid_of
from deskhand.ports import PushSubscription
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Op
from deskhand.protocol.requests import InviteAsk, PairAsk, PairClaim, PairPending, PushAsk


async def ask_to_join(call: TheCall) -> Answer:
    """File a request to join by an invitation's secret or digits."""
    wish = await read_json(call.request, PairAsk)
    return Answer(await call.hub.pairing.ask(wish, peer=_peer(call)), status_code=202)


async def claim(call: TheCall) -> Answer:
    """Return whether somebody decided; once admitted, the credential, once."""
    wish = await read_json(call.request, PairClaim)
    outcome, cookie = await call.hub.pairing.claim(wish, peer=_peer(call))
    answer = Answer(outcome, status_code=202 if isinstance(outcome, PairPending) else 200)
    if cookie is not None:
        answer.headers["Set-Cookie"] = cookie_for(str(call.request.state.origin), cookie)
    return answer


async def create_invite(call: TheCall) -> Answer:
    """Make an invitation; its secret is in this answer and nowhere else."""
    wish = await read_json(call.request, InviteAsk)
    made = await call.hub.pairing.create_invite(call.me.account, wish)
    return Answer(made, status_code=201)


async def close_invite(call: TheCall, invite: str) -> Response:
    """End an invitation, because what showed it is closed."""
    await call.hub.pairing.close_invite(call.me.account, invite)
    return Response(status_code=204)


async def revoke_device(call: TheCall, device: str) -> Response:
    """Take every right from a device at once: token, streams, pushes, leases (PA-07)."""
    op = Op(op_id=call.hub.ids.new("del"), kind="device.revoke", body={"device": device})
    await call.do(op)
    return Response(status_code=204)


async def push_key(call: TheCall) -> Answer:
    """Return what a page gives to ``pushManager.subscribe``."""
    return Answer({"key": call.door.push.public_key})


async def subscribe(call: TheCall) -> Answer:
    """Send this device's notifications there."""
    wish = await read_json(call.request, PushAsk)
    if not call.door.push.allows(wish.endpoint):
        raise DeskhandError(Code.ADDRESS_REFUSED, field="endpoint")
    subscription = PushSubscription(
        id=call.hub.ids.new("sub"),
        account=call.me.account,
        device=call.me.id,
        endpoint=wish.endpoint,
        p256dh=wish.keys.p256dh,
        auth=wish.keys.auth,
    )
    await call.hub.store.put_subscription(subscription)
    return Answer({"id": subscription.id}, status_code=201)


async def push_test(call: TheCall) -> Answer:
    """Plan a notification to this device, or from the owner's terminal to every one; its fate is a delivery."""
    ids, me, language = call.hub.ids, call.me, call.language
    trial = trial_announcement(ids.new("try"))
    at_terminal = call.credential is not None and call.credential.kind == "cli"
    device = None if at_terminal and me.role is Role.OWNER else me.id
    planned = await call.hub.store.write(
        me.account, lambda tx: plan(tx, trial, ids=ids, language=language, device=device)
    )
    if not planned:
        raise DeskhandError(Code.ILLEGAL_STATE, "no subscription")
    call.hub.courier.woken.set()
    return Answer({"deliveries": planned}, status_code=202)


def _peer(call: Call) -> Peer:
    """Return who is at the other end of the connection, with the user where the kernel tells."""
    server, client = call.request.scope.get("server"), call.request.client
    uid = uid_of(server, (client.host, client.port)) if server and client else None
    return Peer(address=call.address, uid=uid)

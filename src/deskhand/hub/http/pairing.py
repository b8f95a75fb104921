"""Pairing over HTTP: invitations, requests, claims. The decisions are in ``hub.pairing``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from deskhand.hub.http.access import GuardedRoute, TheCaller, TheDoor, cookie_for
from deskhand.hub.http.answers import Answer
from deskhand.hub.http.bodies import described, read_json
from deskhand.hub.pairing import Claimed
from deskhand.protocol.requests import InviteAsk, PairAsk, PairClaim

router = APIRouter(route_class=GuardedRoute)


@router.post("/v1/pair", status_code=202, openapi_extra=described(PairAsk))
async def ask_to_join(request: Request, door: TheDoor) -> Answer:
    """File a request to join by an invitation's secret or digits."""
    wish = await read_json(request, PairAsk)
    return Answer(await door.pairing.ask(wish, peer=door.peer(request)), status_code=202)


@router.post("/v1/pair/claim", openapi_extra=described(PairClaim))
async def claim(request: Request, door: TheDoor) -> Answer:
    """Return whether somebody decided; once admitted, the credential, once."""
    wish = await read_json(request, PairClaim)
    outcome = await door.pairing.claim(wish, peer=door.peer(request))
    if not isinstance(outcome, Claimed):
        return Answer(outcome, status_code=202)
    answer = Answer(outcome.answer)
    if outcome.cookie is not None:
        line = cookie_for(str(request.state.origin), outcome.cookie)
        answer.raw_headers.append((b"set-cookie", line.encode("ascii")))
    return answer


@router.post("/v1/pair/invites", status_code=201, openapi_extra=described(InviteAsk))
async def create_invite(request: Request, door: TheDoor, caller: TheCaller) -> Answer:
    """Make an invitation; its secret is in this answer and nowhere else."""
    wish = await read_json(request, InviteAsk)
    made = await door.pairing.create_invite(caller.principal.account, wish)
    return Answer(made, status_code=201)


@router.delete("/v1/pair/invites/{invite}", status_code=204)
async def close_invite(door: TheDoor, caller: TheCaller, invite: str) -> Response:
    """End an invitation, because what showed it is closed."""
    await door.pairing.close_invite(caller.principal.account, invite)
    return Response(status_code=204)

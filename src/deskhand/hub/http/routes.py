"""Reading and writing over HTTP: ops go in; the stream, pages of events, the snapshot, lists; devices and their pushes.

Everybody sees their own conversations and what is shared (security 2.1); unknown and foreign are the same ``not_found``.
A reader that does not keep up is cut and resumes from its cursor: neither the hub's queue nor the socket's buffer
grows for it. A stream that is refused is refused with a status, before its first byte. What pairing comes to is decided
in ``hub.credentials``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated

from fastapi import Header, Query
from pydantic_core import to_json
from starlette.responses import Response

from deskhand import __version__, limits
from deskhand.core.delivery import Announcement
from deskhand.core.settings import REGISTRY
from deskhand.errors import Code, DeskhandError
from deskhand.hub import delivering
from deskhand.hub.http.access import Answering, Call, TheCall, cookie_for
from deskhand.hub.http.messages import HEADERS, Answer, Flow, items, read_json
from deskhand.ports import Frame, PushSubscription, W
from deskhand.protocol import objects, ops, tasks, wire
from deskhand.protocol import requests as asks

Limit = Annotated[int, Query(ge=1, le=limits.LIST_LIMIT_MAX)]
Seq = Annotated[int, Query(ge=0, le=limits.INTEGER_MAX)]


async def post_ops(call: TheCall) -> Answer:
    """Handle a batch; each op has its own result, and being repeated is harmless."""
    batch = await read_json(call.request, asks.OpBatch)
    results = await call.hub.submit(call.me, batch.ops, surface=call.surface, language=call.language)
    return Answer(asks.OpResults(results=tuple(results)))


async def post_task(
    call: TheCall, key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=80)] = None
) -> Answer:
    """Assign one task; with ``Idempotency-Key`` a repeated call returns the first one's task."""
    wish = await read_json(call.request, asks.TaskPost)
    key = key or call.hub.ids.new("key")
    body = wish.model_dump(mode="json", exclude_unset=True, exclude={"thread", "meant"})
    body["as"] = "task"
    op = ops.Op(op_id=f"task-key:{key}", kind="message.post", thread=wish.thread, body=body)
    result = await call.do(op)
    task = await call.get(tasks.Task, result.task or "")
    return Answer(task, status_code=200 if result.status == "duplicate" else 201)


async def stream(
    call: TheCall,
    after: Seq = 0,
    live: Annotated[str | None, Query(max_length=100)] = None,
    last: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=limits.INTEGER_MAX)] = None,
    *,
    screen: bool = False,
) -> Flow:
    """Send what is after the cursor, then what comes; ``Last-Event-ID`` wins over ``after``.

    A ``screen`` is a page that somebody has before them now: what it shows need not be notified.
    """
    after = after if last is None else last
    screen = screen and call.surface == "page"
    frames = call.hub.stream(call.me, after=after, acknowledged=call.acknowledged, live=live, screen=screen)
    first = await anext(frames, None)
    return Flow(_lines(first, frames), headers=HEADERS["stream"], media_type="text/event-stream")


async def sync(
    call: TheCall,
    after: Seq = 0,
    limit: Limit = limits.LIST_LIMIT_MAX,
    wait: Annotated[float, Query(ge=0, le=limits.SYNC_WAIT_SECONDS_MAX)] = 0,
) -> Answer:
    """Return the events after a cursor; with none, wait for some."""
    page = await call.hub.sync(call.me, after=after, limit=limit, wait=wait)
    log = {"head": page.head, "incarnation": page.incarnation}
    return Answer({"events": page.events, "next": page.looked_at, "more": page.more, **log})


async def snapshot(call: TheCall) -> Answer:
    """Return where a device starts from."""
    return Answer(await call.hub.snapshot(call.me))


def one_of(kind: type[wire.Wire]) -> Answering:
    """Return what answers with one object by its id."""

    async def one(call: TheCall, name: str) -> Answer:
        return Answer(await call.get(kind, name))

    return one


def list_of(kind: type[wire.Wire], *states: str) -> Answering:
    """Return what answers with objects in these states, newest first; ``open``: only what waits for a person."""

    async def some(call: TheCall, part: Annotated[asks.Part, Query()]) -> Answer:
        return await _page(call, kind, part, states=("open",) if part.is_open else states)

    return some


async def list_tasks(call: TheCall, part: Annotated[asks.TaskPart, Query()]) -> Answer:
    """Return tasks, newest first."""
    return await _page(call, tasks.Task, part, thread=part.thread, states=part.state or ())


async def list_thread_events(
    call: TheCall,
    thread: str,
    before: Annotated[int | None, Query(ge=0, le=limits.INTEGER_MAX)] = None,
    limit: Limit = limits.LIST_LIMIT_DEFAULT,
) -> Answer:
    """Return the newest events of a conversation before a seq, oldest first; ``next`` is the seq to go on before."""
    await call.get(objects.Thread, thread)
    found = await call.hub.store.thread_events(call.me, thread, before=before, limit=limit)
    return items(found, following=str(found[0].seq) if len(found) == limit else None)


async def list_runners(call: TheCall) -> Answer:
    """Return the account's computers, each with how its link stands: ``link`` is the ``state`` of its presence."""
    links = await call.hub.store.presence(call.me.account)
    known = {name: {**link.to_json(), "link": link.state} for name, link in links.items()}
    rows = [
        {"connected": False, **known.get(runner.id, {}), **runner.to_json()}
        for runner in await call.find(objects.Runner)
    ]
    return items(rows)


async def list_deliveries(call: TheCall, part: Annotated[asks.Part, Query()]) -> Answer:
    """Return notifications with their fates, newest first: everybody's own, and by roads without a device the owner's."""
    me, holders = call.me, {one.id: one.holder for one in await call.find(objects.Device)}
    found = await call.hub.store.deliveries(me.account, before=part.before, limit=part.limit)
    rows = [one for one in found if holders.get(one.device or "", one.device or "") == me.person]
    return items(rows, following=found[-1].id if len(found) == part.limit else None)


async def search(
    call: TheCall,
    q: Annotated[str, Query(min_length=1, max_length=limits.NAME_CHARS_MAX)],
    limit: Annotated[int, Query(ge=1, le=limits.LIST_LIMIT_DEFAULT)] = limits.SEARCH_LIMIT_DEFAULT,
) -> Answer:
    """Return where all words stand together: in titles, messages, results or names of files that the caller sees."""
    return items(await call.hub.store.search(call.me, q, limit=limit))


async def list_commands(call: TheCall) -> Answer:
    """Return the commands that some computer of the account understands; the newest computer describes each."""
    runners = await call.find(objects.Runner, "active")
    known = {command.name: command for one in reversed(runners) for command in one.commands}
    return items([known[name] for name in sorted(known)])


async def list_settings(call: TheCall) -> Answer:
    """Return every setting of the account with its value, its default and when it was changed."""
    changed = {one.id: one.to_json() for one in await call.find(objects.Setting)}
    rows = [
        {"id": spec.name, "value": spec.default, "default": spec.default, "choices": spec.choices}
        | changed.get(spec.name, {})
        for spec in REGISTRY.values()
        if spec.account
    ]
    return items(rows)


async def ask_to_join(call: TheCall) -> Answer:
    """File a request to join by an invitation's secret or digits."""
    wish = await read_json(call.request, asks.PairAsk)
    return Answer(await call.hub.pairing.ask(wish, peer=call.peer), status_code=202)


async def claim(call: TheCall) -> Answer:
    """Return whether somebody decided; once admitted, the credential, once."""
    wish = await read_json(call.request, asks.PairClaim)
    outcome, cookie = await call.hub.pairing.claim(wish, peer=call.peer)
    answer = Answer(outcome, status_code=202 if isinstance(outcome, asks.PairPending) else 200)
    if cookie is not None:
        answer.headers["Set-Cookie"] = cookie_for(str(call.request.state.origin), cookie)
    return answer


async def create_invite(call: TheCall) -> Answer:
    """Make an invitation; its secret is in this answer and nowhere else."""
    wish = await read_json(call.request, asks.InviteAsk)
    made = await call.hub.pairing.create_invite(call.me.account, wish, at=str(call.request.state.origin))
    return Answer(made, status_code=201)


async def list_invites(call: TheCall) -> Answer:
    """Return the invitations that still open something, without what opens them, and where a phone finds this hub."""
    pairing = call.hub.pairing
    return Answer({"items": await pairing.invitations(call.me.account), "next": None, "road": pairing.road or None})


async def use_here(call: TheCall) -> Response:
    """Let a folder of this very computer be used; only the browser of whoever sits at it can say so."""
    wish = await read_json(call.request, asks.HereAsk)
    await call.hub.pairing.use_here(call.me.id, wish, peer=call.peer)
    return Response(status_code=204)


async def close_invite(call: TheCall, invite: str) -> Response:
    """End an invitation, because what showed it is closed."""
    await call.hub.pairing.close_invite(call.me.account, invite)
    return Response(status_code=204)


async def revoke_device(call: TheCall, device: str) -> Response:
    """Take every right from a device at once: token, streams, pushes, leases (PA-07)."""
    op = ops.Op(op_id=call.hub.ids.new("del"), kind="device.revoke", body={"device": device})
    await call.do(op)
    return Response(status_code=204)


async def push_key(call: TheCall) -> Answer:
    """Return what a page gives to ``pushManager.subscribe``, and the other roads that lead somewhere."""
    return Answer({"key": call.door.push.public_key, "roads": [*call.hub.roads()]})


async def subscribe(call: TheCall) -> Answer:
    """Send this device's notifications there."""
    wish = await read_json(call.request, asks.PushAsk)
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
    """Plan a notification to this device, or from the owner's terminal to every one by every road."""
    ids, me, roads = call.hub.ids, call.me, call.hub.roads()
    device = "" if call.surface == "cli" and me.role is objects.Role.OWNER else me.id
    trial = Announcement(kind="test", tag=ids.new("try"))
    planned = await call.hub.store.write(
        me.account, lambda tx: delivering.plan(tx, trial, ids=ids, roads=roads, device=device)
    )
    if not planned:
        raise DeskhandError(Code.ILLEGAL_STATE, "no subscription")
    call.hub.courier.woken.set()
    return Answer({"deliveries": planned}, status_code=202)


async def healthz() -> Answer:
    """Say that the process answers."""
    return Answer({"ok": True})


async def version(call: TheCall, nonce: Annotated[str | None, Query(max_length=100)] = None) -> Answer:
    """Say which program and which protocols this is; and, having signed the ``nonce``, which hub."""
    spoken = {"protocol": limits.PROTOCOL, "protocol_oldest": limits.PROTOCOL_OLDEST}
    return Answer({"version": __version__, **spoken, "hub": call.hub.prove(nonce) if nonce else None})


async def openapi(call: TheCall) -> Answer:
    """Describe the interface."""
    return Answer(call.request.app.openapi())


async def _page(
    call: Call, kind: type[W], part: asks.Part, *, thread: str | None = None, states: Sequence[str] = ()
) -> Answer:
    """Return one page of what the caller may see, newest first."""
    me, before, limit = call.me, part.before, part.limit
    find = call.hub.store.find
    found = await find(me.account, kind, reader=me, states=states, thread=thread, before=before, limit=limit)
    return items(found, following=getattr(found[-1], "id", None) if len(found) == limit else None)


async def _lines(first: Frame | None, frames: AsyncGenerator[Frame]) -> AsyncGenerator[bytes]:
    async with aclosing(frames):
        if first is None:
            return
        yield _encoded(first)
        try:
            async for frame in frames:
                yield _encoded(frame)
        except DeskhandError:
            return  # Revoked: the next request says so with a status.


def _encoded(frame: Frame) -> bytes:
    """Return a frame as an event of the stream."""
    data = to_json(frame.event or frame.data, exclude_none=True)
    number = b"" if frame.seq is None else b"id: %d\n" % frame.seq
    return number + b"event: %s\ndata: %s\n\n" % (frame.kind.encode(), data)

"""Reading: lists and single objects, as folds of the log. Clients and bridges see their own tasks only (security 2.1).

It refuses to tell unknown from foreign: both are ``not_found``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query

from deskhand.core.settings import REGISTRY
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import view_of
from deskhand.hub.http.access import GuardedRoute, TheCaller, TheDoor
from deskhand.hub.http.answers import Answer, items
from deskhand.limits import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, SYNC_WAIT_SECONDS_MAX
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import (
    CommandInfo,
    Device,
    Folder,
    PairRequest,
    Role,
    Runner,
    Setting,
    Thread,
)
from deskhand.protocol.tasks import Approval, Question, Task
from deskhand.protocol.wire import Json, Wire

router = APIRouter(route_class=GuardedRoute)
W = TypeVar("W", bound=Wire)

Limit = Annotated[int, Query(ge=1, le=LIST_LIMIT_MAX)]
Seq = Annotated[int, Query(ge=0, le=2**53 - 1)]
Before = Annotated[str | None, Query(max_length=100)]
Open = Annotated[bool, Query(alias="open")]
_NARROW = frozenset({Role.CLIENT, Role.BRIDGE})


@router.get("/v1/sync")
async def sync(
    door: TheDoor,
    caller: TheCaller,
    after: Seq = 0,
    limit: Limit = LIST_LIMIT_MAX,
    wait: Annotated[float, Query(ge=0, le=SYNC_WAIT_SECONDS_MAX)] = 0,
) -> Answer:
    """Return the events after a cursor; with none, wait for some."""
    page = await door.hub.sync(caller.principal, after=after, limit=limit, wait=wait)
    events: list[Json] = [event.to_json() for event in page.events]
    return Answer({"events": events, "next": page.looked_at, "more": page.more})


@router.get("/v1/snapshot")
async def snapshot(door: TheDoor, caller: TheCaller) -> Answer:
    """Return where a device starts from."""
    return Answer(await door.hub.snapshot(caller.principal))


@router.get("/v1/tasks")
async def list_tasks(
    door: TheDoor,
    caller: TheCaller,
    thread: Annotated[str | None, Query(max_length=100)] = None,
    state: Annotated[list[str] | None, Query(max_length=10)] = None,
    before: Before = None,
    limit: Limit = LIST_LIMIT_DEFAULT,
) -> Answer:
    """Return tasks, newest first."""
    me = caller.principal
    found = await door.hub.store.find(
        me.account, Task, states=state or (), thread=thread, before=before, limit=limit
    )
    return items(_own(found, me), following=_following(found, limit))


@router.get("/v1/tasks/{task}")
async def get_task(door: TheDoor, caller: TheCaller, task: str) -> Answer:
    """Return one task."""
    me = caller.principal
    found = _only(_own([await door.hub.store.get(me.account, Task, task)], me))
    return Answer(found)


@router.get("/v1/threads")
async def list_threads(
    door: TheDoor, caller: TheCaller, before: Before = None, limit: Limit = LIST_LIMIT_DEFAULT
) -> Answer:
    """Return conversations, newest first."""
    me = caller.principal
    found = await door.hub.store.find(me.account, Thread, before=before, limit=limit)
    return items(_own(found, me), following=_following(found, limit))


@router.get("/v1/threads/{thread}")
async def get_thread(door: TheDoor, caller: TheCaller, thread: str) -> Answer:
    """Return one conversation."""
    me = caller.principal
    return Answer(_only(_own([await door.hub.store.get(me.account, Thread, thread)], me)))


@router.get("/v1/threads/{thread}/events")
async def list_thread_events(
    door: TheDoor,
    caller: TheCaller,
    thread: str,
    before: Annotated[int | None, Query(ge=0, le=2**53 - 1)] = None,
    limit: Limit = LIST_LIMIT_DEFAULT,
) -> Answer:
    """Return the newest events of a conversation before a seq, oldest first; ``next`` is the seq to go on before."""
    me = caller.principal
    _only(_own([await door.hub.store.get(me.account, Thread, thread)], me))
    found = await door.hub.store.thread_events(view_of(me), thread, before=before, limit=limit)
    following = str(found[0].seq) if len(found) == limit else None
    return items(found, following=following)


@router.get("/v1/approvals")
async def list_approvals(
    door: TheDoor,
    caller: TheCaller,
    *,
    is_open: Open = False,
    before: Before = None,
    limit: Limit = LIST_LIMIT_DEFAULT,
) -> Answer:
    """Return approvals, newest first."""
    found = await door.hub.store.find(
        caller.principal.account, Approval, states=_states(is_open), before=before, limit=limit
    )
    return items(found, following=_following(found, limit))


@router.get("/v1/approvals/{approval}")
async def get_approval(door: TheDoor, caller: TheCaller, approval: str) -> Answer:
    """Return one approval."""
    found = await door.hub.store.get(caller.principal.account, Approval, approval)
    return Answer(_only([found]))


@router.get("/v1/questions")
async def list_questions(
    door: TheDoor,
    caller: TheCaller,
    *,
    is_open: Open = False,
    before: Before = None,
    limit: Limit = LIST_LIMIT_DEFAULT,
) -> Answer:
    """Return questions, newest first."""
    found = await door.hub.store.find(
        caller.principal.account, Question, states=_states(is_open), before=before, limit=limit
    )
    return items(found, following=_following(found, limit))


@router.get("/v1/runners")
async def list_runners(door: TheDoor, caller: TheCaller) -> Answer:
    """Return the account's computers, each with whether its link is up."""
    account = caller.principal.account
    found = await door.hub.store.find(account, Runner, limit=LIST_LIMIT_MAX)
    links = await door.hub.store.presence(account)
    rows = [
        {**runner.to_json(), **(links[runner.id].to_json() if runner.id in links else {})}
        for runner in found
    ]
    return items([{"connected": False, **row} for row in rows])


@router.get("/v1/folders")
async def list_folders(door: TheDoor, caller: TheCaller) -> Answer:
    """Return the folders that may be used."""
    account = caller.principal.account
    return items(
        await door.hub.store.find(account, Folder, states=("granted",), limit=LIST_LIMIT_MAX)
    )


@router.get("/v1/devices")
async def list_devices(door: TheDoor, caller: TheCaller) -> Answer:
    """Return the devices of the account, revoked ones included."""
    account = caller.principal.account
    return items(await door.hub.store.find(account, Device, limit=LIST_LIMIT_MAX))


@router.get("/v1/pair/requests")
async def list_pair_requests(door: TheDoor, caller: TheCaller) -> Answer:
    """Return who asks to join."""
    account = caller.principal.account
    return items(
        await door.hub.store.find(account, PairRequest, states=("waiting",), limit=LIST_LIMIT_MAX)
    )


@router.get("/v1/deliveries")
async def list_deliveries(
    door: TheDoor, caller: TheCaller, before: Before = None, limit: Limit = LIST_LIMIT_DEFAULT
) -> Answer:
    """Return notifications with their fates, newest first; others than the owner see their own device's."""
    me = caller.principal
    found = await door.hub.store.deliveries(me.account, before=before, limit=limit)
    mine = [one for one in found if me.role is Role.OWNER or one.device == me.id]
    rows: list[dict[str, Json]] = []
    for one in mine:
        row = one.to_json()
        row["class"] = row.pop("kind", one.kind)
        rows.append(row)
    return items(rows, following=_following(found, limit))


@router.get("/v1/commands")
async def list_commands(door: TheDoor, caller: TheCaller) -> Answer:
    """Return the commands that some computer of the account understands."""
    account = caller.principal.account
    found = await door.hub.store.find(account, Runner, states=("active",), limit=LIST_LIMIT_MAX)
    known: dict[str, CommandInfo] = {}
    for runner in found:
        for command in runner.commands:
            known.setdefault(command.name, command)
    return items([known[name] for name in sorted(known)])


@router.get("/v1/settings")
async def list_settings(door: TheDoor, caller: TheCaller) -> Answer:
    """Return every setting of the account with its value, its default and where the value comes from."""
    account = caller.principal.account
    stored = {one.id: one for one in await door.hub.store.find(account, Setting, limit=500)}
    rows: list[dict[str, Json]] = []
    for spec in REGISTRY.values():
        if not spec.account:
            continue
        default: Json = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        row: dict[str, Json] = {"id": spec.name, "value": default, "default": default}
        changed = stored.get(spec.name)
        if changed is not None:
            row.update(changed.to_json())
        row["choices"] = list(spec.choices)
        rows.append(row)
    return items(rows)


def _own(found: Sequence[W | None], me: Principal) -> list[W]:
    """Return what the caller may see of what was found."""
    there = [one for one in found if one is not None]
    if me.role not in _NARROW:
        return there
    return [one for one in there if getattr(one, "created_by", None) == me.id]


def _only(found: Sequence[W | None]) -> W:
    one = found[0] if found else None
    if one is None:
        raise DeskhandError(Code.NOT_FOUND)
    return one


def _following(found: Sequence[Wire], limit: int) -> str | None:
    return str(getattr(found[-1], "id", "")) if found and len(found) == limit else None


def _states(only_open: bool) -> tuple[str, ...]:  # noqa: FBT001 - the value of a query parameter
    return ("open",) if only_open else ()

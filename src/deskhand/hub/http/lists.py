"""Reading: lists and single objects, as folds of the log. Clients and bridges see their own tasks only (security 2.1).

It refuses to tell unknown from foreign: both are ``not_found``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from deskhand.core.settings import REGISTRY
from deskhand.hub.app import visible
from deskhand.hub.http.access import Call, TheCall
from deskhand.hub.http.log import Limit
from deskhand.hub.http.messages import Answer, items
from deskhand.hub.streaming import view_of
from deskhand.limits import INTEGER_MAX, LIST_LIMIT_DEFAULT
from deskhand.ports import W
from deskhand.protocol.objects import Device, Folder, PairRequest, Role, Runner, Setting, Thread
from deskhand.protocol.requests import OpenPart, Part, TaskPart
from deskhand.protocol.tasks import Approval, Question, Task


async def list_tasks(call: TheCall, part: Annotated[TaskPart, Query()]) -> Answer:
    """Return tasks, newest first."""
    return await _page(call, Task, part, thread=part.thread, states=part.state or ())


async def get_task(call: TheCall, task: str) -> Answer:
    """Return one task."""
    return Answer(await call.get(Task, task))


async def list_threads(call: TheCall, part: Annotated[Part, Query()]) -> Answer:
    """Return conversations, newest first."""
    return await _page(call, Thread, part)


async def get_thread(call: TheCall, thread: str) -> Answer:
    """Return one conversation."""
    return Answer(await call.get(Thread, thread))


async def list_thread_events(
    call: TheCall,
    thread: str,
    before: Annotated[int | None, Query(ge=0, le=INTEGER_MAX)] = None,
    limit: Limit = LIST_LIMIT_DEFAULT,
) -> Answer:
    """Return the newest events of a conversation before a seq, oldest first; ``next`` is the seq to go on before."""
    await call.get(Thread, thread)
    view = view_of(call.me)
    found = await call.hub.store.thread_events(view, thread, before=before, limit=limit)
    return items(found, following=str(found[0].seq) if len(found) == limit else None)


async def list_approvals(call: TheCall, part: Annotated[OpenPart, Query()]) -> Answer:
    """Return approvals, newest first."""
    return await _page(call, Approval, part, states=("open",) if part.is_open else ())


async def get_approval(call: TheCall, approval: str) -> Answer:
    """Return one approval."""
    return Answer(await call.get(Approval, approval))


async def list_questions(call: TheCall, part: Annotated[OpenPart, Query()]) -> Answer:
    """Return questions, newest first."""
    return await _page(call, Question, part, states=("open",) if part.is_open else ())


async def list_runners(call: TheCall) -> Answer:
    """Return the account's computers, each with how its link stands: ``link`` is the ``state`` of its presence."""
    links = await call.hub.store.presence(call.me.account)
    known = {name: {**link.to_json(), "link": link.state} for name, link in links.items()}
    rows = [
        {"connected": False, **known.get(runner.id, {}), **runner.to_json()}
        for runner in await call.find(Runner)
    ]
    return items(rows)


async def list_folders(call: TheCall) -> Answer:
    """Return the folders that may be used."""
    return items(await call.find(Folder, "granted"))


async def list_devices(call: TheCall) -> Answer:
    """Return the devices of the account, revoked ones included."""
    return items(await call.find(Device))


async def list_pair_requests(call: TheCall) -> Answer:
    """Return who asks to join."""
    return items(await call.find(PairRequest, "waiting"))


async def list_deliveries(call: TheCall, part: Annotated[Part, Query()]) -> Answer:
    """Return notifications with their fates, newest first; others than the owner see their own device's."""
    me = call.me
    found = await call.hub.store.deliveries(me.account, before=part.before, limit=part.limit)
    rows = [
        one.model_dump(mode="json", by_alias=True, exclude_none=True)
        for one in found
        if me.role is Role.OWNER or one.device == me.id
    ]
    return items(rows, following=found[-1].id if len(found) == part.limit else None)


async def list_commands(call: TheCall) -> Answer:
    """Return the commands that some computer of the account understands; the newest computer describes each."""
    runners = await call.find(Runner, "active")
    known = {command.name: command for one in reversed(runners) for command in one.commands}
    return items([known[name] for name in sorted(known)])


async def list_settings(call: TheCall) -> Answer:
    """Return every setting of the account with its value, its default and when it was changed."""
    changed = {one.id: one.to_json() for one in await call.find(Setting)}
    rows = [
        {"id": spec.name, "value": spec.default, "default": spec.default, "choices": spec.choices}
        | changed.get(spec.name, {})
        for spec in REGISTRY.values()
        if spec.account
    ]
    return items(rows)


async def _page(
    call: Call, kind: type[W], part: Part, *, thread: str | None = None, states: Sequence[str] = ()
) -> Answer:
    """Return one page of what the caller may see, newest first."""
    account, before, limit = call.me.account, part.before, part.limit
    found = await call.hub.store.find(
        account, kind, states=states, thread=thread, before=before, limit=limit
    )
    following = getattr(found[-1], "id", None) if len(found) == limit else None
    return items([one for one in found if visible(call.me, one)], following=following)

"""Where a device starts from: the cursor, and the objects it shows first. The rest comes by lists and the stream.

A runner gets nothing here: it starts from its own inbox.
"""

from __future__ import annotations

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Store, W
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Device, Folder, PairRequest, Role, Runner, Setting, Thread
from deskhand.protocol.tasks import FINAL, Approval, Question, Task, TaskState
from deskhand.protocol.wire import Json, JsonObject

_RECENT = 200
OPEN_STATES = tuple(state.value for state in TaskState if state not in FINAL)
FINAL_STATES = tuple(state.value for state in TaskState if state in FINAL)


async def snapshot(store: Store, principal: Principal) -> JsonObject:
    """Return cursor first: what happens meanwhile comes again by the stream, and folding twice is harmless.

    Raises:
        DeskhandError: ``forbidden`` for a runner.
    """
    if principal.role is Role.RUNNER:
        raise DeskhandError(Code.FORBIDDEN)
    account = principal.account
    cursor = await store.head(account)

    async def some(kind: type[W], *, states: list[str] | None = None, limit: int = _RECENT) -> Json:
        found = await store.find(account, kind, states=states or [], limit=limit)
        return [one.to_json() for one in found]

    tasks = await store.find(account, Task, states=OPEN_STATES, limit=500)
    tasks += await store.find(account, Task, states=FINAL_STATES, limit=_RECENT)
    owner = principal.role is Role.OWNER
    presence = await store.presence(account)
    device = await store.get(account, Device, principal.id)
    marks = await store.read_marks(account, principal.id)
    return {
        "cursor": cursor,
        "me": device.to_json() if device else {"id": principal.id, "role": principal.role.value},
        "threads": await some(Thread),
        "tasks": [task.to_json() for task in tasks],
        "approvals": await some(Approval, states=["open"]),
        "questions": await some(Question, states=["open"]),
        "runners": await some(Runner),
        "presence": [one.to_json() for one in presence.values()],
        "folders": await some(Folder, states=["granted"]),
        "devices": await some(Device),
        "pair_requests": await some(PairRequest, states=["waiting"]) if owner else [],
        "settings": await some(Setting),
        "read": dict(marks),
    }

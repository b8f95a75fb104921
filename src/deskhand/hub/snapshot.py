"""Where a device starts from: the cursor, and the objects it shows first. The rest comes by lists and the stream.

Objects go out as the text they are stored as: every phone begins here, and nothing of it needs reading on the way.
"""

from __future__ import annotations

import json

from deskhand.ports import Store
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Device, Folder, PairRequest, Role, Runner, Setting, Thread
from deskhand.protocol.tasks import FINAL, Approval, Question, Task, TaskState
from deskhand.protocol.wire import Wire

_RECENT = 200
OPEN_STATES = tuple(state.value for state in TaskState if state not in FINAL)
FINAL_STATES = tuple(state.value for state in TaskState if state in FINAL)


async def snapshot(store: Store, principal: Principal) -> bytes:
    """Return cursor first: what happens meanwhile comes again by the stream, and folding twice is harmless."""
    account = principal.account

    async def some(kind: type[Wire], *states: str, limit: int = _RECENT) -> list[str]:
        return await store.texts(account, kind, states=states, limit=limit)

    cursor = await store.head(account)
    me = await store.get(account, Device, principal.id)
    owner = principal.role is Role.OWNER
    presence = (await store.presence(account)).values()
    lists = {
        "threads": await some(Thread),
        "tasks": await some(Task, *OPEN_STATES, limit=500) + await some(Task, *FINAL_STATES),
        "approvals": await some(Approval, "open"),
        "questions": await some(Question, "open"),
        "runners": await some(Runner),
        "presence": [one.model_dump_json() for one in presence],
        "folders": await some(Folder, "granted"),
        "devices": await some(Device),
        "pair_requests": await some(PairRequest, "waiting") if owner else [],
        "settings": await some(Setting),
    }
    parts = {
        "cursor": str(cursor),
        "me": me.model_dump_json(exclude_none=True) if me else "null",
        **{name: f"[{','.join(found)}]" for name, found in lists.items()},
        "read": json.dumps(await store.read_marks(account, principal.id)),
    }
    said = ",".join(f'"{name}":{text}' for name, text in parts.items())
    return f"{{{said}}}".encode()

"""Erasing a conversation: bodies become ``{"redacted": true}``, objects and references go, seqs and hashes stay.

It refuses to touch what came after the event that says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, delete, select, update

from deskhand.core.folding import Key
from deskhand.protocol.events import EVENTS, KIND_OF, MessagePosted, ThreadErased
from deskhand.protocol.objects import Thread
from deskhand.protocol.tasks import Approval, Artifact, Question, Task
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.rows import REDACTED_TEXT

_e = tables.events.c
ERASED_KIND = KIND_OF[ThreadErased]
_OF_THE_ACCOUNT = ("device", "folder", "pair", "runner", "setting")
_KEPT_KINDS = (
    ERASED_KIND,
    *(kind for kind in EVENTS if kind.partition(".")[0] in _OF_THE_ACCOUNT),
)
"""What stays whatever thread its envelope names: facts about the account, not about a conversation."""
_HANGING = (
    tables.leases,
    tables.deliveries,
    *(tables.projections[kind] for kind in (Artifact, Approval, Question)),
)
"""What goes with the tasks of a thread."""


def hanging(objects: Mapping[Key, Wire | None], thread: str) -> list[Key]:
    """Return what goes with an erased thread: what names it or one of its tasks, but not its stub."""
    tasks = {
        name
        for (kind, name), thing in objects.items()
        if kind is Task and getattr(thing, "thread", None) == thread
    }
    return [
        key
        for key, thing in objects.items()
        if key[0] is not Thread
        and (getattr(thing, "thread", None) == thread or getattr(thing, "task", None) in tasks)
    ]


def erase(connection: Connection, account: str, thread: str, *, before: int) -> None:
    """Blank the thread's events below the seq ``before`` and forget what hung on them."""
    said = select(_e.body).filter_by(account=account, thread=thread, kind=KIND_OF[MessagePosted])
    files = {
        str(file["id"])
        for body in connection.execute(said.where(_e.seq < before)).scalars()
        for file in json.loads(body).get("files", [])
    }
    uploads = delete(tables.uploads).filter_by(account=account)
    connection.execute(uploads.where(tables.uploads.c.id.in_(sorted(files))))
    mine = update(tables.events).filter_by(account=account, thread=thread)
    blanked = mine.where(_e.seq < before, _e.kind.not_in(_KEPT_KINDS))
    connection.execute(blanked.values(body=REDACTED_TEXT))
    tasks = tables.projections[Task]
    its_tasks = select(tasks.c.id).filter_by(account=account, thread=thread)
    for table in _HANGING:
        of_account = delete(table).filter_by(account=account)
        connection.execute(of_account.where(table.c.task.in_(its_tasks)))
    for table in (tables.read_marks, tasks):
        connection.execute(delete(table).filter_by(account=account, thread=thread))

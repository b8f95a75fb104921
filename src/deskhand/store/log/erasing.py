"""Erasing a conversation: bodies become ``{"redacted": true}``, objects and references go, seqs and hashes stay.

It refuses to touch what came after the event that says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import Connection, delete, select, update

from deskhand.protocol.events import EVENTS, KIND_OF, MessagePosted, ThreadErased
from deskhand.protocol.tasks import Approval, Artifact, Question, Task
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


def erase(connection: Connection, account: str, thread: str, *, before: int) -> None:
    """Blank the thread's events below the seq ``before`` and forget what hung on them."""
    _drop_uploads(connection, account, thread, before=before)
    connection.execute(
        update(tables.events)
        .where(
            _e.account == account,
            _e.thread == thread,
            _e.seq < before,
            _e.kind.not_in(_KEPT_KINDS),
        )
        .values(body=REDACTED_TEXT)
    )
    _drop_objects(connection, account, thread)


def _drop_objects(connection: Connection, account: str, thread: str) -> None:
    tasks = tables.projections[Task]
    mine = select(tasks.c.id).where(tasks.c.account == account, tasks.c.thread == thread)
    deliveries = tables.deliveries
    hanging = (
        tables.leases,
        deliveries,
        tables.projections[Artifact],
        tables.projections[Approval],
        tables.projections[Question],
    )
    for table in hanging:
        connection.execute(delete(table).where(table.c.account == account, table.c.task.in_(mine)))
    for table in (tables.read_marks, tasks):
        connection.execute(
            delete(table).where(table.c.account == account, table.c.thread == thread)
        )


def _drop_uploads(connection: Connection, account: str, thread: str, *, before: int) -> None:
    said = select(_e.body).where(
        _e.account == account,
        _e.thread == thread,
        _e.seq < before,
        _e.kind == KIND_OF[MessagePosted],
    )
    names = sorted({name for row in connection.execute(said) for name in _files(row.body)})
    if names:
        held = tables.uploads
        connection.execute(delete(held).where(held.c.account == account, held.c.id.in_(names)))


def _files(stored: str) -> Iterable[str]:
    body = cast("dict[str, Any]", json.loads(stored))
    return [str(file["id"]) for file in body.get("files", [])]

"""Finding by words in what a reader sees: the likeliest kind first, then the newest.

The words of an event are kept in its own transaction and go with their conversation. A plain table that is read
through, on both databases the same: an index of pieces would keep pieces of what was erased.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import sqlalchemy as sa

from deskhand.core.finding import excerpt, wanted
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Thread
from deskhand.protocol.ops import Principal
from deskhand.protocol.requests import Hit
from deskhand.store import tables

_w = tables.words.c
_t = tables.projections[Thread].c
_LIKELIEST = sa.case({kind: at for at, kind in enumerate(("thread", "file", "result"))}, value=_w.kind, else_=3)


def keep(connection: sa.Connection, account: str, events: Iterable[Event]) -> None:
    """Let what events say be found."""
    rows = {row["kind"] + row["id"]: row for event in events for row in tables.word_rows(account, event)}
    if rows:
        tables.put(connection, tables.words, [*rows.values()])


def found(connection: sa.Connection, reader: Principal, query: str, *, limit: int) -> list[Hit]:
    """Return where all words of a query stand together."""
    words = wanted(query)
    if not words:
        return []
    having = (_w.folded.contains(word, autoescape=True) for word in words)
    mine = sa.select(_w.kind, _w.id).where(_w.account == reader.account, *having)
    seen = mine.where(tables.visible(reader, tables.words)).order_by(_LIKELIEST, _w.seq.desc()).limit(limit)
    # What they say is read of those alone that are shown.
    said = sa.select(_w.kind, _w.seq, _w.thread, _w.task, _w.text, _t.object)
    said = said.join(tables.projections[Thread], (_t.account == _w.account) & (_t.id == _w.thread))
    shown = said.where(_w.account == reader.account, sa.tuple_(_w.kind, _w.id).in_(seen))
    rows = connection.execute(shown.order_by(_LIKELIEST, _w.seq.desc())).mappings()
    return [_hit(dict(row), words) for row in rows]


def _hit(row: tables.RowValues, words: list[str]) -> Hit:
    before, there, after = excerpt(row.pop("text"), words)
    title = json.loads(row.pop("object"))["title"]
    return Hit(**row, title=title, before=before, found=there, after=after)

"""Conversations are their person's own, and what is in them can be found by words.

A revision is history: its SQL says what the tables were on its day, and it never imports ``tables``. There is no way down: the
way back is the snapshot that was made before.
"""

from __future__ import annotations

import json
from contextlib import suppress

from alembic import op
from sqlalchemy import text

from deskhand.core.finding import folded, words_of
from deskhand.errors import DeskhandError
from deskhand.protocol.events import Event
from deskhand.store.engine import revised

revision, down_revision, _tables_of_then = revised(__file__)
_SAID = """SELECT account, seq, kind, at, actor, thread, task, body FROM events
    WHERE kind IN ('thread.created', 'thread.renamed', 'message.posted', 'task.finished', 'artifact.created')
    ORDER BY account, seq"""
_KEEP = """INSERT INTO words (account, kind, id, seq, thread, task, text, folded)
    VALUES (:account, :kind, :id, :seq, :thread, :task, :text, :folded)
    ON CONFLICT (account, kind, id) DO UPDATE SET seq = excluded.seq, text = excluded.text, folded = excluded.folded"""


def upgrade() -> None:
    """Go up, and let be found what was said before."""
    _tables_of_then()
    connection = op.get_bind()
    for row in connection.execute(text(_SAID)).mappings().all():
        place = {name: row[name] for name in ("account", "seq", "thread", "task")}
        with suppress(ValueError, DeskhandError):  # damage is told by ``log verify``
            for one in words_of(Event.from_json({**row, "body": json.loads(row["body"])})):
                connection.execute(text(_KEEP), {**place, **one._asdict(), "folded": folded(one.text)})

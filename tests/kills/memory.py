"""What a runner's own journal says, read from its file: whether it is at rest, and what a cancellation cut off.

It refuses to write there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from deskhand.cli.programs.computer import JOURNAL
from deskhand.ports import ToolCall
from deskhand.store.engine import open_sqlite_reader
from deskhand.workflow.rows import from_json
from tests.kills.work import label_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A wish with an effect, as it was written down before the effect.

    ``status`` is that of its attempt; ``outcome`` is what was told of it, if anything was.
    """

    task: str
    label: str
    status: str
    outcome: str | None


def intents(home: Path) -> list[Intent]:
    """Return every intent."""
    query = """
        SELECT task, wish, result, status FROM steps JOIN attempts USING (task, epoch)
        WHERE kind = 'tool' AND effect IS NOT NULL
    """
    return [_intent(row) for row in _rows(home, query)[0]]


def at_rest(home: Path) -> bool:
    """Return whether nothing is under way, nothing unsent, and nothing cut off that nobody was told of."""
    queries = (
        "SELECT count(*) FROM attempts WHERE status = 'open'",
        "SELECT count(*) FROM outbox WHERE refused IS NULL",
        """SELECT count(*) FROM steps WHERE kind = 'tool' AND result IS NULL
        AND task IN (SELECT task FROM attempts WHERE status = 'canceled')""",
    )
    return not any(rows[0][0] for rows in _rows(home, *queries))


def _intent(row: Any) -> Intent:  # noqa: ANN401 - a row of three tables
    call = from_json(ToolCall, json.loads(row.wish)["call"])
    outcome = json.loads(row.result)["outcome"] if row.result else None
    label = label_of(call.arguments)
    return Intent(task=row.task, label=label, status=row.status, outcome=outcome)


def _rows(home: Path, *queries: str) -> list[Sequence[Any]]:
    engine = open_sqlite_reader(home / "runner" / JOURNAL)
    try:
        with engine.connect() as connection:
            return [connection.execute(text(query)).all() for query in queries]
    finally:
        engine.dispose()

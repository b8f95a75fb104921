"""Every statement of a runner's journal, by the name it has in ``journal.sql``, where its tables stand too.

Refuses nothing: what an order or a row means is said by those who run them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, text

_SAID: Final = Path(__file__).with_name("journal.sql").read_text("utf-8")
_PARTS: Final = re.split(r"^-- (\w+)(?::.*)?\n", _SAID, flags=re.MULTILINE)
STATEMENTS: Final = dict(zip(_PARTS[1::2], map(text, _PARTS[2::2]), strict=True))


def run(connection: Connection, statement: str, /, **asked: object) -> CursorResult[Any]:
    """Run a statement with what it asks for."""
    return connection.execute(STATEMENTS[statement], asked)


def make_tables(connection: Connection) -> None:
    """Make the tables that are not there yet."""
    for statement in STATEMENTS["tables"].text.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)

"""Begin: the log, its projections and the hub's own truth, as ``0001_begin.sql`` spells them.

A revision is history: it says what the tables were on its day and never imports ``tables``. There is no way down: the
way back is the snapshot that was made before.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from alembic import op

revision = "0001"
down_revision = None

_SQL = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    """Make every table."""
    connection = op.get_bind()
    name = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    script = Template(_SQL.read_text(encoding="utf-8")).substitute(NAME=name)
    for statement in script.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)

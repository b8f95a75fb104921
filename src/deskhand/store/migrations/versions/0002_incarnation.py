"""A log can be told from another with the same numbers: what a restore took back and what was said anew.

A revision is history: it says what the tables were on its day and never imports ``tables``. There is no way down: the
way back is the snapshot that was made before.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Give each account's log a name; the first one is empty."""
    connection = op.get_bind()
    name = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    connection.exec_driver_sql(
        f"ALTER TABLE accounts ADD COLUMN incarnation {name} DEFAULT '' NOT NULL"
    )

"""A computer that is not there says why: asleep, off, without a network or stopped; and how long it slept.

A revision is history: it says what the tables were on its day and never imports ``tables``. There is no way down: the
way back is the snapshot that was made before.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add how a link stands; whoever is connected says so again at once."""
    connection = op.get_bind()
    name = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    for column in (
        f"state {name} DEFAULT 'stopped' NOT NULL",
        "slept_seconds BIGINT",
        f"woke_at {name}",
    ):
        connection.exec_driver_sql(f"ALTER TABLE presence ADD COLUMN {column}")

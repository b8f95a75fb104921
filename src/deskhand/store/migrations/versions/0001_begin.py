"""Begin: the log, its projections and the hub's own truth.

A revision is history: its SQL says what the tables were on its day, and it never imports ``tables``. There is no way down: the
way back is the snapshot that was made before.
"""

from __future__ import annotations

from alembic import op

from deskhand.store.schema import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(op.get_bind(), __file__)

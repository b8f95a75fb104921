"""A computer that is not there says why: asleep, off, without a network or stopped; and how long it slept.

A revision is history: its SQL says what the tables were on its day, and it never imports ``tables``. There is no way down: the
way back is the snapshot that was made before.
"""

from __future__ import annotations

from deskhand.store.engine import revised

revision, down_revision, upgrade = revised(__file__)

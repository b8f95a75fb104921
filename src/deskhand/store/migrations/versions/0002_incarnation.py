"""A log can be told from another with the same numbers: what a restore took back and what was said anew.

A revision is history: its SQL says what the tables were on its day, and it never imports ``tables``. There is no way down: the
way back is the snapshot that was made before.
"""

from __future__ import annotations

from deskhand.store.engine import revised

revision, down_revision, upgrade = revised(__file__)

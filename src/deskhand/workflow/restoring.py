"""A journal that came out of a backup: another life of this runner, in which no yes of the old one counts.

What it did stays known, so that nothing is done twice. It refuses to keep a permission: the one it belongs to may have
been used since.
"""

from __future__ import annotations

from sqlalchemy import Connection

from deskhand.workflow.sql import run


def settle_journal(connection: Connection) -> None:
    """Let the next ``open`` begin a new life, and take back what was allowed in attempts that are not over."""
    for statement in ("forget_home", "forget_unused_yes", "narrow_yes"):
        run(connection, statement)

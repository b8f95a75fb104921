"""SQL that both dialects share but spell differently: insert-or-replace, insert-unless-there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def inserting(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that can say what to do on a conflict."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def upsert(dialect: str, table: Table, *, but: Sequence[str] = ()) -> Insert:
    """Return an insert that replaces the row of the same primary key.

    Args:
        dialect: the database's name.
        table: where.
        but: columns that keep their first value.
    """
    statement = inserting(dialect, table)
    keys = [column.name for column in table.primary_key]
    changes = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys and column.name not in but
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=changes)


@cache
def insert_unless_there(dialect: str, table: Table) -> Insert:
    """Return an insert that does nothing where any unique key is taken."""
    return inserting(dialect, table).on_conflict_do_nothing()

"""A journal that came out of a backup: another life of this runner, in which no yes of the old one counts.

What it did stays known, so that nothing is done twice. It refuses to keep a permission: the one it belongs to may have
been used since.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, delete, select, update

from deskhand.workflow.orders import OF_ATTEMPT, dump
from deskhand.workflow.tables import ATTEMPTS, META, STEPS


def settle_journal(connection: Connection) -> None:
    """Let the next ``open`` begin a new life, and take back what was allowed in attempts that are not over."""
    connection.execute(delete(META).where(META.c.name == "home"))
    query = select(STEPS).join(ATTEMPTS, OF_ATTEMPT).where(ATTEMPTS.c.status == "open")
    rows = connection.execute(query.order_by(STEPS.c.task, STEPS.c.epoch, STEPS.c.n)).all()
    last = {(row.task, row.epoch): row.n for row in rows}
    for row in rows:
        result = json.loads(row.result or "{}")
        if row.kind != "wait" or result.get("decision") != "allow":
            continue
        same = (STEPS.c.task == row.task) & (STEPS.c.epoch == row.epoch) & (STEPS.c.n == row.n)
        if last[row.task, row.epoch] == row.n:  # a yes that was not used: it is asked for again
            connection.execute(delete(STEPS).where(same))
        elif result.get("scope") != "once":
            once = dump({**result, "scope": "once"})
            connection.execute(update(STEPS).where(same).values(result=once))

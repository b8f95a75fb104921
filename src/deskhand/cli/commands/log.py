"""What is on record: ``notify list|test``, the ledger of notifications; ``log show|verify``, the log itself.

``log verify`` reads the store and trusts nobody: it opens the hub's file for reading only, in one read transaction.
That is right whether the hub runs or not: SQLite gives a reader its own snapshot, and nothing is locked or repaired.
"""

from __future__ import annotations

import os
from time import monotonic, sleep  # noqa: TID251 - a plain program; the ledger is a table without events
from typing import TYPE_CHECKING, Annotated

from deskhand.cli.flags import option
from deskhand.cli.home import client, home
from deskhand.cli.screen import Exit, Obj, one_line, speak
from deskhand.errors import Code, DeskhandError

if TYPE_CHECKING:
    from sqlalchemy import Engine
_TEST_SECONDS = 10.0
_OPEN = frozenset({"planned", "sent"})


def list_deliveries(*, limit: Annotated[int, option("ls.limit", min=1, max=10_000)] = 50) -> int:
    """Print the ledger."""
    return _listed(client().items("/v1/deliveries", most=limit))


def try_out() -> int:
    """Send a test notification and wait for its fate."""
    hub = client()
    names = set(hub.call("POST", "/v1/push/test")["deliveries"])
    ends, fates, found = monotonic() + _TEST_SECONDS, _OPEN, list[Obj]()
    while fates & _OPEN and monotonic() < ends:
        sleep(0.2)
        found = [one for one in hub.items("/v1/deliveries", most=100) if one["id"] in names]
        fates = {str(one["fate"]) for one in found} or _OPEN
    _listed(found)
    return Exit.FAILED if fates <= _OPEN | {"failed"} else Exit.DONE


def _listed(found: list[Obj]) -> int:
    def fate(one: Obj) -> str:
        return speak.say(f"fate.{one['fate']}")

    columns = ("at", "class", "road", fate, "reason", "task", "device")
    return speak.listed(found, *columns, none="notify.none")


def show(
    *,
    after: Annotated[int, option("log.after", min=0)] = 0,
    limit: Annotated[int, option("ls.limit", min=1, max=500)] = 100,
) -> int:
    """Print events."""
    page = client().get("/v1/sync", after=after, limit=limit)

    def about(event: Obj) -> object:
        return event.get("task") or event.get("thread")

    def said(event: Obj) -> str:
        return one_line(event["body"].get("text", ""), most=60)

    speak.columns(page["events"], "seq", "at", "kind", about, said)
    return speak.answer({"items": page["events"], "next": page["next"] if page["more"] else None})


def verify() -> int:
    """Fold the log anew and compare everything."""
    from sqlalchemy import select

    from deskhand.store import tables
    from deskhand.store.faults import translated
    from deskhand.store.log.verify import verify as verify_account

    engine = _log_engine()
    problems: list[str] = []
    try:
        with translated():
            with engine.connect() as connection:
                held = select(tables.accounts.c.id, tables.accounts.c.head)
                heads = dict(connection.execute(held).tuples().all())
            for account in heads:
                with engine.connect() as connection:
                    problems += verify_account(connection, account)
    finally:
        engine.dispose()
    events = sum(heads.values())
    key = "log.differs" if problems else "log.verified"
    said = speak.say(key, events=events, problems=len(problems))
    speak.answer({"accounts": len(heads), "events": events, "problems": problems}, *problems, said)
    return Exit.FAILED if problems else Exit.DONE


def _log_engine() -> Engine:
    """Return where the log is to be read, for reading only."""
    from deskhand.store.engine import open_sqlite_reader
    from deskhand.store.opening import FILE

    url, path = os.environ.get("DESKHAND_DATABASE_URL"), home() / FILE
    if url:
        from deskhand.store.postgres import open_postgres

        return open_postgres(url)[1]
    if not path.is_file():
        raise DeskhandError(Code.NOT_FOUND, str(path))
    speak.note(speak.say("log.reading", path=path), "dim")
    return open_sqlite_reader(path)

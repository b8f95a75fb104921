"""The log itself: ``log show`` reads it from the hub, ``log verify`` reads the store and trusts nobody.

``verify`` opens the hub's file for reading only, in one read transaction. That is right whether the hub runs or not:
SQLite gives a reader its own snapshot, and nothing is locked, written or repaired.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from deskhand.cli.flags import add_group, t
from deskhand.cli.home import client, home
from deskhand.cli.screen import Exit, Obj, one_line, speak
from deskhand.errors import Code, DeskhandError

if TYPE_CHECKING:
    from sqlalchemy import Engine


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    add_group(app, "log", {"show": show, "verify": verify}, panel="operate")


def show(
    *,
    after: Annotated[int, typer.Option(min=0, help=t("log.after"))] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help=t("ls.limit"))] = 100,
) -> int:
    """Print events."""
    page = client().get("/v1/sync", after=after, limit=limit)
    if speak.json:
        following = page["next"] if page["more"] else None
        return speak.answer({"items": page["events"], "next": following})
    speak.table(map(_row, page["events"]))
    return Exit.DONE


def _row(event: Obj) -> tuple[object, ...]:
    at, about = str(event["at"])[:19].replace("T", " "), event.get("task") or event.get("thread")
    said = one_line(event["body"].get("text", ""), most=60)
    return event["seq"], at, event["kind"], about or "", said


def verify() -> int:
    """Fold the log anew and compare everything."""
    from sqlalchemy import select

    from deskhand.store import tables
    from deskhand.store.faults import translated
    from deskhand.store.log.verify import verify as verify_account

    engine = _log_engine()
    problems: list[str] = []
    events = 0
    try:
        with translated():
            with engine.connect() as connection:
                held = select(tables.accounts.c.id, tables.accounts.c.head)
                accounts = connection.execute(held).all()
            for account, head in accounts:
                events += head
                with engine.connect() as connection:
                    problems += verify_account(connection, account)
    finally:
        engine.dispose()
    key = "log.differs" if problems else "log.verified"
    said = speak.say(key, events=events, problems=len(problems))
    found = {"accounts": len(accounts), "events": events, "problems": problems}
    speak.answer(found, *problems, said)
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

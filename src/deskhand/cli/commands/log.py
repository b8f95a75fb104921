"""Whether all is well: ``doctor`` tries; ``notify list|test``, the ledger; ``log show|verify``, the log itself.

``doctor`` refuses to call anything good that it did not try: the hub, this computer's runner, its sandbox, its model.

``log verify`` reads the store and trusts nobody: it opens the hub's file for reading only, in one read transaction.
That is right whether the hub runs or not: SQLite gives a reader its own snapshot, and nothing is locked or repaired.
"""

from __future__ import annotations

import os
from time import monotonic, sleep  # noqa: TID251 - a plain program; the ledger is a table without events

from deskhand.cli.client import client, home
from deskhand.cli.screen import Exit, Obj, one_line, speak
from deskhand.errors import Code, DeskhandError

_TEST_SECONDS = 10.0
_SIGNS = {"good": "✓", "ask": "!", "bad": "✗"}
_OPEN = frozenset({"planned", "sent"})


def list_deliveries(*, limit: int = 50) -> int:
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
    columns = ("at", "class", "road", "fate.{fate}", "reason", "task", "device")
    return speak.listed(found, *columns, none="notify.none")


def show(*, after: int = 0, limit: int = 100) -> int:
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

    from deskhand.store import engine, opening, tables
    from deskhand.store.engine import translated
    from deskhand.store.log.reading import verify as verify_account

    path = home() / opening.FILE
    if url := os.environ.get("DESKHAND_DATABASE_URL"):
        from deskhand.store.postgres import open_postgres

        reading = open_postgres(url)[1]
    elif path.is_file():
        speak.note(speak.say("log.reading", path=path), "dim")
        reading = engine.open_sqlite_reader(path)
    else:
        raise DeskhandError(Code.NOT_FOUND, str(path))
    problems: list[str] = []
    try:
        with translated():
            with reading.connect() as connection:
                held = select(tables.accounts.c.id, tables.accounts.c.head)
                heads = dict(connection.execute(held).tuples().all())
            for account in heads:
                with reading.connect() as connection:
                    problems += verify_account(connection, account)
    finally:
        reading.dispose()
    events = sum(heads.values())
    key = "log.differs" if problems else "log.verified"
    said = speak.say(key, events=events, problems=len(problems))
    speak.answer({"accounts": len(heads), "events": events, "problems": problems}, *problems, said)
    return Exit.FAILED if problems else Exit.DONE


def doctor(*, no_model: bool = False) -> int:
    """Try everything."""
    from deskhand.cli.examining import examined

    rows: list[Obj] = []
    for name, state, said in examined(asks=not no_model):
        rows.append({"check": name, "state": state, "said": said})
        speak.out(f"{_SIGNS[state]} {speak.say(f'doctor.{name}')}: {said}")
    speak.answer({"items": rows})
    return Exit.ERROR if any(row["state"] == "bad" for row in rows) else Exit.DONE

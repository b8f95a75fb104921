"""Everything of a home in a form that outlives this program: Markdown, JSON Lines and plain files.

Works while the hub runs. It refuses to write credentials, push addresses or invitations: what is exported is what was
said and made.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import Thread
from deskhand.protocol.tasks import Artifact
from deskhand.store import tables
from deskhand.store.backup.archive import HUB
from deskhand.store.engine import open_sqlite_reader, translated

_e = tables.events.c


def export_home(home: Path, target: Path, *, say: Callable[..., str]) -> dict[str, int]:
    """Write a home's log into a new directory; return how much of what.

    Args:
        home: the home; it may be in use.
        target: a directory that is not there yet; it is closed to others.
        say: gives the sentences of the Markdown pages.

    Raises:
        DeskhandError: ``not_found``, ``disk_full``, ``store_damaged``.
    """
    if not (home / HUB).is_file():
        raise DeskhandError(Code.NOT_FOUND, str(home / HUB))
    engine = open_sqlite_reader(home / HUB)
    with translated(), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")  # one moment for everything
        for folder in ("", "threads", "files"):
            (target / folder).mkdir(mode=0o700, parents=not folder)
        return {
            "threads": _threads(connection, target / "threads", say),
            "events": _events(connection, target / "events.jsonl"),
            "files": _files(connection, home, target / "files"),
        }


def _events(connection: Connection, target: Path) -> int:
    query = select(tables.events).order_by(_e.account, _e.seq).execution_options(yield_per=1000)
    count = 0
    with target.open("x", encoding="utf-8") as file:
        for count, row in enumerate(connection.execute(query).mappings(), start=1):  # noqa: B007 - how many
            said = tables.read_event(row).to_json()
            file.write(tables.json_text({"account": row["account"], **said}) + "\n")
    return count


def _threads(connection: Connection, folder: Path, say: Callable[..., str]) -> int:
    table = tables.projections[Thread]
    rows = connection.execute(select(table.c.account, table.c.object)).all()
    for account, stored in rows:
        thread = tables.read_object(Thread, stored)
        of_thread = select(_e.at, _e.body).filter_by(account=account, thread=thread.id)
        said = connection.execute(of_thread.where(tables.SAID_ONLY).order_by(_e.seq)).all()
        parts = [f"# {thread.title}", *_said(said, say)]
        name = f"{_plain(thread.title)}-{thread.id}.md"
        (folder / name).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return len(rows)


def _said(rows: Sequence[Row[Any, Any]], say: Callable[..., str]) -> list[str]:
    parts: list[str] = []
    for at, stored in rows:
        body: dict[str, Any] = json.loads(stored)
        when = at[:19].replace("T", " ")
        if state := body.get("state"):
            verdict = str(body.get("verdict") or state)
            parts.append(f"## {say('export.result', verdict=verdict, at=when)}")
            parts += [
                str(why) for why in (body.get("summary"), *body.get("not_done_because", ())) if why
            ]
        elif "text" in body:  # else erased
            who = say("export.by", who=body["role"], at=when)
            parts += [f"## {who}", str(body["text"])]
        if files := body.get("files"):
            names = ", ".join(str(file["name"]) for file in files)
            parts.append(say("export.files", names=names))
    return parts


def _files(connection: Connection, home: Path, folder: Path) -> int:
    stored = connection.execute(select(tables.projections[Artifact].c.object)).scalars()
    count = 0
    for one in stored:
        made = tables.read_object(Artifact, one)
        source = home / "blobs" / made.sha256[:2] / made.sha256[2:4] / made.sha256
        if source.is_file():
            shutil.copyfile(source, folder / f"{made.id}-{_plain(made.name)}")
            count += 1
    return count


def _plain(name: str) -> str:
    """Return what may stand in a file's name on any system."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "untitled"

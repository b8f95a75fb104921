"""Which schema is on disk, and how it becomes ours: Alembic revisions, run at start when there is something to run.

A file is copied before it is migrated. It refuses a schema it does not know: that one was written by a newer
Deskhand. Alembic costs 0.3 s to import, so a schema that is up to date is seen by one SELECT without it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from string import Template
from urllib.parse import quote

from sqlalchemy import Connection, Engine, inspect, text

from deskhand.clock import Clock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.store.engine import BUSY_SECONDS
from deskhand.store.private import FILE_MODE, sync

VERSIONS = Path(__file__).parent / "migrations"


def revisions(scripts: Path = VERSIONS) -> list[str]:
    """Return every revision of the scripts, oldest first."""
    return sorted(one.name[:4] for one in scripts.glob("versions/*.py"))


def prepare_sqlite(engine: Engine, path: Path, clock: Clock, *, scripts: Path = VERSIONS) -> None:
    """Bring a SQLite file to the newest revision; one that holds something is copied first.

    Raises:
        DeskhandError: ``schema_newer``.
    """
    with engine.connect() as connection:
        if _up_to_date(connection, scripts):
            return
        holds = bool(inspect(connection).get_table_names())
    if holds:
        for broken_off in path.parent.glob(f"{path.stem}.before-upgrade-*.partial"):
            broken_off.unlink()
        named = stamp(clock.now()).replace(":", "").replace(".", "")
        copy_sqlite(path, path.with_name(f"{path.stem}.before-upgrade-{named}{path.suffix}"))
    with engine.begin() as connection:
        _migrate(connection, scripts)


def prepare_postgres(engine: Engine) -> None:
    """Bring a PostgreSQL database to the newest revision; one process does it, the others wait.

    Raises:
        DeskhandError: ``schema_newer``.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(4815162342)"))
        if not _up_to_date(connection, VERSIONS):
            _migrate(connection, VERSIONS)


def _up_to_date(connection: Connection, scripts: Path) -> bool:
    """Return whether the newest revision is on disk.

    Raises:
        DeskhandError: ``schema_newer`` for one that this build does not know.
    """
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    known = revisions(scripts)
    if found is not None and found not in known:
        raise DeskhandError(Code.SCHEMA_NEWER, found[:40])
    return found == known[-1]


def _migrate(connection: Connection, scripts: Path) -> None:
    """Run what is missing, all in the transaction of the connection."""
    from alembic import command  # noqa: PLC0415 - 0.3 s, only when there is something to migrate
    from alembic.config import Config  # noqa: PLC0415 - same

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_script(connection: Connection, revision: Path) -> None:
    """Run the SQL beside the file of a revision; ``$NAME`` is text that sorts by its bytes in every language."""
    name = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    script = Template(revision.with_suffix(".sql").read_text(encoding="utf-8"))
    for statement in script.substitute(NAME=name).split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def revised(file: str) -> tuple[str, str | None, Callable[[], None]]:
    """Return what Alembic asks of a revision: its number, the one before it, and a way up by the SQL beside it."""
    from alembic import op  # noqa: PLC0415 - as above

    path = Path(file)
    number = int(path.name[:4])
    before = f"{number - 1:04}" if number > 1 else None
    return f"{number:04}", before, lambda: run_script(op.get_bind(), path)


def copy_sqlite(path: Path, target: Path) -> None:
    """Copy a SQLite file as of one moment, whoever writes to it; the copy has its name only when it is whole.

    It is readable by its owner only.
    """
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    named = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(named, uri=True, timeout=BUSY_SECONDS)) as driver:
        # The empty file was made by us for its mode; SQLite fills it.
        driver.execute("VACUUM INTO ?", (str(partial),))
    sync(partial)
    partial.replace(target)
    sync(target.parent)

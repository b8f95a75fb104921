"""Which schema is on disk, and how it becomes ours: Alembic revisions, run at start when there is something to run.

A file is copied before it is migrated. It refuses a schema it does not know: that one was written by a newer
Deskhand. Alembic costs 0.3 s to import, so a schema that is up to date is seen by one SELECT without it.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, inspect, text

from deskhand.clock import Clock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.store.engine import FILE_MODE

REVISIONS = ("0001",)
"""Every revision of ``migrations/versions``, oldest first."""
VERSIONS = Path(__file__).parent / "migrations"


def prepare_sqlite(
    engine: Engine,
    path: Path,
    clock: Clock,
    *,
    revisions: tuple[str, ...] = REVISIONS,
    scripts: Path = VERSIONS,
) -> None:
    """Bring a SQLite file to the newest revision; one that holds something is copied first.

    Raises:
        DeskhandError: ``schema_newer``.
    """
    with engine.connect() as connection:
        found = stored_revision(connection, revisions)
        if found == revisions[-1]:
            return
        holds = bool(inspect(connection).get_table_names())
    if holds:
        snapshot(engine, path, clock)
    with engine.begin() as connection:
        migrate(connection, scripts)


def prepare(engine: Engine) -> None:
    """Bring a PostgreSQL database to the newest revision; one process does it, the others wait.

    Raises:
        DeskhandError: ``schema_newer``.
    """
    with engine.begin() as connection:
        if stored_revision(connection, REVISIONS) == REVISIONS[-1]:
            return
        connection.execute(text("SELECT pg_advisory_xact_lock(4815162342)"))
        if stored_revision(connection, REVISIONS) != REVISIONS[-1]:
            migrate(connection, VERSIONS)


def stored_revision(connection: Connection, revisions: tuple[str, ...]) -> str | None:
    """Return the revision on disk, or nothing before the first.

    Raises:
        DeskhandError: ``schema_newer`` for one that this build does not know.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found not in revisions:
        raise DeskhandError(Code.SCHEMA_NEWER, found[:40])
    return found


def migrate(connection: Connection, scripts: Path) -> None:
    """Run what is missing, all in the transaction of the connection."""
    from alembic import command  # noqa: PLC0415 - 0.3 s, only when there is something to migrate
    from alembic.config import Config  # noqa: PLC0415 - same

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def snapshot(engine: Engine, path: Path, clock: Clock) -> Path:
    """Copy a SQLite file as it is now, beside it, readable by its owner only; return the copy."""
    named = stamp(clock.now()).replace(":", "").replace(".", "")
    target = path.with_name(f"{path.stem}.before-upgrade-{named}{path.suffix}")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    driver = engine.raw_connection()
    try:
        cursor = driver.cursor()
        # The empty file was made by us for its mode; SQLite fills it.
        cursor.execute("VACUUM INTO ?", (str(target),))
        cursor.close()
    finally:
        driver.close()
    _fsync(target)
    _fsync(target.parent)
    return target


def create_in_memory(engine: Engine, metadata: MetaData) -> None:
    """Make all tables at once; a test holds them equal to the migrated schema."""
    with engine.begin() as connection:
        metadata.create_all(connection)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

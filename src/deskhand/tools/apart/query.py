"""One SELECT over tables that were loaded before it: a model wrote it, so it gets nothing else to reach (FS-01, NE-08).

Runs apart only. The data is put into memory first; then DuckDB is closed and locked: no files, no network, no
extensions, no settings, no other statement than one that reads. Memory is bounded here, time by whoever asks.
"""

from __future__ import annotations

import io
import re
import tempfile
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final, cast

import duckdb

from deskhand.errors import Code, DeskhandError
from deskhand.limits import INTEGER_MAX
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.apart.texts import sheets
from deskhand.tools.builtin import about
from deskhand.tools.decoding import decode
from deskhand.tools.tables.reading import delimiter_of

ROWS_MAX: Final = 1_000
CELL_CHARS_MAX: Final = 2_000
CHARS_MAX: Final = 500_000
_READS: Final = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""What a statement may be; a PIVOT comes as several that only read."""
_HINT: Final = re.compile(r"\Asep=.\r?\n")
_READ_CSV: Final = (
    "read_csv(?, delim = ?, sample_size = -1, null_padding = true, ignore_errors = true, store_rejects = true)"
)
_OPEN, _DESCRIBE, _LOCK = files(__package__ or "").joinpath("query.sql").read_text("utf-8").split("\n\n")


def answer(question: JsonObject, paths: list[str]) -> JsonObject:
    """Return ``{columns, rows, complete, tables, notes}`` of a query over files, or of their tables without one.

    Raises:
        DeskhandError: ``invalid`` with what DuckDB said and which tables there are.
    """
    database, notes = duckdb.connect(":memory:"), list[str]()
    database.execute(_OPEN)
    for name, path in zip(cast("list[str]", question["names"]), paths, strict=True):
        notes += _load(database, PurePosixPath(name), path)
    tables = [str(row[0]) for row in database.execute(_DESCRIBE).fetchall()]
    database.execute(_LOCK)
    asked: JsonObject = {"columns": [], "rows": [], "complete": True}
    try:
        if question["sql"]:
            asked = _asked(database, str(question["sql"]))
    except duckdb.Error as error:
        said = " ".join(str(error).split())[:500]
        raise DeskhandError(Code.INVALID, f"{said}; tables: {'; '.join(tables)}") from None
    return {**asked, "tables": [*tables], "notes": [*notes]}


def _asked(database: duckdb.DuckDBPyConnection, sql: str) -> JsonObject:
    statements = database.extract_statements(sql)
    if len(statements) != 1 or statements[0].type.name not in _READS:
        raise duckdb.InvalidInputException("say one SELECT statement")
    database.execute(sql)
    columns = [str(column[0]) for column in database.description or ()]
    rows, left, row = list[Json](), CHARS_MAX, database.fetchone()
    while row is not None and len(rows) < ROWS_MAX and left > 0:
        rows.append([_plain(value) for value in row])
        left -= len(str(rows[-1]))
        row = database.fetchone()
    return {"columns": [*columns], "rows": rows, "complete": row is None}


def _plain(value: object) -> Json:
    """Return a value as JSON has it; a number that is not whole as exact text."""
    if value is None or (isinstance(value, int) and abs(value) <= INTEGER_MAX):
        return value
    return str(value)[:CELL_CHARS_MAX]


def _load(database: duckdb.DuckDBPyConnection, name: PurePosixPath, path: str) -> list[str]:
    """Put a file into the database by its suffix, each of its tables under its name; return what is to be said of it."""
    match name.suffix.lower():
        case ".parquet":
            _create(database, name.stem, "read_parquet(?)", path)
        case ".json" | ".jsonl" | ".ndjson":
            _create(database, name.stem, "read_json(?)", path)
        case ".xlsx" | ".xlsm":
            found = cast("dict[str, str]", sheets([path])["sheets"])
            stems = [name.stem if len(found) == 1 else f"{name.stem}_{title}" for title in found]
            return [
                note for stem, text in zip(stems, found.values(), strict=True) for note in _csv(database, stem, text)
            ]
        case _:
            with about(name.stem):
                return _csv(database, name.stem, decode(Path(path).read_bytes()).text)
    return []


def _csv(database: duckdb.DuckDBPyConnection, stem: str, text: str) -> list[str]:
    delimiter = delimiter_of([*io.StringIO(text[:200_000], newline="")])
    with tempfile.TemporaryFile() as file:
        file.write(_HINT.sub("", text).encode(errors="replace"))
        file.flush()
        name = _create(database, stem, _READ_CSV, f"/dev/fd/{file.fileno()}", delimiter)
    database.execute("SELECT count(DISTINCT line) FROM reject_errors")
    (lost,) = database.fetchone() or (0,)
    database.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    return [f"{lost} lines of {name} do not fit its columns and are not in it"] * bool(lost)


def _create(database: duckdb.DuckDBPyConnection, stem: str, source: str, *arguments: str) -> str:
    base = re.sub(r"\W+", "_", stem).strip("_") or "t"
    name = base = f"t_{base}" if base[0].isdigit() else base
    database.execute("SELECT lower(table_name) FROM duckdb_tables()")
    taken = [row[0] for row in database.fetchall()]
    while name.lower() in taken:
        name = f"{base}_{len(taken) + 1}"
        taken.append("")
    database.execute(f'CREATE TABLE "{name}" AS FROM {source}', arguments)
    return name

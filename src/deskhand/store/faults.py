"""What databases and disks say, turned into the closed list of errors.

It refuses to let SQL text, paths or driver messages through: they are for the log of the program, not for people.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from deskhand.errors import Code, DeskhandError
from deskhand.texts import table

_FULL_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SAID = table("deskhand.store", "faults.toml")
_SQLITE = {getattr(sqlite3, name): Code(said) for name, said in _SAID["sqlite"].items()}
_SQLSTATE = {state: Code(said) for state, said in _SAID["sqlstate"].items()}


def fault_of(error: BaseException) -> DeskhandError | None:
    """Return what to tell for an error of the database or disk, or nothing when it is neither."""
    if isinstance(error, DeskhandError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return DeskhandError(Code.INVALID, "text with a lone surrogate")
    if isinstance(error, OSError):
        return DeskhandError(Code.DISK_FULL if error.errno in _FULL_ERRNO else Code.UNAVAILABLE)
    said = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(said, sqlite3.Error):
        return DeskhandError(_sqlite_code(said))
    # psycopg is optional, so its errors are known by what they carry.
    state: object = getattr(said, "sqlstate", None)
    if isinstance(state, str):
        return DeskhandError(_SQLSTATE.get(state) or _SQLSTATE.get(state[:2]) or Code.UNAVAILABLE)
    return DeskhandError(Code.UNAVAILABLE) if isinstance(error, DBAPIError) else None


@contextmanager
def translated() -> Generator[None]:
    """Turn what the database or disk says inside into an error of the closed list."""
    try:
        yield
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        raise fault from None


def _sqlite_code(error: sqlite3.Error) -> Code:
    # The primary code is in the lower byte; the driver's own complaints (closed, wrong thread) carry none.
    if str(error).startswith("Could not decode"):
        return Code.STORE_DAMAGED  # the driver's word for text in which a bit flipped
    number = getattr(error, "sqlite_errorcode", None)
    if number is None:
        wrong_value = isinstance(error, sqlite3.DataError | sqlite3.InterfaceError)
        return Code.INVALID if wrong_value else Code.UNAVAILABLE
    return _SQLITE.get(number) or _SQLITE.get(number & 0xFF, Code.UNAVAILABLE)

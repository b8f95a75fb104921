"""Files on their way in: reserved against a quota, moved forward, kept once a message names them.

It refuses to speak of another principal's upload; bytes are the business of ``blobs``.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from deskhand.errors import Code, DeskhandError
from deskhand.limits import UPLOAD_QUOTA_BYTES
from deskhand.protocol.objects import Upload
from deskhand.protocol.tasks import Artifact
from deskhand.store import tables
from deskhand.store.rows import RowValues
from deskhand.store.tables import one

_u = tables.uploads.c
_artifacts = tables.projections[Artifact].c
_FIELDS = tuple(Upload.model_fields)


def create(
    connection: Connection, account: str, principal: str, upload: Upload, *, now: str
) -> None:
    """Reserve an upload; what expired without being posted makes room.

    Raises:
        DeskhandError: ``too_large``.
    """
    owned: RowValues = {"account": account, "principal": principal, "posted": False}
    connection.execute(delete(tables.uploads).filter_by(**owned).where(_u.expires_at < now))
    reserved = select(func.coalesce(func.sum(_u.size), 0)).filter_by(**owned)
    if int(connection.execute(reserved).scalar_one()) + upload.size > UPLOAD_QUOTA_BYTES:
        raise DeskhandError(Code.TOO_LARGE, f"{UPLOAD_QUOTA_BYTES} bytes waiting to be posted")
    row: RowValues = {name: getattr(upload, name) for name in _FIELDS}
    connection.execute(insert(tables.uploads), row | owned)


def find(connection: Connection, account: str, principal: str, name: str) -> Upload | None:
    """Return an upload of exactly this principal."""
    row = one(connection, tables.uploads, account=account, id=name, principal=principal)
    return None if row is None else Upload(**{field: row[field] for field in _FIELDS})


def finished(connection: Connection, account: str, name: str, *, principal: str) -> Upload | None:
    """Return an upload of exactly this principal whose bytes are all here."""
    found = find(connection, account, principal, name)
    return found if found is not None and found.sha256 is not None else None


def advance(
    connection: Connection,
    account: str,
    name: str,
    *,
    offset: int,
    sha256: str | None,
    media_type: str | None = None,
) -> None:
    """Move an upload forward; a finished one stays as it is.

    Raises:
        DeskhandError: ``not_found``.
    """
    row = one(connection, tables.uploads, account=account, id=name)
    if row is None:
        raise DeskhandError(Code.NOT_FOUND)
    if row["sha256"] is None:
        known_type = media_type or row["media_type"]
        changes = {"offset": offset, "sha256": sha256, "media_type": known_type}
        mine = update(tables.uploads).filter_by(account=account, id=name)
        connection.execute(mine.values(changes))


def keep(connection: Connection, account: str, names: Sequence[str]) -> None:
    """A message names these: they no longer expire."""
    mine = update(tables.uploads).filter_by(account=account).where(_u.id.in_(names))
    connection.execute(mine.values(posted=True))


def named(connection: Connection) -> set[str]:
    """Return every blob that an artifact or upload of any account names."""
    both = select(_artifacts.blob).union(select(_u.sha256))
    return {name for name in connection.execute(both).scalars() if name is not None}

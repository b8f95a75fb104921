"""Files on their way in: reserved against a quota, moved forward, kept once a message names them.

It refuses to speak of another principal's upload; bytes are the business of ``blobs``.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from deskhand.errors import Code, DeskhandError
from deskhand.limits import UPLOAD_BYTES_MAX, UPLOAD_QUOTA_BYTES
from deskhand.protocol.objects import Upload
from deskhand.protocol.tasks import Artifact
from deskhand.store import tables
from deskhand.store.rows import RowValues, read_upload

_u = tables.uploads.c
_artifacts = tables.projections[Artifact].c


def create(
    connection: Connection, account: str, principal: str, upload: Upload, *, now: str
) -> None:
    """Reserve an upload; what expired without being posted makes room.

    Raises:
        DeskhandError: ``too_large``.
    """
    mine = (_u.account == account, _u.principal == principal, _u.posted.is_(False))
    connection.execute(delete(tables.uploads).where(*mine, _u.expires_at < now))
    reserved = connection.execute(select(func.coalesce(func.sum(_u.size), 0)).where(*mine))
    if upload.size > UPLOAD_BYTES_MAX:
        raise DeskhandError(Code.TOO_LARGE, f"{UPLOAD_BYTES_MAX} bytes")
    if int(reserved.scalar_one()) + upload.size > UPLOAD_QUOTA_BYTES:
        raise DeskhandError(Code.TOO_LARGE, f"{UPLOAD_QUOTA_BYTES} bytes waiting to be posted")
    row: RowValues = {
        "account": account,
        "id": upload.id,
        "principal": principal,
        "name": upload.name,
        "size": upload.size,
        "offset": upload.offset,
        "media_type": upload.media_type,
        "sha256": upload.sha256,
        "expires_at": upload.expires_at,
        "posted": False,
    }
    connection.execute(insert(tables.uploads), row)


def find(
    connection: Connection, account: str, principal: str, name: str, *, finished: bool = False
) -> Upload | None:
    """Return an upload of exactly this principal."""
    query = select(tables.uploads).where(
        _u.account == account, _u.id == name, _u.principal == principal
    )
    if finished:
        query = query.where(_u.sha256.is_not(None))
    row = connection.execute(query).mappings().first()
    return None if row is None else read_upload(row)


def advance(
    connection: Connection,
    account: str,
    name: str,
    *,
    offset: int,
    sha256: str | None,
    media_type: str | None,
) -> None:
    """Move an upload forward; a finished one stays as it is.

    Raises:
        DeskhandError: ``not_found``.
    """
    here = (_u.account == account, _u.id == name)
    finished = connection.execute(select(_u.sha256).where(*here)).first()
    if finished is None:
        raise DeskhandError(Code.NOT_FOUND)
    if finished.sha256 is not None:
        return
    changes: RowValues = {"offset": offset, "sha256": sha256}
    if media_type is not None:
        changes["media_type"] = media_type
    connection.execute(update(tables.uploads).where(*here).values(changes))


def keep(connection: Connection, account: str, names: Sequence[str]) -> None:
    """A message names these: they no longer expire."""
    connection.execute(
        update(tables.uploads).where(_u.account == account, _u.id.in_(names)).values(posted=True)
    )


def referenced(connection: Connection, account: str, sha256: str) -> bool:
    """Return whether an artifact or upload of the account names this blob."""
    by_artifact = select(_artifacts.id).where(
        _artifacts.account == account, _artifacts.blob == sha256
    )
    by_upload = select(_u.id).where(_u.account == account, _u.sha256 == sha256)
    return any(
        connection.execute(query.limit(1)).first() is not None for query in (by_artifact, by_upload)
    )

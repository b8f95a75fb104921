"""Uploads: files on their way in, resumable, bound to the principal that sends them.

Size is said first and reserved against the quota; one writer at a time; the type is what the bytes are, never what the
sender says (its name only decides between kinds of plain text, and nothing is called what a browser would run). How far
an upload is, the disk knows: an answer that got lost is not sent twice.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePosixPath, PureWindowsPath

from deskhand import limits
from deskhand.clock import Clock, stamp, unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.ports import Blobs
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Upload
from deskhand.store.opening import SqlStore
from deskhand.texts import table

TYPES = table("deskhand.hub", "types.toml")
OCTETS = "application/octet-stream"
PLAIN = "text/plain"
_ID_BYTES = 16
_LOOK_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """All uploads of one hub."""

    store: SqlStore
    blobs: Blobs
    clock: Clock
    ids: Ids
    written_now: set[str] = field(default_factory=set[str])

    async def create(self, me: Principal, *, name: str, size: int) -> Upload:
        """Reserve room for a file; ``too_large`` for one file or for the quota."""
        if size > (most := limits.UPLOAD_BYTES_MAX):
            raise DeskhandError(Code.TOO_LARGE, f"{most} bytes", field="Upload-Length")
        upload = Upload(
            id=f"upl_{self.ids.secret(_ID_BYTES)}",
            name=plain_name(name),
            size=size,
            offset=0,
            media_type=OCTETS,
            expires_at=stamp(self.clock.now() + timedelta(seconds=limits.UPLOAD_KEPT_SECONDS)),
        )
        await self.store.create_upload(me.account, me.id, upload)
        return upload if size else await self.look(me, upload.id)

    async def look(self, me: Principal, name: str) -> Upload:
        """Return an upload with the offset that is on disk; whole bytes that nobody named yet become a file.

        Somebody else's and an expired one are ``not_found``.
        """
        upload = await self._known(me, name)
        unnamed = upload.sha256 is None and upload.offset == upload.size
        if unnamed and name not in self.written_now:
            return await self.append(me, name, _nothing(), offset=upload.offset)
        return upload

    async def append(self, me: Principal, name: str, chunks: AsyncIterator[bytes], *, offset: int) -> Upload:
        """Add bytes at the offset; the last ones make it a file.

        Raises:
            DeskhandError: ``not_found``; ``conflict`` while another request writes; ``upload_offset``;
                ``too_large``; ``disk_full``.
        """
        if name in self.written_now:
            raise DeskhandError(Code.CONFLICT, "another request writes this upload")
        self.written_now.add(name)
        try:
            upload = await self._known(me, name)
            if offset != upload.offset:
                raise DeskhandError(Code.UPLOAD_OFFSET, str(upload.offset))
            if upload.sha256 is not None:
                return upload
            reached = await self.blobs.append(name, chunks, offset=offset, limit=upload.size)
            if reached < upload.size:
                return upload.but(offset=reached)
            sha256, _ = await self.blobs.finish(name)
            came = {"sha256": sha256, "media_type": await sniff_blob(self.blobs, sha256, upload.name)}
            await self.store.finish_upload(me.account, name, **came)
            return upload.but(offset=reached, **came)
        finally:
            self.written_now.discard(name)

    async def _known(self, me: Principal, name: str) -> Upload:
        upload = await self.store.upload(me.account, me.id, name)
        if upload is not None and upload.sha256 is not None:
            return upload.but(offset=upload.size)
        if upload is None or unstamp(upload.expires_at) <= self.clock.now():
            raise DeskhandError(Code.NOT_FOUND)
        return upload.but(offset=await self.blobs.partial(upload.id))


def plain_name(name: str) -> str:
    """Return the last part of a name, without anything that shows or acts as something else (UP-03)."""
    last = PureWindowsPath(PurePosixPath(name).name).name
    shown = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    return shown[-limits.NAME_CHARS_MAX :] or "file"


async def _nothing() -> AsyncIterator[bytes]:
    """Yield no bytes."""
    for none in ():
        yield none


async def sniff_blob(blobs: Blobs, sha256: str, name: str) -> str:
    """Return the media type of stored bytes, from the first of them."""
    size = min(blobs.size(sha256) or 0, _LOOK_BYTES)
    beginning = b"".join([chunk async for chunk in blobs.open(sha256, start=0, size=size)])
    known = (one["type"] for one in TYPES["magic"] if beginning.startswith(one["bytes"].encode("latin-1"), one["at"]))
    found = next(known, None) or (PLAIN if _is_text(beginning) else OCTETS)
    return TYPES["named"].get(found, {}).get(PurePosixPath(name.lower()).suffix, found)


def _is_text(beginning: bytes) -> bool:
    try:
        # Not the end of the file, perhaps: a letter may be cut where we stopped looking.
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False

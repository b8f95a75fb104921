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
from typing import Final

from deskhand.clock import Clock, stamp, unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.limits import NAME_CHARS_MAX, UPLOAD_BYTES_MAX, UPLOAD_KEPT_SECONDS
from deskhand.ports import Blobs, Store
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Upload

_ID_BYTES: Final = 16
OCTETS: Final = "application/octet-stream"
PLAIN: Final = "text/plain"
INLINE: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", PLAIN})
"""What may be shown in place; everything else is a download (security 2.4)."""

_LOOK_BYTES: Final = 4096
_ZIP: Final = "application/zip"
_MAGIC: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", _ZIP),
    (4, b"ftyp", "video/mp4"),
    (8, b"WEBP", "image/webp"),
)
_IN_ZIP: Final = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_OF_TEXT: Final = {".md": "text/markdown", ".csv": "text/csv", ".json": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """All uploads of one hub."""

    store: Store
    blobs: Blobs
    clock: Clock
    ids: Ids
    written_now: set[str] = field(default_factory=set[str])

    async def create(self, me: Principal, *, name: str, size: int) -> Upload:
        """Reserve room for a file; ``too_large`` for one file or for the quota."""
        if size > UPLOAD_BYTES_MAX:
            raise DeskhandError(Code.TOO_LARGE, f"{UPLOAD_BYTES_MAX} bytes", field="Upload-Length")
        upload = Upload(
            id=f"upl_{self.ids.secret(_ID_BYTES)}",
            name=plain_name(name),
            size=size,
            offset=0,
            media_type=OCTETS,
            expires_at=stamp(self.clock.now() + timedelta(seconds=UPLOAD_KEPT_SECONDS)),
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

    async def append(
        self, me: Principal, name: str, chunks: AsyncIterator[bytes], *, offset: int
    ) -> Upload:
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
            sha256, media_type = None, upload.media_type
            if reached == upload.size:
                sha256, _ = await self.blobs.finish(name)
                media_type = await sniff_blob(self.blobs, sha256, name=upload.name)
            await self.store.advance_upload(
                me.account, name, offset=reached, sha256=sha256, media_type=media_type
            )
            return upload.but(offset=reached, sha256=sha256, media_type=media_type)
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
    return shown[-NAME_CHARS_MAX:] or "file"


async def _nothing() -> AsyncIterator[bytes]:
    """Yield no bytes."""
    for none in ():
        yield none


async def sniff_blob(blobs: Blobs, sha256: str, *, name: str) -> str:
    """Return the media type of stored bytes, from the first of them."""
    size = min(blobs.size(sha256) or 0, _LOOK_BYTES)
    beginning = b"".join([chunk async for chunk in blobs.open(sha256, start=0, size=size)])
    suffix = PurePosixPath(name.lower()).suffix
    for start, magic, media_type in _MAGIC:
        if beginning.startswith(magic, start):
            return _IN_ZIP.get(suffix, _ZIP) if media_type == _ZIP else media_type
    return _OF_TEXT.get(suffix, PLAIN) if _is_text(beginning) else OCTETS


def _is_text(beginning: bytes) -> bool:
    try:
        # Not the end of the file, perhaps: a letter may be cut where we stopped looking.
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return b"\0" not in beginning

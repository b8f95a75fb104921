"""What a file is, by its first bytes; what it is called only decides between kinds of plain text.

It refuses to name anything a browser would run: what looks like markup or script is plain text or just bytes.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from deskhand.ports import Blobs

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


async def sniff_blob(blobs: Blobs, sha256: str, *, name: str) -> str:
    """Return the media type of stored bytes."""
    size = min(blobs.size(sha256) or 0, _LOOK_BYTES)
    beginning = b"".join([chunk async for chunk in blobs.open(sha256, start=0, size=size)])
    return sniff(beginning, name=name)


def sniff(beginning: bytes, *, name: str) -> str:
    """Return the media type of a file from its first bytes."""
    suffix = PurePosixPath(name.lower()).suffix
    for start, magic, media_type in _MAGIC:
        if beginning.startswith(magic, start):
            return _IN_ZIP.get(suffix, _ZIP) if media_type == _ZIP else media_type
    return _OF_TEXT.get(suffix, PLAIN) if _is_text(beginning) else OCTETS


def _is_text(beginning: bytes) -> bool:
    if b"\0" in beginning:
        return False
    try:
        beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        # A letter may be cut where we stopped looking.
        return error.end == len(beginning) and error.start >= len(beginning) - 3 and error.start > 0
    return True

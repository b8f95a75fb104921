"""What a file is, by its first bytes; what it is called only decides between kinds of plain text.

It refuses to name anything a browser would run: what looks like markup or script is plain text or just bytes.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

OCTETS: Final = "application/octet-stream"
PLAIN: Final = "text/plain"

INLINE: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", PLAIN})
"""What may be shown in place; everything else is a download (security 2.4)."""

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_IN_ZIP: Final = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_OF_TEXT: Final = {
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".json": "application/json",
}


def sniff(beginning: bytes, *, name: str) -> str:
    """Return the media type of a file from its first bytes."""
    suffix = PurePosixPath(name.lower()).suffix
    if beginning[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(beginning[8:12], OCTETS)
    for magic, media_type in _MAGIC:
        if beginning.startswith(magic):
            return (
                _IN_ZIP.get(suffix, media_type) if media_type == "application/zip" else media_type
            )
    if beginning[4:8] == b"ftyp":
        return "video/mp4"
    return _OF_TEXT.get(suffix, PLAIN) if _is_text(beginning) else OCTETS


def servable(media_type: str) -> str:
    """Return the type under which stored bytes may go to a browser: never one that it would run."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind in INLINE or kind in _OF_TEXT.values() or kind in _IN_ZIP.values():
        return kind
    known = {media for _, media in _MAGIC} | {"audio/wav", "video/mp4"}
    return kind if kind in known else OCTETS


def _is_text(beginning: bytes) -> bool:
    if b"\0" in beginning:
        return False
    try:
        beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        # A letter may be cut where we stopped looking.
        return error.end == len(beginning) and error.start >= len(beginning) - 3 and error.start > 0
    return True

"""Bytes to text: which encoding a file is in, found from its bytes alone, and its lines as editors count them.

It refuses to guess for bytes that are no text: better "not a text file" than a page of mojibake.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from deskhand.errors import Code, DeskhandError

_SAMPLE_BYTES: Final = 64 * 1024
_MARK = re.compile(rb"(?P<utf_8_sig>\xef\xbb\xbf)|(?P<utf_32>\xff\xfe\0\0)|(?P<utf_16>\xff\xfe|\xfe\xff)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A text, and the name of the encoding it was in."""

    text: str
    encoding: str

    def lines(self) -> list[str]:
        """Return its lines; a last line end starts no further line."""
        return [line.removesuffix("\n") for line in io.StringIO(self.text, newline=None)]


def decode(data: bytes) -> Decoded:
    """Return the text.

    Raises:
        DeskhandError: ``unsupported_type`` when the bytes are none.
    """
    for encoding in _encodings(data):
        with suppress(UnicodeDecodeError):
            found = Decoded(text=data.decode(encoding), encoding=encoding)
            shown = found.text[:_SAMPLE_BYTES]
            if len(_CONTROL.findall(shown)) > max(3, len(shown) * 0.02):
                break
            return found
    raise DeskhandError(Code.UNSUPPORTED_TYPE, "it is no text")


def _encodings(data: bytes) -> Iterator[str]:
    """Yield what the bytes may be in, the likeliest first."""
    if marked := _MARK.match(data):
        yield str(marked.lastgroup).replace("_", "-")
    elif b"\x00" not in data[:_SAMPLE_BYTES]:
        yield "utf-8"
        yield from ["cp949"] * _korean(data)
        yield from ("cp1252", "latin-1")


def _korean(data: bytes) -> bool:
    """Latin text often decodes as cp949 too, but its high bytes stand alone; Korean ones come in pairs."""
    high = [letter for letter in data.decode("cp949", errors="replace") if letter > "\x7f"]
    hangul = sum("가" <= letter <= "힣" for letter in high)
    pairs = len(re.findall(rb"[\x81-\xfe][\xa1-\xfe]", data))
    return bool(high) and min(hangul, pairs) >= len(high) * 0.8

"""Bytes to text: which encoding a file is in, found from its bytes alone, and its lines as editors count them.

It refuses to guess for bytes that are no text: better "not a text file" than a page of mojibake.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

_SAMPLE_BYTES: Final = 64 * 1024
_CONTROL_SHARE_MAX: Final = 0.02
_CONTROL_MAX: Final = 3
_UTF16_ZERO_SHARE_MIN: Final = 0.3
_HANGUL_SHARE_MIN: Final = 0.8
_LINE_END = re.compile(r"\r\n|\n|\r")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A text, and the name of the encoding it was in."""

    text: str
    encoding: str

    def lines(self) -> list[str]:
        """Return its lines; a last line end starts no further line."""
        found = _LINE_END.split(self.text)
        if found and not found[-1]:
            found.pop()
        return found


def decode(data: bytes) -> Decoded | None:
    """Return the text, or nothing when the bytes are none."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _as(data, name)
    sample = data[:_SAMPLE_BYTES]
    if b"\x00" in sample:
        return _without_mark(data, sample)
    found = _as(data, "utf-8") or _korean(data) or _as(data, "cp1252")
    found = found or Decoded(text=data.decode("latin-1"), encoding="latin-1")
    shown = found.text[:_SAMPLE_BYTES]
    binary = len(_CONTROL.findall(shown)) > max(_CONTROL_MAX, len(shown) * _CONTROL_SHARE_MAX)
    return None if binary else found


_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _as(data: bytes, encoding: str) -> Decoded | None:
    try:
        return Decoded(text=data.decode(encoding), encoding=encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _without_mark(data: bytes, sample: bytes) -> Decoded | None:
    """UTF-16 without its mark: Latin text has a zero in every other byte."""
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        often = sample[start::2].count(0) * 2 >= len(sample) * _UTF16_ZERO_SHARE_MIN
        if often and not sample[1 - start :: 2].count(0):
            found = _as(data, name)
            return None if found is None or _CONTROL.search(found.text) else found
    return None


def _korean(data: bytes) -> Decoded | None:
    """Latin text often decodes as cp949 too, but its high bytes stand alone; Korean ones come in pairs."""
    found = _as(data, "cp949")
    high = [letter for letter in found.text if letter > "\x7f"] if found else []
    hangul = sum("가" <= letter <= "힣" for letter in high)
    pairs = len(re.findall(rb"[\x81-\xfe][\xa1-\xfe]", data))
    return found if high and min(hangul, pairs) >= len(high) * _HANGUL_SHARE_MIN else None

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


def decode(data: bytes, *, encoding: str | None = None) -> Decoded | None:
    """Return the text, or nothing when the bytes are none (in ``encoding``, when it is given)."""
    if encoding is not None:
        return _as(data, encoding)
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _as(data, name)
    if b"\x00" in data[:_SAMPLE_BYTES]:
        return _without_mark(data)
    found = _as(data, "utf-8")
    if found is None:
        found = _korean(data) or _as(data, "cp1252") or _as(data, "latin-1")
    return None if found is None or _binary(found.text) else found


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


def _without_mark(data: bytes) -> Decoded | None:
    """UTF-16 without its mark: Latin text has a zero in every other byte."""
    sample = data[:_SAMPLE_BYTES]
    half = max(1, len(sample) // 2)
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[start::2].count(0) / half, sample[1 - start :: 2].count(0)
        if zeros >= _UTF16_ZERO_SHARE_MIN and not others:
            found = _as(data, name)
            return None if found is None or _CONTROL.search(found.text) else found
    return None


def _korean(data: bytes) -> Decoded | None:
    """Latin text often decodes as cp949 too, but its high bytes stand alone; Korean ones come in pairs."""
    found = _as(data, "cp949")
    if found is None:
        return None
    high = [letter for letter in found.text if letter > "\x7f"]
    hangul = sum("가" <= letter <= "힣" for letter in high)
    pairs = len(re.findall(rb"[\x81-\xfe][\xa1-\xfe]", data))
    telling = bool(high) and hangul / len(high) >= _HANGUL_SHARE_MIN
    return found if telling and pairs >= len(high) * _HANGUL_SHARE_MIN else None


def _binary(text: str) -> bool:
    sample = text[:_SAMPLE_BYTES]
    return len(_CONTROL.findall(sample)) > max(_CONTROL_MAX, len(sample) * _CONTROL_SHARE_MAX)

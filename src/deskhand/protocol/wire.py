"""The shape of everything on the wire: strict JSON in, tolerant objects, canonical bytes for hashing.

``strict_json`` refuses what parsers disagree about (WH-06). Objects keep unknown fields, so that an older hub
passes on what a newer phone said. This module refuses floats where a hash is taken: they print differently elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar, NoReturn, Self, cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from deskhand.errors import Code, DeskhandError
from deskhand.limits import INTEGER_MAX, JSON_DEPTH_MAX
from deskhand.texts import table

Json = JsonValue
JsonObject = dict[str, Json]
TABLES = table("deskhand.protocol", "tables.toml")
"""The tables of the protocol, which are a file to read."""
At = str
"""RFC 3339 UTC with milliseconds, as ``deskhand.clock.stamp`` writes it; sorts as time does."""


class Wire(BaseModel):
    """An immutable object of the protocol. Unknown fields are kept, never interpreted."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", frozen=True, str_max_length=2_000_000)

    def to_json(self) -> JsonObject:
        """Return the JSON object, without fields that are ``None``."""
        return cast("JsonObject", self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read a JSON object.

        Raises:
            DeskhandError: ``invalid`` with the first wrong field.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise DeskhandError(Code.INVALID, f"{field}: {first['msg']}", field=field) from None

    def but(self, **changes: object) -> Self:
        """Return a copy with ``changes``; the values are trusted to be of the right type."""
        return self.model_copy(update=changes)


def strict_json(data: bytes) -> Json:
    """Parse JSON as every parser of the world would, or refuse it.

    Raises:
        DeskhandError: ``malformed_json`` for NaN, duplicate keys, huge integers, lone surrogates, deep nesting.
    """
    try:
        parsed = json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_int=_bounded_integer)
        spelled(parsed)  # which neither NaN, nor what is too large, nor a lone surrogate can be
        is_deep = _depth(parsed) > JSON_DEPTH_MAX + 1
    except RecursionError:
        parsed, is_deep = None, True
    except ValueError as error:
        raise DeskhandError(Code.MALFORMED_JSON, str(error)[:200]) from None
    if is_deep:
        raise DeskhandError(Code.MALFORMED_JSON, f"deeper than {JSON_DEPTH_MAX}")
    return cast("Json", parsed)


def canonical(value: object) -> bytes:
    """Return the one spelling of a JSON value that both Python and TypeScript produce, for hashing.

    Keys sorted, no spaces, no escapes beyond JSON's own.

    Raises:
        DeskhandError: ``invalid`` when a float is inside.
    """
    said = spelled(value)
    json.loads(said, parse_float=_refuse_float)
    return said


def spelled(value: object) -> bytes:
    """Return a JSON value as ``canonical`` spells it; floats as Python alone does."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def sha256_of(value: object) -> str:
    """Return the SHA-256 of the canonical spelling, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_float(_: str) -> NoReturn:
    raise DeskhandError(Code.INVALID, "a float cannot be hashed")


def _bounded_integer(digits: str) -> int:
    if abs(number := int(digits)) > INTEGER_MAX:
        raise ValueError("an integer is too large")
    return number


def _depth(value: Json) -> int:
    """Return how deep a JSON value is nested, itself included."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, held), default=0)

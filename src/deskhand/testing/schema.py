"""The protocol in other people's language: JSON Schema for the reference, TypeScript types for the page.

Both files are generated from the Pydantic models and checked in; a test fails when they are out of date. Facts and
objects are described as we write them (fields that are ``None`` are absent), ops as we read them. It refuses to
describe what it does not know how to spell in TypeScript.

    python -m deskhand.testing.schema           # write both
    python -m deskhand.testing.schema --check   # say what is out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from pydantic.json_schema import models_json_schema

from deskhand.core.folding import COLLECTIONS
from deskhand.errors import Code
from deskhand.protocol import objects, ops, requests, tasks
from deskhand.protocol.events import EVENTS, Event
from deskhand.protocol.ops import OPS, OpResult
from deskhand.protocol.wire import Wire

ROOT = Path(__file__).resolve().parents[3]
SCHEMA_FILE = Path("docs/reference/protocol.schema.json")
TYPES_FILE = Path("web/src/protocol/generated.ts")

Schema = Mapping[str, object]
_Models = Sequence[tuple[type[Wire], Literal["validation", "serialization"]]]

_OBJECTS: tuple[type[Wire], ...] = (
    *COLLECTIONS,
    tasks.Action,
    tasks.Check,
    tasks.Waiting,
    objects.Delivery,
    requests.Hit,
    objects.Presence,
    objects.Upload,
    OpResult,
    ops.Failure,
    Event,
)
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_HEADER = "// Written by `python -m deskhand.testing.schema` from src/deskhand/protocol. Do not edit.\n"


def protocol_schema() -> dict[str, object]:
    """Return one JSON Schema with every object, event body and op body, and which kind has which body."""
    models: _Models = (
        *((model, "serialization") for model in _OBJECTS),
        *((model, "serialization") for model in EVENTS.values()),
        *((model, "validation") for model in (ops.Op, *OPS.values())),
    )
    _, whole = models_json_schema(_unique(models), by_alias=True, ref_template="#/$defs/{model}")
    definitions = cast("dict[str, dict[str, object]]", whole["$defs"])
    read = {model.__name__ for model in (ops.Op, *OPS.values())}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Deskhand protocol",
        "collections": {name: model.__name__ for model, name in COLLECTIONS.items()},
        "events": {kind: body.__name__ for kind, body in EVENTS.items()},
        "ops": {kind: body.__name__ for kind, body in OPS.items()},
        "errors": {str(code): code.status for code in Code},
        "$defs": {
            name: definitions[name] if name in read else _as_written(definitions[name]) for name in sorted(definitions)
        },
    }


def typescript(schema: Schema) -> str:
    """Return the TypeScript types for a schema that ``protocol_schema`` made."""
    definitions = cast("Mapping[str, Schema]", schema["$defs"])
    parts = [_HEADER]
    parts += [_declaration(name, definition) for name, definition in definitions.items()]
    parts += [
        _table("Collections", "collections", schema),
        _table("EventBodies", "events", schema),
        _table("OpBodies", "ops", schema),
        _union("ErrorCode", cast("Mapping[str, int]", schema["errors"])),
        _union("Collection", cast("Mapping[str, str]", schema["collections"])),
    ]
    return "\n".join(parts)


def generated() -> dict[Path, str]:
    """Return every generated file with its text."""
    schema = protocol_schema()
    return {SCHEMA_FILE: json.dumps(schema, indent=1, ensure_ascii=False) + "\n", TYPES_FILE: typescript(schema)}


def out_of_date(root: Path) -> list[Path]:
    """Return the generated files that differ from what the models say now."""
    return differing(generated(), root)


def differing(files: Mapping[Path, str], root: Path) -> list[Path]:
    """Return the files that do not stand below ``root`` as they should."""
    return [
        path
        for path, wanted in files.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != wanted
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the files, or only say which are out of date."""
    return write_or_tell(generated(), arguments)


def write_or_tell(files: Mapping[Path, str], arguments: Sequence[str]) -> int:
    """Write the generated files that differ, or with ``--check`` only say which; return the exit code."""
    stale = differing(files, ROOT)
    for path in stale:
        print(f"{'out of date' if '--check' in arguments else 'written'}: {path}")  # noqa: T201 - a program's answer
        if "--check" not in arguments:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(files[path], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def _as_written(definition: dict[str, object]) -> dict[str, object]:
    """Say that what has a default is always there: we write defaults out, and leave only ``None`` away."""
    properties = cast("Mapping[str, Schema]", definition.get("properties", {}))
    always = [
        name for name, inner in properties.items() if not _nullable(inner) and inner.get("default", "") is not None
    ]
    return {**definition, "required": always} if properties else definition


def _unique(models: _Models) -> _Models:
    return list(dict.fromkeys(models))


def _declaration(name: str, definition: Schema) -> str:
    said = _comment(str(definition.get("description", "")), indent="")
    if "enum" in definition:
        return f"{said}export type {name} = {_spelled(definition)};\n"
    if "properties" not in definition and definition.get("type") != "object":
        return f"{said}export type {name} = {_spelled(definition)};\n"
    properties = cast("Mapping[str, Schema]", definition.get("properties", {}))
    required = cast("Sequence[str]", definition.get("required", ()))
    lines = [
        f"  {field}{'' if field in required and not _nullable(inner) else '?'}: {_spelled(inner)};"
        for field, inner in properties.items()
    ]
    body = "\n".join(lines)
    return (
        f"{said}export interface {name} {{\n{body}\n}}\n"
        if lines
        else (f"{said}export type {name} = Record<string, never>;\n")
    )


def _comment(text: str, *, indent: str) -> str:
    first = text.split("\n\n", maxsplit=1)[0].replace("\n", " ").strip()
    return f"{indent}/** {first} */\n" if first else ""


def _nullable(schema: Schema) -> bool:
    inner = cast("Sequence[Schema]", schema.get("anyOf", ()))
    return any(option.get("type") == "null" for option in inner)


def _spelled(schema: Schema) -> str:
    """Return the TypeScript spelling of a schema, without ``null`` (absent means none)."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", maxsplit=1)[-1]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in cast("Sequence[str]", schema["enum"]))
    if "anyOf" in schema:
        options = cast("Sequence[Schema]", schema["anyOf"])
        kept = [_spelled(option) for option in options if option.get("type") != "null"]
        return " | ".join(dict.fromkeys(kept)) or "null"
    return _spelled_by_type(schema)


def _spelled_by_type(schema: Schema) -> str:
    kind = str(schema.get("type"))
    if kind == "array":
        inner = _spelled(cast("Schema", schema.get("items", {})))
        return f"readonly ({inner})[]" if "|" in inner else f"readonly {inner}[]"
    if kind == "object":
        inner = schema.get("additionalProperties")
        value = _spelled(cast("Schema", inner)) if isinstance(inner, Mapping) else "unknown"
        return f"Record<string, {value}>"
    return _PLAIN.get(kind, "unknown")


def _table(name: str, key: str, schema: Schema) -> str:
    rows = cast("Mapping[str, str]", schema[key])
    body = "\n".join(f'  "{kind}": {model};' for kind, model in rows.items())
    return f"export interface {name} {{\n{body}\n}}\n"


def _union(name: str, values: Mapping[str, object]) -> str:
    body = "\n".join(f'  | "{value}"' for value in values)
    return f"export type {name} =\n{body};\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

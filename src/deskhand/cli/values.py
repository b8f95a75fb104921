"""Settings of this computer and where each value comes from: flag, environment, project, ``config.toml``, default.

A project's ``.deskhand.toml`` may only narrow: it is somebody's repository, not the owner's word. This module refuses
names it does not know and lines it cannot read, naming file and line. Settings of the account live in the hub.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from deskhand.cli.client import home
from deskhand.core.settings import REGISTRY, SettingSpec, checked
from deskhand.errors import Code, DeskhandError

PROJECT_FILE: Final = ".deskhand.toml"
Mode = Literal["read-only", "ask", "workspace", "trusted"]
Value = bool | int | str | tuple[str, ...]
_NARROWS: Final = ("do.mode", "runner.slots")
"""What a project may say; of its choices or numbers the first is the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value and where it comes from; ``id`` is its name."""

    id: str
    value: Any
    source: str


def setting(name: str, *, flag: object | None = None) -> Setting:
    """Return a setting of this computer as it holds now.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    found = _outside_project(name, flag=flag)
    project = _project_values()
    if name not in project:
        return found
    choices = REGISTRY[name].choices
    return min(found, project[name], key=lambda one: choices.index(one.value) if choices else one.value)


def config_path() -> Path:
    """Return the file of this computer's settings."""
    return home() / "config.toml"


def config_values() -> dict[str, Value]:
    """Return what stands in ``config.toml``.

    Raises:
        DeskhandError: ``config_invalid`` naming the line.
    """
    path = config_path()
    return _checked(_text_of(path), path)


def write_value(name: str, value: Value | None) -> None:
    """Put a value into ``config.toml``, or take it out; what else stands there stays, comments too.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    import tomlkit

    from deskhand.store.private import write_private

    path = config_path()
    before = _text_of(path)
    _checked(before, path)
    document = tomlkit.parse(before)
    table, (*tables, key) = cast("dict[str, Any]", document), name.split(".")
    for inner in tables:
        table = table.setdefault(inner, tomlkit.table())
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
    after = tomlkit.dumps(document)
    _checked(after, path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, after)


def spec_of(name: str) -> SettingSpec:
    """Return the schema of a setting.

    Raises:
        DeskhandError: ``config_invalid`` for an unknown name.
    """
    if name not in REGISTRY:
        checked(name, None)  # refuses it
    return REGISTRY[name]


def parsed(name: str, said: str) -> Value:
    """Return what a person typed as a value of the setting's type.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    default = spec_of(name).default
    value: Any = said
    if isinstance(default, tuple):
        between = "\n" if name == "policy" else ","  # a rule has commas in it
        value = [part.strip() for part in said.split(between) if part.strip()]
    elif not isinstance(default, str):
        with suppress(ValueError):
            value = json.loads(said.lower())
    return _valid(name, value)


def _valid(name: str, said: object) -> Value:
    """Return a value in its type; what a host list says is read as it will be read (NE-04)."""
    value = checked(name, cast("Any", said))
    if isinstance(value, tuple) and value and name.startswith("internet."):
        from deskhand.egress import broker

        for one in value:
            (broker.entry if name == "internet.hosts" else broker.credential)(one)
    return value


def _outside_project(name: str, *, flag: object | None) -> Setting:
    # The model is the one that people type most.
    typed = "model" if name == "model.name" else name
    variable = "DESKHAND_" + typed.upper().replace(".", "_")
    if flag is not None:
        return Setting(id=name, value=checked(name, cast("str", flag)), source="flag")
    if variable in os.environ:
        return Setting(id=name, value=parsed(name, os.environ[variable]), source=variable)
    if name in (values := config_values()):
        return Setting(id=name, value=values[name], source=str(config_path()))
    return Setting(id=name, value=REGISTRY[name].default, source="default")


def _project_values() -> dict[str, Setting]:
    """Return what the nearest ``.deskhand.toml`` above the working directory narrows; it may say nothing else."""
    here = Path.cwd()
    paths = (directory / PROJECT_FILE for directory in (here, *here.parents))
    path = next((path for path in paths if path.is_file()), None)
    values = {} if path is None else _checked(_text_of(path), path)
    for name in values:
        if name not in _NARROWS:
            detail = f"{path}: {name} – {', '.join(_NARROWS)}"
            raise DeskhandError(Code.CONFIG_INVALID, detail, field=name)
    return {name: Setting(id=name, value=one, source=str(path)) for name, one in values.items()}


def _text_of(path: Path) -> str:
    """Return what a file says; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""  # a home that is none is refused where it is opened
    except (OSError, UnicodeDecodeError) as error:
        raise DeskhandError(Code.CONFIG_INVALID, f"{path}: {type(error).__name__}") from None


def _checked(text: str, path: Path) -> dict[str, Value]:
    """Return the settings in the text of a file, each checked; what is wrong is named with its line."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeskhandError(Code.CONFIG_INVALID, f"{path}: {error}") from None
    values: dict[str, Value] = {}
    for name, value in _flat(data, ""):
        try:
            values[name] = _valid(name, value)
        except DeskhandError as error:
            where = f"{path}:{_line_of(text, name)}: {error.detail}"
            raise DeskhandError(Code.CONFIG_INVALID, where, field=name) from None
    return values


def _flat(data: dict[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    """Yield ``[("hub.port", 3375), ...]`` of nested tables."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, object]", value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _line_of(text: str, name: str) -> int:
    """Return the line where a setting of this name is first written, in whichever table."""
    key = re.escape(name.rpartition(".")[2])
    found = re.search(rf"""^[ \t]*["'\w.]*\b{key}["']?[ \t]*=""", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1

"""Settings of this computer and where each value comes from: flag, environment, project, ``config.toml``, default.

A project's ``.deskhand.toml`` may only narrow: it is somebody's repository, not the owner's word. This module refuses
names it does not know and lines it cannot read, naming file and line. Settings of the account live in the hub.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from deskhand.cli.flags import MODES
from deskhand.cli.home import home
from deskhand.core.settings import REGISTRY, SettingSpec, checked
from deskhand.errors import Code, DeskhandError

CONFIG_FILE: Final = "config.toml"
PROJECT_FILE: Final = ".deskhand.toml"
Value = bool | int | str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value and where it comes from."""

    name: str
    value: Value
    source: str


def setting(name: str, *, flag: object | None = None) -> Setting:
    """Return a setting of this computer as it holds now.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    found = _outside_project(name, flag=flag)
    project = project_values()
    if name not in project:
        return found
    value, path = project[name]
    narrower = _narrower(name, found.value, value)
    return found if narrower == found.value else Setting(name=name, value=narrower, source=path)


def config_path() -> Path:
    """Return the file of this computer's settings."""
    return home() / CONFIG_FILE


def config_values() -> dict[str, Value]:
    """Return what stands in ``config.toml``.

    Raises:
        DeskhandError: ``config_invalid`` naming the line.
    """
    return _checked_file(config_path())


def project_values() -> dict[str, tuple[Value, str]]:
    """Return what the nearest ``.deskhand.toml`` above the working directory narrows, with its path.

    Raises:
        DeskhandError: ``config_invalid`` for what cannot be read or may not stand there.
    """
    here = Path.cwd()
    for directory in (here, *here.parents):
        path = directory / PROJECT_FILE
        if path.is_file():
            values = _checked_file(path)
            for name in values:
                if name not in _NARROWS:
                    detail = f"{path}: {name} – {', '.join(sorted(_NARROWS))}"
                    raise DeskhandError(Code.CONFIG_INVALID, detail, field=name)
            return {name: (value, str(path)) for name, value in values.items()}
    return {}


def write_value(name: str, value: Value | None) -> None:
    """Put a value into ``config.toml``, or take it out; the other lines stay as they are.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    path = config_path()
    _checked_file(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = _without(lines, name)
    if value is not None:
        _put_in(lines, name, _toml(value))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n" if lines else "")
        file.flush()
        os.fsync(file.fileno())
    _checked_file(Path(temporary), shown=path)
    Path(temporary).replace(path)


def spec_of(name: str) -> SettingSpec:
    """Return the schema of a setting.

    Raises:
        DeskhandError: ``config_invalid`` for an unknown name.
    """
    spec = REGISTRY.get(name)
    if spec is None:
        checked(name, None)
        raise AssertionError(name)
    return spec


def parsed(name: str, said: str) -> Value:
    """Return what a person typed as a value of the setting's type.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    default = spec_of(name).default
    value: bool | int | str | list[str] = said
    if isinstance(default, bool):
        value = {"true": True, "false": False}.get(said.lower(), said)
    elif isinstance(default, int):
        value = int(said) if re.fullmatch(r"-?\d{1,15}", said) else said
    elif isinstance(default, tuple):
        value = [part.strip() for part in said.split(",") if part.strip()]
    return checked(name, cast("str", value))


def environment_name(name: str) -> str:
    """Return the variable that overrides a setting."""
    return "DESKHAND_" + name.upper().replace(".", "_")


def _outside_project(name: str, *, flag: object | None) -> Setting:
    if flag is not None:
        return Setting(name=name, value=checked(name, cast("str", flag)), source="flag")
    said = os.environ.get(environment_name(name))
    if said is not None:
        return Setting(name=name, value=parsed(name, said), source=environment_name(name))
    values = config_values()
    if name in values:
        return Setting(name=name, value=values[name], source=str(config_path()))
    return Setting(name=name, value=REGISTRY[name].default, source="default")


_NARROWS: Final = frozenset({"do.mode", "runner.slots"})


def _narrower(name: str, first: Value, second: Value) -> Value:
    if name == "do.mode":
        return min(str(first), str(second), key=MODES.index)
    return min(cast("int", first), cast("int", second))


def _checked_file(path: Path, *, shown: Path | None = None) -> dict[str, Value]:
    named = shown or path
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DeskhandError(Code.CONFIG_INVALID, f"{named}: {type(error).__name__}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeskhandError(Code.CONFIG_INVALID, f"{named}: {error}") from None
    values: dict[str, Value] = {}
    for name, value in _flat(data, ""):
        try:
            values[name] = checked(name, cast("str", value))
        except DeskhandError as error:
            where = f"{named}:{_line_of(text, name)}: {error.detail}"
            raise DeskhandError(Code.CONFIG_INVALID, where, field=name) from None
    return values


def _flat(data: dict[str, object], prefix: str) -> list[tuple[str, object]]:
    """Return ``[("hub.port", 3375), ...]`` of nested tables."""
    found: list[tuple[str, object]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            found += _flat(cast("dict[str, object]", value), f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _line_of(text: str, name: str) -> int:
    """Return the line where a setting stands, whichever way it is spelled."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        heading = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if heading:
            table = heading[1] + "."
        elif table + line.split("=")[0].strip().strip("\"'") == name:
            return number
    return 1


def _put_in(lines: list[str], name: str, value: str) -> None:
    """Add a line to the setting's table, if the person has one; else before all tables, with its full name."""
    prefix, _, key = name.rpartition(".")
    first = len(lines)
    for number, line in enumerate(lines):
        heading = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if heading is None:
            continue
        if heading[1] == prefix:
            lines.insert(number + 1, f"{key} = {value}")
            return
        first = min(first, number)
    lines.insert(first, f"{name} = {value}")


def _without(lines: list[str], name: str) -> list[str]:
    kept: list[str] = []
    table = ""
    for line in lines:
        heading = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if heading:
            table = heading[1] + "."
        elif "=" in line and table + line.split("=")[0].strip() == name:
            continue
        kept.append(line)
    return kept


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    return "[" + ", ".join(map(_quoted, value)) + "]"


def _quoted(value: str) -> str:
    """Return a TOML basic string: what acts is spelled as an escape."""
    escaped = "".join(
        f"\\u{ord(letter):04x}" if ord(letter) < 32 or letter in '"\\\x7f' else letter  # noqa: PLR2004 - the first printable
        for letter in value
    )
    return f'"{escaped}"'

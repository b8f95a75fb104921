"""The registry of settings: name, type, default, who may change it, whether a change narrows.

One schema for config files, the page, the API and the docs test. It refuses unknown names and wrong types.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from deskhand.errors import Code, DeskhandError

if TYPE_CHECKING:
    # The command line reads settings too, and must begin without loading the protocol's models.
    from deskhand.protocol.wire import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """One setting; ``lowest`` and ``highest`` bound integers."""

    name: str
    default: bool | int | str | tuple[str, ...] = ()
    account: bool = True
    lowest: int = 0
    highest: int = 10**9
    choices: Sequence[str] = ()

    @property
    def help_id(self) -> str:
        """Return the id of its sentence in the text catalogue."""
        return f"setting.{self.name}"


_SAID: dict[str, dict[str, Any]] = tomllib.loads(
    files("deskhand.core").joinpath("settings.toml").read_text(encoding="utf-8")
)
REGISTRY = {name: SettingSpec(name=name, **said) for name, said in _SAID.items()}
"""Every setting. ``account=False``: lives in ``config.toml`` of one computer and never crosses the wire."""


def checked(name: str, value: Json) -> bool | int | str | tuple[str, ...]:
    """Return the value in its type.

    Raises:
        DeskhandError: ``config_invalid`` naming the setting and what it takes.
    """
    spec = REGISTRY.get(name)
    if spec is None:
        raise DeskhandError(Code.CONFIG_INVALID, f"{name}: unknown setting", field=name)
    default = spec.default
    if isinstance(default, bool):
        fine = isinstance(value, bool)
    elif isinstance(default, int):
        fine = type(value) is int and spec.lowest <= value <= spec.highest
    elif isinstance(default, str):
        fine = isinstance(value, str) and (not spec.choices or value in spec.choices)
    else:
        fine = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if not fine:
        raise DeskhandError(Code.CONFIG_INVALID, f"{name}: {_takes(spec)}", field=name)
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return cast("bool | int | str", value)


def effective(stored: Mapping[str, Json], name: str) -> bool | int | str | tuple[str, ...]:
    """Return the stored value of a setting, or its default."""
    return checked(name, stored[name]) if name in stored else REGISTRY[name].default


def _takes(spec: SettingSpec) -> str:
    if spec.choices:
        return "one of " + ", ".join(spec.choices)
    if isinstance(spec.default, bool):
        return "true or false"
    if isinstance(spec.default, int):
        return f"a whole number from {spec.lowest} to {spec.highest}"
    return "text" if isinstance(spec.default, str) else "a list of texts"

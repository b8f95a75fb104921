"""The registry of settings: name, type, default, who may change it, whether a change narrows.

One schema for config files, the page, the API and the docs test. It refuses unknown names and wrong types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from zoneinfo import available_timezones

from deskhand.errors import Code, DeskhandError
from deskhand.texts import table

if TYPE_CHECKING:
    # The command line reads settings too, and must begin without loading the protocol's models.
    from deskhand.protocol.wire import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """One setting; ``lowest`` and ``highest`` bound integers, a text is ``like`` another. The catalogue says it under ``setting.NAME``."""

    name: str
    default: bool | int | str | tuple[str, ...] = ()
    account: bool = True
    lowest: int = 0
    highest: int = 10**9
    choices: Sequence[str] = ()
    like: str = ""


REGISTRY = {name: SettingSpec(name=name, **said) for name, said in table("deskhand.core", "settings.toml").items()}
"""Every setting. ``account=False``: lives in ``config.toml`` of one computer and never crosses the wire."""


_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
_CONTACT = re.compile(
    r"(?:mailto:[^@\s]+@|https://)(?![^/:]*(?:\blocalhost|\.local|\.localdomain|\.internal|\.home\.arpa)(?:[/:]|$))"
    r"(?:[\w-]+\.)+[\w-]+(?:[/:]\S*)?",
    re.IGNORECASE,
)
"""What every vendor of pushes takes: no name that means something only here."""
_FITS: dict[str, Callable[[str], object]] = {
    "": lambda _: True,
    "22:00-07:00": _HOURS.fullmatch,
    "Asia/Seoul": lambda value: value in available_timezones(),
    "mailto:me@example.org": _CONTACT.fullmatch,
}
"""What a text has to be, by what it has to be like."""


def checked(name: str, value: Json) -> bool | int | str | tuple[str, ...]:
    """Return the value in its type.

    Raises:
        DeskhandError: ``config_invalid`` naming the setting and what it takes.
    """
    spec = REGISTRY.get(name)
    if spec is None:
        raise DeskhandError(Code.CONFIG_INVALID, f"{name}: unknown setting", field=name)
    match spec.default:
        case bool():
            fine, takes = isinstance(value, bool), "true or false"
        case int():
            fine = type(value) is int and spec.lowest <= value <= spec.highest
            takes = f"a whole number from {spec.lowest} to {spec.highest}"
        case str() if spec.choices:
            fine, takes = value in spec.choices, "one of " + ", ".join(spec.choices)
        case str():
            fine = isinstance(value, str) and (value == spec.default or _FITS[spec.like](value))
            takes = f"text like {spec.like}" if spec.like else "text"
        case _:
            fine = isinstance(value, list) and all(isinstance(item, str) for item in value)
            takes = "a list of texts"
    if not fine:
        raise DeskhandError(Code.CONFIG_INVALID, f"{name}: {takes}", field=name)
    return cast("bool | int | str", tuple(value) if isinstance(value, list) else value)


def widens(name: str, before: object, after: object) -> bool:
    """Return whether a change of a ceiling lets more happen than before; no other setting is one."""
    if name == "policy":
        return not set(cast("tuple[str, ...]", before)) <= set(cast("tuple[str, ...]", after))
    order: list[object] = [*(REGISTRY[name].choices or (False, True))]
    return name.startswith("ceiling.") and order.index(after) > order.index(before)


def effective(stored: Mapping[str, Json], name: str) -> bool | int | str | tuple[str, ...]:
    """Return the stored value of a setting, or its default."""
    return checked(name, stored[name]) if name in stored else REGISTRY[name].default

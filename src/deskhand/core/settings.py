"""The registry of settings: name, type, default, who may change it, whether a change narrows.

One schema for config files, the page, the API and the docs test. It refuses unknown names and wrong types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from deskhand.errors import Code, DeskhandError
from deskhand.limits import LEASE_SECONDS, TASKS_PER_THREAD

if TYPE_CHECKING:
    # The command line reads settings too, and must begin without loading the protocol's models.
    from deskhand.protocol.wire import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """One setting; ``lowest`` and ``highest`` bound integers."""

    name: str
    default: bool | int | str | tuple[str, ...]
    account: bool = True
    lowest: int = 0
    highest: int = 10**9
    choices: tuple[str, ...] = ()

    @property
    def help_id(self) -> str:
        """Return the id of its sentence in the text catalogue."""
        return f"setting.{self.name}"


REGISTRY: dict[str, SettingSpec] = {
    spec.name: spec
    for spec in (
        SettingSpec(name="language", default="en", choices=("en", "ko")),
        SettingSpec(name="lease_seconds", default=LEASE_SECONDS, lowest=2, highest=3600),
        SettingSpec(name="grace_seconds", default=0, highest=30 * 24 * 3600),
        SettingSpec(name="tasks_per_thread", default=TASKS_PER_THREAD, lowest=1, highest=20),
        SettingSpec(name="budget.steps", default=200, highest=1_000_000),
        SettingSpec(name="budget.tokens", default=5_000_000),
        SettingSpec(name="budget.money", default=10, highest=1_000_000),
        SettingSpec(name="budget.minutes", default=240, highest=1_000_000),
        SettingSpec(name="notify.allow_private_endpoints", default=False),
        SettingSpec(name="notify.subject", default="https://deskhand.invalid/"),
        SettingSpec(
            name="do.mode",
            default="workspace",
            account=False,
            choices=("read-only", "ask", "workspace", "trusted"),
        ),
        SettingSpec(name="hub.hosts", default=(), account=False),
        SettingSpec(name="hub.port", default=3375, account=False, highest=65535),
        SettingSpec(name="hub.bind", default="127.0.0.1", account=False),
        SettingSpec(name="hub.reach", default="", account=False),
        SettingSpec(name="runner.name", default="", account=False),
        SettingSpec(name="runner.slots", default=20, account=False, lowest=1, highest=200),
        SettingSpec(name="runner.documents", default="", account=False),
        SettingSpec(name="internet.hosts", default=(), account=False),
        SettingSpec(name="model.name", default="", account=False),
        SettingSpec(name="model.base_url", default="", account=False),
        SettingSpec(name="model.api_key_env", default="DESKHAND_MODEL_API_KEY", account=False),
        SettingSpec(name="model.context_tokens", default=0, account=False, highest=10_000_000),
    )
}
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

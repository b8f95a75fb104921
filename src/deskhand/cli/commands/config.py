"""``config list|get|set|unset``: every setting with its value and where it comes from.

What belongs to the account goes to the hub as a wish; what belongs to this computer goes into ``config.toml``.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, cast

from deskhand.cli.flags import argument
from deskhand.cli.home import client
from deskhand.cli.screen import Obj, speak
from deskhand.cli.values import Setting, Value, parsed, setting, spec_of, write_value
from deskhand.core.settings import REGISTRY
from deskhand.errors import DeskhandError
from deskhand.texts import text

Name = Annotated[str, argument("NAME", "config.name")]


def list_settings() -> int:
    """List all settings."""
    found = list(_of_account().values())
    found += [setting(one.name) for one in REGISTRY.values() if not one.account]
    code = speak.listed([asdict(one) for one in found], _row)
    for one in found:
        meaning = text(f"setting.{one.id}", language=speak.language)
        speak.detail(f"{one.id}: {meaning}")
    return code


def get_setting(name: Name) -> int:
    """Print one value."""
    found = _of_account()[name] if spec_of(name).account else setting(name)
    speak.detail(found.source)
    return speak.answer(asdict(found), _shown(found.value))


def set_setting(name: Name, value: Annotated[str, argument("VALUE", "config.value")]) -> int:
    """Change a setting."""
    found = parsed(name, value)
    if spec_of(name).account:
        return _put(name, found)
    write_value(name, found)
    return _changed(replace(setting(name), value=found))


def unset_setting(name: Name) -> int:
    """Go back to the default."""
    spec = spec_of(name)
    if spec.account:
        return _put(name, spec.default)
    write_value(name, None)
    return _changed(setting(name))


def _put(name: str, value: Value) -> int:
    client().op("settings.put", {"name": name, "value": value})
    return _changed(Setting(id=name, value=value, source="account"))


def _changed(found: Setting) -> int:
    shown = {"name": found.id, "value": _shown(found.value), "source": found.source}
    return speak.done(asdict(found), "config.changed", **shown)


def _of_account() -> dict[str, Setting]:
    """Return the account's settings; the defaults, and that they are only that, while the hub is away."""
    try:
        rows: list[Obj] = client().get("/v1/settings")["items"]
    except DeskhandError as error:
        speak.note(speak.say("config.hub_away", why=str(error)), "ask")
        own = [spec for spec in REGISTRY.values() if spec.account]
        return {one.name: Setting(id=one.name, value=one.default, source="default?") for one in own}
    sources = ("default", "account")
    found = [(row["id"], row["value"], sources["changed_at" in row]) for row in rows]
    return {name: Setting(id=name, value=value, source=source) for name, value, source in found}


def _row(one: Obj) -> tuple[object, ...]:
    return one["id"], _shown(one["value"]), one["source"]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, cast("list[object]", value)))
    return str(value)

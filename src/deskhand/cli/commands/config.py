"""``config list|get|set|unset``: every setting with its value and where it comes from.

What belongs to the account goes to the hub as a wish; what belongs to this computer goes into ``config.toml``.
"""

from __future__ import annotations

from typing import Annotated, cast

import typer

from deskhand.cli.flags import add_group, argument
from deskhand.cli.home import client
from deskhand.cli.screen import Obj, speak
from deskhand.cli.values import Value, as_json, parsed, setting, spec_of, write_value
from deskhand.core.settings import REGISTRY
from deskhand.errors import DeskhandError
from deskhand.texts import text

Name = Annotated[str, argument("NAME", "config.name")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    found = {"list": list_settings, "get": get_setting, "set": set_setting, "unset": unset_setting}
    add_group(app, "config", found)


def list_settings() -> int:
    """List all settings."""
    rows = _account_rows() + [_local_row(one.name) for one in REGISTRY.values() if not one.account]
    code = speak.listed(rows, lambda row: (row["id"], _shown(row["value"]), row["source"]))
    for row in [] if speak.json else rows:
        meaning = text(f"setting.{row['id']}", language=speak.language)
        speak.detail(f"{row['id']}: {meaning}")
    return code


def get_setting(name: Name) -> int:
    """Print one value."""
    account = spec_of(name).account
    row = next(row for row in _account_rows() if row["id"] == name) if account else _local_row(name)
    if not speak.json:
        speak.detail(row["source"])
    return speak.answer(row, _shown(row["value"]))


def set_setting(name: Name, value: Annotated[str, argument("VALUE", "config.value")]) -> int:
    """Change a setting."""
    found = parsed(name, value)
    if spec_of(name).account:
        return _put(name, found)
    write_value(name, found)
    return _changed(_row(name, found, _local_row(name)["source"]))


def unset_setting(name: Name) -> int:
    """Go back to the default."""
    spec = spec_of(name)
    if spec.account:
        return _put(name, spec.default)
    write_value(name, None)
    return _changed(_local_row(name))


def _put(name: str, value: Value) -> int:
    row = _row(name, value, "account")
    client().op("settings.put", {"name": name, "value": row["value"]})
    return _changed(row)


def _changed(row: Obj) -> int:
    shown = {"name": row["id"], "value": _shown(row["value"]), "source": row["source"]}
    return speak.done(row, "config.changed", **shown)


def _account_rows() -> list[Obj]:
    """Return the account's settings; the defaults, and that they are only that, while the hub is away."""
    try:
        found = cast("list[Obj]", client().get("/v1/settings")["items"])
    except DeskhandError as error:
        speak.note(speak.say("config.hub_away", why=str(error)), "ask")
        own = [spec for spec in REGISTRY.values() if spec.account]
        return [_row(spec.name, spec.default, "default?") for spec in own]
    sources = ("default", "account")
    return [_row(row["id"], row["value"], sources["changed_at" in row]) for row in found]


def _local_row(name: str) -> Obj:
    found = setting(name)
    return _row(name, found.value, found.source)


def _row(name: str, value: Value, source: str) -> Obj:
    return {"id": name, "value": as_json(value), "source": source}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value)))
    return str(value)

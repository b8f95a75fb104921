"""``config list|get|set|unset``: every setting with its value and where it comes from.

What belongs to the account goes to the hub as a wish; what belongs to this computer goes into ``config.toml``.
"""

from __future__ import annotations

from typing import Annotated, cast

import typer

from deskhand.cli.flags import command, group, t
from deskhand.cli.follow import EXIT_DONE
from deskhand.cli.home import client
from deskhand.cli.screen import HubRefusal, Obj, screen
from deskhand.cli.values import parsed, setting, spec_of, write_value
from deskhand.core.settings import REGISTRY
from deskhand.errors import DeskhandError
from deskhand.texts import text

Name = Annotated[str, typer.Argument(metavar="NAME", help=t("config.name"))]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    config = group("config", panel="setup")
    command(config, "config list")(list_settings)
    command(config, "config get")(get_setting)
    command(config, "config set")(set_setting)
    command(config, "config unset")(unset_setting)
    app.add_typer(config)


def list_settings() -> int:
    """List all settings."""
    speak = screen()
    rows = _account_rows() + [
        _local_row(name) for name, spec in REGISTRY.items() if not spec.account
    ]
    if speak.json:
        speak.result({"items": rows})
        return EXIT_DONE
    shown = [(row["id"], _shown(row["value"]), row["source"]) for row in rows]
    speak.table(shown)
    for row in rows:
        meaning = text(f"setting.{row['id']}", language=speak.language)
        speak.detail(f"{row['id']}: {meaning}")
    return EXIT_DONE


def get_setting(name: Name) -> int:
    """Print one value."""
    speak = screen()
    if spec_of(name).account:
        row = next(row for row in _account_rows() if row["id"] == name)
    else:
        row = _local_row(name)
    if speak.json:
        speak.result(row)
    else:
        speak.out(_shown(row["value"]))
        speak.detail(row["source"])
    return EXIT_DONE


def set_setting(
    name: Name, value: Annotated[str, typer.Argument(metavar="VALUE", help=t("config.value"))]
) -> int:
    """Change a setting."""
    found = parsed(name, value)
    said = list(found) if isinstance(found, tuple) else found
    if spec_of(name).account:
        client().op("settings.put", {"name": name, "value": said})
        source = "account"
    else:
        write_value(name, found)
        source = str(_local_row(name)["source"])
    return _changed({"id": name, "value": said, "source": source})


def unset_setting(name: Name) -> int:
    """Go back to the default."""
    spec = spec_of(name)
    default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
    if spec.account:
        client().op("settings.put", {"name": name, "value": default})
        return _changed({"id": name, "value": default, "source": "account"})
    write_value(name, None)
    return _changed(_local_row(name))


def _changed(row: Obj) -> int:
    speak = screen()
    if speak.json:
        speak.result(row)
    else:
        said = speak.say(
            "config.changed", name=row["id"], value=_shown(row["value"]), source=row["source"]
        )
        speak.note(said, "good")
    return EXIT_DONE


def _local_row(name: str) -> Obj:
    found = setting(name)
    value = list(found.value) if isinstance(found.value, tuple) else found.value
    return {"id": name, "value": value, "source": found.source}


def _account_rows() -> list[Obj]:
    """Return the account's settings; the defaults, and that they are only that, while the hub is away."""
    try:
        found = client().get("/v1/settings")["items"]
    except (DeskhandError, HubRefusal) as error:
        speak = screen()
        speak.note(speak.say("config.hub_away", why=str(error)), "ask")
        return [
            {
                "id": name,
                "value": list(spec.default) if isinstance(spec.default, tuple) else spec.default,
                "source": "default?",
            }
            for name, spec in REGISTRY.items()
            if spec.account
        ]
    return [
        {
            "id": row["id"],
            "value": row["value"],
            "source": "account" if "changed_at" in row else "default",
        }
        for row in cast("list[Obj]", found)
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value)))
    return str(value)

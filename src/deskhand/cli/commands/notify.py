"""Notifications: ``notify list`` is the ledger with every fate, ``notify test`` sends one."""

from __future__ import annotations

from time import monotonic, sleep  # noqa: TID251 - a plain program; the ledger is a table without events
from typing import Annotated

import typer

from deskhand.cli.flags import command, group, t
from deskhand.cli.follow import EXIT_DONE, EXIT_FAILED
from deskhand.cli.home import client
from deskhand.cli.screen import Obj, screen

_SECONDS = 10.0
_OPEN = frozenset({"planned", "sent"})


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    notify = group("notify", panel="setup")
    command(notify, "notify list")(list_deliveries)
    command(notify, "notify test")(try_out)
    app.add_typer(notify)


def list_deliveries(
    *, limit: Annotated[int, typer.Option(min=1, max=10_000, help=t("ls.limit"))] = 50
) -> int:
    """Print the ledger."""
    found = client().items("/v1/deliveries", most=limit)
    if screen().json:
        screen().result({"items": found})
    else:
        _rows(found)
    return EXIT_DONE


def try_out() -> int:
    """Send a test notification and wait for its fate."""
    hub, speak = client(), screen()
    names = set(hub.call("POST", "/v1/push/test")["deliveries"])
    ends = monotonic() + _SECONDS
    found: list[Obj] = []
    while monotonic() < ends:
        found = [one for one in hub.items("/v1/deliveries", most=100) if one["id"] in names]
        if found and not any(one["fate"] in _OPEN for one in found):
            break
        sleep(0.2)
    if speak.json:
        speak.result({"items": found})
    else:
        _rows(found)
    lost = all(one["fate"] in _OPEN | {"failed"} for one in found)
    return EXIT_FAILED if lost else EXIT_DONE


def _rows(found: list[Obj]) -> None:
    speak = screen()
    speak.table(
        [
            (
                str(one["at"])[:19].replace("T", " "),
                one["class"],
                one["road"],
                speak.say(f"fate.{one['fate']}"),
                one.get("reason") or "",
                one.get("task") or "",
                one.get("device") or "",
            )
            for one in found
        ]
    )
    if not found:
        speak.note(speak.say("notify.none"))

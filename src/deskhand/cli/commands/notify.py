"""Notifications: ``notify list`` is the ledger with every fate, ``notify test`` sends one."""

from __future__ import annotations

from time import monotonic, sleep  # noqa: TID251 - a plain program; the ledger is a table without events
from typing import Annotated

import typer

from deskhand.cli.flags import add_group, t
from deskhand.cli.home import client
from deskhand.cli.screen import Exit, Obj, speak

_SECONDS = 10.0
_OPEN = frozenset({"planned", "sent"})


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    add_group(app, "notify", {"list": list_deliveries, "test": try_out})


def list_deliveries(
    *, limit: Annotated[int, typer.Option(min=1, max=10_000, help=t("ls.limit"))] = 50
) -> int:
    """Print the ledger."""
    return _listed(client().items("/v1/deliveries", most=limit))


def try_out() -> int:
    """Send a test notification and wait for its fate."""
    hub = client()
    names = set(hub.call("POST", "/v1/push/test")["deliveries"])
    ends = monotonic() + _SECONDS
    found: list[Obj] = []
    while monotonic() < ends:
        found = [one for one in hub.items("/v1/deliveries", most=100) if one["id"] in names]
        if found and not any(one["fate"] in _OPEN for one in found):
            break
        sleep(0.2)
    _listed(found)
    lost = all(one["fate"] in _OPEN | {"failed"} for one in found)
    return Exit.FAILED if lost else Exit.DONE


def _listed(found: list[Obj]) -> int:

    def row(one: Obj) -> list[object]:
        said = [one.get(name) or "" for name in ("reason", "task", "device")]
        at, fate = str(one["at"])[:19].replace("T", " "), speak.say(f"fate.{one['fate']}")
        return [at, one["class"], one["road"], fate, *said]

    return speak.listed(found, row, none="notify.none")

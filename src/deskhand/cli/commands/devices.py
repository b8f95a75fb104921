"""Devices: ``pair`` invites one, ``devices list|revoke|admit`` look after them.

Link and digits are shown once, here. Whoever asks with them is let in by the person at this keyboard, who compares a
number on both screens; ``--yes`` lets a link (never mere digits) in by itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, cast

import typer

from deskhand.cli.client import Client
from deskhand.cli.flags import add_commands, add_group, argument, option
from deskhand.cli.follow import events_of
from deskhand.cli.home import client
from deskhand.cli.inviting import admitted_by, join_link, show_invitation
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.errors import DeskhandError
from deskhand.limits import INVITE_SECONDS

_KINDS = ("page", "cli", "runner", "client")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    add_commands(app, "start", pair)
    add_group(app, "devices", {"list": list_devices, "admit": admit, "revoke": revoke})


def pair(
    *,
    kind: Annotated[str, option("pair.kind")] = "page",
    yes: Annotated[bool, option("pair.yes", "--yes")] = False,
    no_wait: Annotated[bool, option("pair.no_wait", "--no-wait")] = False,
    url: Annotated[str | None, option("pair.url")] = None,
) -> int:
    """Invite a device."""
    if kind not in _KINDS:
        raise typer.BadParameter(f"--kind: {' | '.join(_KINDS)}")
    hub = client()
    cursor = int(hub.get("/v1/snapshot")["cursor"])
    role = kind if kind in {"runner", "client"} else "owner"
    wish = {"kind": kind, "role": role, "admits_alone": yes}
    made = hub.call("POST", "/v1/pair/invites", wish)
    link = join_link(url or hub.url, str(made["invite"]))
    speak.answer({**made, "url": link})
    show_invitation(link=link, code=str(made["code"]), kind=kind)
    return Exit.DONE if no_wait or (speak.json and yes) else _wait(hub, made, cursor)


def list_devices() -> int:
    """List the devices and who asks to join."""
    hub = client()
    found, asking = hub.items("/v1/devices"), hub.items("/v1/pair/requests")
    if speak.json:
        return speak.answer({"items": found, "requests": asking})
    for one in found:
        one["state"] = speak.say(f"device.{one['state']}")
    speak.table([[one[at] for at in ("id", "kind", "role", "state", "name")] for one in found])
    for one in asking:
        _say_who_asks(one)
    return Exit.DONE


def admit(
    request: Annotated[str, argument("REQUEST", "devices.request")],
    *,
    refuse: Annotated[bool, option("devices.refuse", "--refuse")] = False,
) -> int:
    """Let a device in."""
    result = client().op("device.admit", {"request": request, "admit": not refuse})
    return speak.done(result, "devices.refused" if refuse else "devices.admitted")


def revoke(device: Annotated[str, argument("DEVICE", "devices.device")]) -> int:
    """Take every right from a device."""
    result = client().op("device.revoke", {"device": device})
    return speak.done(result, "devices.revoked")


def _decide(hub: Client, request: Obj) -> bool:
    """Ask the person and tell the hub."""
    yes = admitted_by(request["name"], request["match"])
    hub.op("device.admit", {"request": request["id"], "admit": yes})
    key, style = ("devices.admitted", "good") if yes else ("devices.refused", "bad")
    speak.note(speak.say(key), style)
    return yes


def _say_who_asks(request: Obj) -> None:
    shown = {"name": request["name"], "match": " ".join(request["match"]), "id": request["id"]}
    speak.note(speak.say("devices.asks", **shown), "ask")


def _wait(hub: Client, made: Obj, cursor: int) -> int:
    """Wait for whoever redeems the invitation, then for the decision; close it when we leave."""
    speak.note(speak.say("pair.waiting"), "dim")
    asking: str | None = None
    try:
        for event in events_of(hub, cursor, seconds=INVITE_SECONDS):
            body = cast("Obj", event["body"])
            if event["kind"] == "pair.requested" and body["request"]["kind"] == made["kind"]:
                asking = str(body["request"]["id"])
                if speak.asks and not _admitted(hub, asking):
                    return Exit.DONE if _decide(hub, body["request"]) else Exit.ERROR
                _say_who_asks(body["request"])
            elif event["kind"] == "pair.decided" and body["request"] == asking:
                admitted = body["state"] == "admitted"
                speak.note(speak.say("devices.admitted" if admitted else "devices.refused"))
                return Exit.DONE if admitted else Exit.ERROR
        return Exit.WAITS if asking else Exit.TIMEOUT
    finally:
        # It lives only while this terminal shows it; whoever is away ends it in time.
        with suppress(DeskhandError):
            hub.call("DELETE", f"/v1/pair/invites/{made['id']}")


def _admitted(hub: Client, request: str) -> bool:
    """Whether nobody needs to be asked any more."""
    return all(one["id"] != request for one in hub.items("/v1/pair/requests"))

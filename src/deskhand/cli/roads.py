"""The roads from a phone to this computer: none, this network, Tailscale, an address of one's own.

Tailscale's own program is asked how things stand and told to lead its name here; when that ends, only what was set here
is taken back. It refuses to call a road good under which another hub answers, to touch what somebody else lets Tailscale
serve, and to wait for a program that waits for a person.

What ``doctor pairing`` tries are the stations of a phone on such a road, in the words of the two screens. It refuses to
call a road good that it did not go itself, and to show anything that opens the door.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from deskhand.cli.client import Client, client
from deskhand.cli.screen import Obj, moment, one_line, speak
from deskhand.errors import Code, DeskhandError

_ANYWHERE = "0.0.0.0"  # noqa: S104 - only after the owner said "lan" in so many words
_SOMEWHERE = ("198.51.100.1", 9)
"""A documentation address: asking for the way there sends nothing and tells which of our addresses would be used."""
_PORT: Final = "443"
_TAILSCALE_SECONDS_MAX: Final = 10.0
_SECONDS_APART: Final = 60
_UNDER_WAY: Final = frozenset({"waiting", "asked"})
"""Here it is what is there that wants somebody, and not what is missing."""
Found = tuple[str, str]
"""Good, ask or bad; and a sentence with the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One road. ``url`` is what a phone opens, nothing where there is none; ``bind`` where only that road listens."""

    url: str = ""
    bind: str | None = None
    tailscale: bool = False
    """Whether Tailscale has to be told to lead it here."""


def reach_of(said: str) -> Reach:
    """Return the road that a word or an address means.

    Raises:
        DeskhandError: ``invalid`` for neither; ``unavailable`` without a network; ``tailscale_missing``,
            ``tailscale_away``, ``tailscale_no_https``.
    """
    if said in {"", "none"}:
        return Reach()
    if said == "lan":
        return Reach(url=f"http://{_lan_address()}", bind=_ANYWHERE)
    if said == "tailscale":
        return Reach(url=f"https://{_tailscale_name()}", tailscale=True)
    parts = urlsplit(said)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise DeskhandError(Code.INVALID, f"{said}: none | lan | tailscale | https://…", field="--reach")
    return Reach(url=said.rstrip("/"))


def seen_to_answer(url: str, mark: str) -> str:
    """Return in how many milliseconds the hub of this mark answered under an address, in words.

    Raises:
        DeskhandError: ``hub_unreachable``; ``hub_changed`` when another one answers.
    """
    began = monotonic()
    if Client(url=url).mark() != mark:
        raise DeskhandError(Code.HUB_CHANGED, url)
    return speak.say("up.answered", url=url, ms=round((monotonic() - began) * 1000))


@asynccontextmanager
async def served(reach: Reach, hub: str) -> AsyncGenerator[None]:
    """Have Tailscale lead its road to the hub's own address until the block ends, unless it does so already.

    Raises:
        DeskhandError: ``tailscale_taken``, ``tailscale_refused``.
    """
    ours = reach.tailscale and await asyncio.to_thread(_serve, reach.url, hub)
    try:
        yield
    finally:
        if ours:
            await asyncio.to_thread(_tailscale, "serve", f"--https={_PORT}", "off")


def _lan_address() -> str:
    """Return this computer's address in its own network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, suppress(OSError):
        asked.connect(_SOMEWHERE)
        address = ipaddress.ip_address(asked.getsockname()[0])
        if not (address.is_loopback or address.is_unspecified):
            return str(address)
    raise DeskhandError(Code.UNAVAILABLE, "no network")


def _tailscale_name() -> str:
    """Return the name for which Tailscale has a certificate."""
    state: Obj = json.loads(_tailscale("status", "--json", "--peers=false"))
    if state["BackendState"] != "Running":
        raise DeskhandError(Code.TAILSCALE_AWAY, state["BackendState"])
    name = str(state["Self"]["DNSName"]).rstrip(".")
    if name not in (state.get("CertDomains") or ()):
        raise DeskhandError(Code.TAILSCALE_NO_HTTPS, name)
    return name


def _serve(url: str, hub: str) -> bool:
    """Lead Tailscale's name to the hub; return whether that had to be set."""
    name = url.removeprefix("https://")
    kept: Obj = json.loads(_tailscale("serve", "status", "--json")) or {}
    if _PORT not in kept.get("TCP", {}):
        _tailscale("serve", "--bg", f"--https={_PORT}", hub, fails=Code.TAILSCALE_REFUSED)
        return True
    if kept.get("Web", {}).get(f"{name}:{_PORT}") != {"Handlers": {"/": {"Proxy": hub}}}:
        raise DeskhandError(Code.TAILSCALE_TAKEN, name)
    return False


def _tailscale(*words: str, fails: Code = Code.TAILSCALE_AWAY) -> bytes:
    """Return what Tailscale's program said; one that waits for an administrator is not waited for."""
    program = shutil.which("tailscale")
    if program is None:
        raise DeskhandError(Code.TAILSCALE_MISSING)
    line, env, seconds = (program, *words), {"PATH": os.defpath}, _TAILSCALE_SECONDS_MAX
    try:
        return subprocess.run(line, capture_output=True, check=True, input=b"", env=env, timeout=seconds).stdout  # noqa: S603 - a fixed program
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"") + b" " + (error.stdout or b"")
        raise DeskhandError(fails, one_line(" ".join(said.decode().split()))) from None


def each(tries: Mapping[str, Callable[[], Found]]) -> Generator[tuple[str, str, str]]:
    """Yield what came of each thing that was tried, under its name."""
    for name, one in tries.items():
        try:
            yield name, *one()
        except DeskhandError as error:
            yield name, "bad", f"{error.sentence(speak.language)} {error.cure(speak.language)}"


def hub_answers() -> Found:
    """Say which hub answers."""
    hub = client()
    return "good", f"{hub.url} · Deskhand {hub.get('/v1/version')['version']}"


def clock_agrees() -> Found:
    """Compare this computer's clock with the hub's: an invitation lives by it."""
    apart = abs(client().ahead())
    wrong = apart > _SECONDS_APART
    return ("ask", f"{apart:.0f} s · {speak.say('doctor.clock.cure')}") if wrong else ("good", speak.say("doctor.fine"))


def stations() -> Generator[tuple[str, str, str]]:
    """Yield how each stands; without a hub there is but the first."""
    (first,) = each({"hub": hub_answers})
    yield first
    if first[1] == "bad":
        return
    hub = client()
    kept = hub.get("/v1/pair/invites")
    road = str(kept["road"] or "")
    plain = road.startswith("http:")
    page = partial(_page, road or hub.url, plain=plain)
    yield from each({"road": partial(_led, hub, road), "clock": clock_agrees, "page": page})
    asking, devices = hub.items("/v1/pair/requests"), hub.items("/v1/devices")
    pages = [one for one in devices if (one["kind"], one["state"]) == ("page", "active")]
    recovery = [one for one in kept["items"] if one["recovery"]]
    waiting = [one for one in kept["items"] if not one["recovery"]]
    browser = [] if plain else [speak.say("doctor.push.browser")]
    there = {
        "waiting": [speak.say("doctor.invited", **one, at=moment(one["expires_at"])) for one in waiting],
        "asked": [speak.say("devices.asks", **one | {"match": " ".join(one["match"])}) for one in asking],
        "added": [f"{one_line(one['name'])} ({moment(one['created_at'])})" for one in pages],
        "recovery": [speak.say("doctor.recovery.there") for _ in recovery],
        "push": [*browser, *hub.get("/v1/push/key")["roads"]],
    }
    for name, said in there.items():
        none = speak.plain_road() if name == "push" else speak.say(f"doctor.{name}.none")
        yield name, "ask" if bool(said) is (name in _UNDER_WAY) else "good", " · ".join(said) or none


def _led(hub: Client, road: str) -> Found:
    return ("good", seen_to_answer(road, hub.mark())) if road else ("ask", speak.say("pair.here"))


def _page(url: str, *, plain: bool) -> Found:
    Client(url=url).send("GET", "/worker.js")
    return ("ask", speak.say("doctor.page.plain")) if plain else ("good", speak.say("doctor.page.whole"))

"""What ``doctor pairing`` tries: the stations of a phone on its way in, in the words of the two screens.

It refuses to call a road good that it did not go itself, and to show anything that opens the door.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Final

from deskhand.cli.client import Client, client
from deskhand.cli.roads import seen_to_answer
from deskhand.cli.screen import moment, one_line, speak
from deskhand.errors import DeskhandError

_SECONDS_APART: Final = 60
_UNDER_WAY: Final = frozenset({"waiting", "asked"})
"""Here it is what is there that wants somebody, and not what is missing."""
Found = tuple[str, str]
"""Good, ask or bad; and a sentence with the cure."""


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
    yield from each({"road": partial(_road, hub, road), "clock": clock_agrees, "page": page})
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


def _road(hub: Client, road: str) -> Found:
    return ("good", seen_to_answer(road, hub.mark())) if road else ("ask", speak.say("pair.here"))


def _page(url: str, *, plain: bool) -> Found:
    Client(url=url).send("GET", "/worker.js")
    return ("ask", speak.say("doctor.page.plain")) if plain else ("good", speak.say("doctor.page.whole"))

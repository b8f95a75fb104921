"""What ``doctor pairing`` tries: the stations of a phone on its way in, in the words of the two screens.

It refuses to call a road good that it did not go itself, and to show anything that opens the door.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Final

from deskhand.cli.client import Client, client
from deskhand.cli.programs.roads import seen_to_answer
from deskhand.cli.screen import moment, one_line, speak
from deskhand.errors import DeskhandError

SECONDS_APART: Final = 60
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


def stations() -> Generator[tuple[str, str, str]]:
    """Yield how each stands; without a hub there is but the first."""
    (first,) = each({"hub": hub_answers})
    yield first
    if first[1] == "bad":
        return
    hub = client()
    kept = hub.get("/v1/pair/invites")
    road = str(kept["road"] or "")
    tries = {"road": partial(_road, hub, road), "clock": partial(_clock, hub), "page": partial(_page, road, hub.url)}
    yield from each(tries)
    asking, devices = hub.items("/v1/pair/requests"), hub.items("/v1/devices")
    pages = [one for one in devices if (one["kind"], one["state"]) == ("page", "active")]
    recovery = [one for one in kept["items"] if one["recovery"]]
    waiting = [one for one in kept["items"] if not one["recovery"]]
    browser = [] if _is_plain(road) else [speak.say("doctor.push.browser")]
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


def _clock(hub: Client) -> Found:
    apart = abs(hub.ahead())
    wrong = apart > SECONDS_APART
    return ("bad", f"{apart:.0f} s · {speak.say('doctor.clock.cure')}") if wrong else ("good", speak.say("doctor.fine"))


def _page(road: str, here: str) -> Found:
    Client(url=road or here).send("GET", "/worker.js")
    return ("ask", speak.say("doctor.page.plain")) if _is_plain(road) else ("good", speak.say("doctor.page.whole"))


def _is_plain(road: str) -> bool:
    return road.startswith("http:")

"""What ``doctor pairing`` tries: the stations of a phone on its way in, in the words of the two screens.

It refuses to call a road good that it did not go itself, and to show anything that opens the door.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Final

from deskhand.cli.client import Client, client
from deskhand.cli.programs.roads import seen_to_answer
from deskhand.cli.screen import Obj, moment, one_line, speak
from deskhand.errors import DeskhandError

SECONDS_APART: Final = 60
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
    if first[1] != "bad":
        hub = client()
        kept = hub.get("/v1/pair/invites")
        places = {"road": _road, "clock": _clock, "waiting": _waiting, "asked": _asked, "added": _added}
        places |= {"recovery": _recovery, "page": _page, "push": _push}
        yield from each({name: partial(one, hub, kept) for name, one in places.items()})


def _road(hub: Client, kept: Obj) -> Found:
    if kept["road"] is None:
        return "ask", speak.say("pair.here")
    return "good", seen_to_answer(kept["road"], hub.mark())


def _clock(hub: Client, _: Obj) -> Found:
    apart = abs(hub.ahead())
    wrong = apart > SECONDS_APART
    return ("bad", f"{apart:.0f} s · {speak.say('doctor.clock.cure')}") if wrong else ("good", speak.say("doctor.fine"))


def _waiting(_: Client, kept: Obj) -> Found:
    now = [speak.say("doctor.invited", **one, at=moment(one["expires_at"])) for one in _open(kept, recovery=False)]
    return "good", " · ".join(now) or speak.say("doctor.waiting.none")


def _asked(hub: Client, _: Obj) -> Found:
    asking = hub.items("/v1/pair/requests")
    now = [speak.say("devices.asks", **one | {"match": " ".join(one["match"])}) for one in asking]
    return ("ask", " · ".join(now)) if now else ("good", speak.say("doctor.asked.none"))


def _added(hub: Client, _: Obj) -> Found:
    pages = [one for one in hub.items("/v1/devices") if one["kind"] == "page" and one["state"] == "active"]
    now = ", ".join(f"{one_line(one['name'])} ({moment(one['created_at'])})" for one in pages)
    return ("good", now) if now else ("ask", speak.say("doctor.added.none"))


def _recovery(_: Client, kept: Obj) -> Found:
    there = _open(kept, recovery=True)
    return ("good", speak.say("doctor.recovery.there")) if there else ("ask", speak.say("doctor.recovery.none"))


def _page(hub: Client, kept: Obj) -> Found:
    url = str(kept["road"] or hub.url)
    Client(url=url).send("GET", "/worker.js")
    plain = url == kept["road"] and not url.startswith("https:")
    return ("ask", speak.say("doctor.page.plain")) if plain else ("good", speak.say("doctor.page.whole"))


def _push(hub: Client, kept: Obj) -> Found:
    roads = [*hub.get("/v1/push/key")["roads"]]
    if str(kept["road"] or "https:").startswith("https:"):
        roads = [speak.say("doctor.push.browser"), *roads]
    return ("good", ", ".join(roads)) if roads else ("ask", speak.plain_road())


def _open(kept: Obj, *, recovery: bool) -> list[Obj]:
    return [one for one in kept["items"] if one["recovery"] is recovery]

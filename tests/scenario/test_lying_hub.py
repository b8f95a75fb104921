"""Worlds whose hub turned against its owner: it writes what it likes, and computers do what people tapped."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from deskhand.protocol import signing
from deskhand.protocol.events import DeviceCertified, Event, body_of
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import Trust
from deskhand.testing.world.patching import patched
from deskhand.testing.world.world import Outcome, simulate

SIZE = 0.25
WORLDS = int(os.environ.get("N_LIARS", "8"))
"""As many as show every lie several times; the night plays more."""
SEEDS = 20
SEEN = (15, 9)
"""Where the bugs were found last time; only a shortcut."""
LIES = {
    "approval.decided": "decisions with no signature, its own, or one from elsewhere",
    "device.certified": "a certificate for a key of its own",
    "device.added": "a device under another key",
    "folder.put": "wider folders, and one that nobody granted",
    "setting.changed": "how far it is to be believed",
}


@pytest.mark.timeout(900)
def test_a_lying_hub_has_no_effect_above_what_it_is_believed() -> None:
    """R18, AP-13, SE-07, PA-03, PA-05: over seeds, nothing happens that no person tapped; what they tapped happens."""
    outcomes = [play(seed) for seed in range(WORLDS)]

    counts = sum((outcome.counts for outcome in outcomes), Counter[str]())
    story = [line for outcome in outcomes for line in outcome.story]
    signed = [line for line in story if " effect " in line and line.endswith((" in etc", " in dev"))]
    assert [outcome.violations for outcome in outcomes if outcome.violations] == []
    assert [kind for kind in LIES if counts[kind] < WORLDS / 3] == []
    assert len(signed) > WORLDS / 3


def takes_any_signature() -> AbstractContextManager[None]:
    """The runner looks only whether there is a key in its file, not what was signed."""

    def anything(*_: object) -> bool:
        return True

    return patched(signing, holds=anything)


def takes_any_key() -> AbstractContextManager[None]:
    """The runner looks whether it was signed, not by whom."""

    def anybody(_: Trust, said: signing.Signed, prefix: signing.Prefix, told: JsonObject) -> str:
        return signing.fingerprint_of(said.key or "") if signing.holds(said, prefix, told) else ""

    return patched(Trust, _signer=anybody)


def takes_what_was_signed_once() -> AbstractContextManager[None]:
    """The runner looks whether a trusted device signed something, not whether it was this."""
    holds = signing.holds

    def anything(signed: signing.Signed, prefix: signing.Prefix, _: JsonObject) -> bool:
        return holds(signed, prefix, json.loads(signed.statement or "{}"))

    return patched(signing, holds=anything)


def believes_certificates() -> AbstractContextManager[None]:
    """The runner trusts whatever key the hub says was certified."""

    def believe(self: Trust, event: Event) -> None:
        if event.kind == "device.certified":
            said = body_of(event)
            assert isinstance(said, DeviceCertified)
            self.add(said.fingerprint)

    return patched(Trust, hear=believe)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", [takes_any_signature, takes_any_key, takes_what_was_signed_once, believes_certificates])
def test_a_computer_that_looks_less_closely_is_found(bug: Callable[[], AbstractContextManager[None]]) -> None:
    """A world in which lies cannot reach anything proves nothing: with each of these, one of them does."""
    with bug():
        found = next((seed for seed in (*SEEN, *range(SEEDS)) if play(seed).violations), None)

    assert found is not None


def play(seed: int) -> Outcome:
    """Play a world whose hub lies."""
    return simulate(seed, size=SIZE, lying=True)

"""What a runner tells about itself: what it can do, and that it still works on something.

Neither goes through the journal: the next one replaces the last. It refuses to advertise what would not be assigned
here anyway.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from deskhand.clock import stamp
from deskhand.errors import DeskhandError
from deskhand.limits import LEASE_SECONDS, PROTOCOL
from deskhand.protocol.events import ORDER_KINDS, RunnerAdvertised
from deskhand.protocol.objects import Folder, FolderInstructions, LinkState, Runner
from deskhand.protocol.ops import Op
from deskhand.protocol.wire import Json, JsonObject
from deskhand.runner.outbox import passing_over_absence
from deskhand.runner.parts import Parts
from deskhand.runner.saying import fact
from deskhand.runner.workspace import instructions_of
from deskhand.workflow.rows import AttemptKey

_NAP_SECONDS: Final = 1.0
_WORD_SECONDS: Final = 10.0
"""How often the hub hears that this computer is there; three missed words are silence."""
_SLEPT_SECONDS: Final = 20.0
"""A nap that ends so much too late was a sleep of the machine, or this process stood still."""
_GOODBYE_SECONDS: Final = 1.0
_GOING_SECONDS: Final = 20.0
BUILT_IN: Final = "builtin"
"""The agent that thinks with a language model."""


class Presence:
    """Advertises and renews for one runner."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._said: JsonObject | None = None
        self._leaving: LinkState = "stopped"
        self._slept = 0
        self._said_goodbye = -_GOING_SECONDS

    async def advertise(self) -> None:
        """Tell the hub what this computer can do, if that has changed since it was last told.

        Raises:
            DeskhandError: ``hub_unreachable``; what the hub says to it.
        """
        body = await self._body()
        said = body.but(runner=body.runner.but(advertised_at="")).to_json()
        if said != self._said:
            (result,) = await self._parts.link.send([fact(self._parts.ids, body)])
            if result.status != "rejected":
                self._said = said

    async def renew_forever(self, *, working: Callable[[], Sequence[AttemptKey]], woke: Callable[[], None]) -> None:
        """Say that this computer is there and renew the leases of what it works on, until cancelled.

        In short naps, so that a lease that becomes shorter is noticed in time, and a sleep too: after one ``woke`` is
        called and the next word, which tells of it, is said at once. A hub that is away is no error.
        """
        clock = self._parts.clock
        spoke = clock.monotonic()
        while True:
            nap, began = min(self._word_seconds(), _NAP_SECONDS), clock.elapsed()
            await clock.sleep(nap)
            late = clock.elapsed() - began - nap
            if late > _SLEPT_SECONDS:
                self._slept += round(late)
                woke()
            # After a goodbye a word would take it back.
            elif clock.monotonic() < max(self._said_goodbye + _GOING_SECONDS, spoke + self._word_seconds()):
                continue
            spoke, self._leaving = clock.monotonic(), "stopped"
            ops = [self._op("presence.note", state="up", slept_seconds=self._slept or None)]
            ops += [self._op("lease.renew", key.task, epoch=key.epoch) for key in working()]
            with passing_over_absence():
                await self._parts.link.send(ops)
                self._slept = 0

    def _word_seconds(self) -> float:
        """Return how long it may be silent, as the account has it now."""
        lease = self._parts.journal.setting("lease_seconds")
        lease = lease if isinstance(lease, int | float) and lease > 0 else LEASE_SECONDS
        return min(lease / 3, _WORD_SECONDS)

    def _op(self, kind: str, task: str | None = None, **body: Json) -> Op:
        return Op(op_id=self._parts.ids.new("op"), kind=kind, task=task, body=body)

    async def say_goodbye(self, state: LinkState | None = None) -> None:
        """Tell the hub why it will not hear from here, if there is time for it: what was told last, or ``stopped``."""
        self._leaving = state or self._leaving
        self._said_goodbye = self._parts.clock.monotonic()
        with suppress(DeskhandError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._parts.link.send([self._op("presence.note", state=self._leaving)])

    async def _body(self) -> RunnerAdvertised:
        parts = self._parts
        agents, model, models = set(parts.agents), None, ()
        if parts.models is not None:
            model, models = await parts.models()
            agents -= set() if model else {BUILT_IN}
        runner = Runner(
            id=parts.runner,
            name=parts.name,
            incarnation=parts.journal.incarnation,
            protocol=PROTOCOL,
            kinds=tuple(sorted(ORDER_KINDS)),
            commands=parts.commands,
            tools=tuple(sorted(parts.tools)),
            model=model,
            models=models,
            agents=tuple(sorted(agents)),
            sandbox=parts.sandbox.info,
            slots=parts.slots,
            hub_trust=parts.hub_trust(),
            trusted=parts.trust.fingerprints(),
            advertised_at=stamp(parts.clock.now()),
        )
        try:
            granted = parts.ceiling.entries()
        except DeskhandError:
            granted = ()
        folders = tuple(
            Folder(runner=parts.runner, instructions=self._instructions(Path(one.root)), **one.as_named)
            for one in granted
            if one.for_op is None
        )
        return RunnerAdvertised(runner=runner, folders=folders)

    def _instructions(self, root: Path) -> FolderInstructions | None:
        """Return which file of a folder goes with its tasks, as it is now."""
        with suppress(DeskhandError), closing(self._parts.open_folder(root)) as folder:
            if said := instructions_of(folder):
                digest = hashlib.sha256(said.text.encode()).hexdigest()
                return FolderInstructions(name=said.name, chars=len(said.text), sha256=digest)
        return None

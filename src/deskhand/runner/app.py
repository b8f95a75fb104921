"""The composition of a runner: how its parts hang together, how it starts and stops, and what it tells of itself.

Nothing else knows all the parts. It refuses to start as root unless told so, and to lose anything by being stopped:
what is under way is in the journal. What it can do, and that it still works on something, does not go through the
journal, since the next word replaces the last; it refuses to advertise what would not be assigned here anyway.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from deskhand.clock import stamp
from deskhand.errors import Code, DeskhandError
from deskhand.limits import ADVANCE_SECONDS, LEASE_SECONDS, PROTOCOL
from deskhand.protocol import objects
from deskhand.protocol.events import ORDER_KINDS, RunnerAdvertised
from deskhand.protocol.ops import Op
from deskhand.protocol.wire import Json, JsonObject
from deskhand.runner.attempt import Kit
from deskhand.runner.traffic import Inbox, OneLife, Outbox, Parts, fact, passing_over_absence
from deskhand.runner.workspace import Suggester, instructions_of
from deskhand.workflow.journal import LocalWorkflow, together
from deskhand.workflow.rows import AttemptKey

_GREET_SECONDS: Final = 2.0
"""How long work waits at the start for a hub that may know better; without one it goes on."""
_LOOK_SECONDS: Final = 1.0
"""How often the policy file is looked at for the advertisement; the gate reads it before each effect."""
_NAP_SECONDS: Final = 1.0
_WORD_SECONDS: Final = 10.0
"""How often the hub hears that this computer is there; three missed words are silence."""
_SLEPT_SECONDS: Final = 20.0
"""A nap that ends so much too late was a sleep of the machine, or this process stood still."""
_GOODBYE_SECONDS: Final = 1.0
_GOING_SECONDS: Final = 20.0


class Runner:
    """One runner, from start to stop."""

    def __init__(self, parts: Parts) -> None:
        link = OneLife(parts.link, parts.journal, halt=lambda keys: self.workflow.halt(keys))  # noqa: PLW0108 - made later
        self._parts = parts = replace(parts, link=link)
        self._stop = asyncio.Event()
        self._outbox = Outbox(parts)
        self._presence = Presence(parts)
        self.going = self._presence.say_goodbye
        kit = Kit(parts, self._outbox.accepted)
        self._tell_of_doubt = kit.tell_of_doubt
        self.workflow = LocalWorkflow(journal=parts.journal, drive=kit.drive, slots=parts.slots)
        self.inbox = Inbox(parts=parts, workflow=self.workflow, halted=kit.tell_of_doubt, heard=Suggester(parts).answer)

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            DeskhandError: ``root_refused``, ``schema_newer``, ``unauthorized``, ``upgrade_required``.
        """
        parts = self._parts
        if os.geteuid() == 0 and not parts.as_root:
            raise DeskhandError(Code.ROOT_REFUSED)
        await parts.journal.open(home_identity=home_identity(parts.home))
        try:
            async with self.workflow.open():
                # A hub that is there may know better than this home what to go on with.
                with passing_over_absence(), suppress(TimeoutError):
                    async with asyncio.timeout(_GREET_SECONDS):
                        await self._presence.advertise()
                await self.workflow.advance_ready()
                with passing_over_absence():
                    await self._tell_of_doubt()
                with suppress(_Stopped):  # the first loop that fails ends all, as itself
                    await together(
                        self._until_stopped(),
                        self._outbox.run(self.workflow.halt),
                        self.inbox.run(self._presence.advertise),
                        self._look_again(),
                        parts.live.run(parts.link, clock=parts.clock, ids=parts.ids),
                        self._presence.renew_forever(
                            working=lambda: sorted(self.workflow.under_way), woke=self.inbox.reopen
                        ),
                    )
                await self._presence.say_goodbye()
        finally:
            parts.journal.close()

    def stop(self) -> None:
        """Ask it to stop; ``run`` returns when everything has ended."""
        self._stop.set()

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        raise _Stopped

    async def _look_again(self) -> None:
        """Look at the policy file each second and at what is ready each half minute."""
        waited = 0.0
        while True:
            await self._parts.clock.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
            with passing_over_absence():  # of the hub, or of room on the disk
                if waited >= ADVANCE_SECONDS:
                    waited = 0.0
                    await self.workflow.advance_ready()
                if self.inbox.connected:
                    await self._presence.advertise()
                await self._parts.journal.tidy()


class _Stopped(Exception):  # noqa: N818 - not an error, the way out of a task group
    """Somebody asked the runner to stop."""


class Presence:
    """Advertises and renews for one runner."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._said: JsonObject | None = None
        self._leaving: objects.LinkState = "stopped"
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

    async def say_goodbye(self, state: objects.LinkState | None = None) -> None:
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
            agents -= set() if model else {"builtin"}  # which thinks with one
        runner = objects.Runner(
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
        folders = ()
        with suppress(DeskhandError):
            folders = tuple(
                objects.Folder(runner=parts.runner, instructions=self._instructions(Path(one.root)), **one.as_named)
                for one in parts.ceiling.entries()
                if one.for_op is None
            )
        return RunnerAdvertised(runner=runner, folders=folders)

    def _instructions(self, root: Path) -> objects.FolderInstructions | None:
        """Return which file of a folder goes with its tasks, as it is now."""
        with suppress(DeskhandError), closing(self._parts.open_folder(root)) as folder:
            if said := instructions_of(folder):
                digest = hashlib.sha256(said.text.encode()).hexdigest()
                return objects.FolderInstructions(name=said.name, chars=len(said.text), sha256=digest)
        return None


def home_identity(home: Path) -> str:
    """Return what changes when a home is copied to another place or machine: the machine and the directory itself."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = os.uname().nodename
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"{machine}:{home.resolve()}:{home.stat().st_ino}"

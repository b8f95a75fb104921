"""The composition of a runner: how its parts hang together, how it starts and how it stops.

Nothing else knows all the parts. It refuses to start as root unless told so, and to lose anything by being stopped:
what is under way is in the journal.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.limits import ADVANCE_SECONDS
from deskhand.runner.attempt import Kit
from deskhand.runner.inbox import Inbox
from deskhand.runner.outbox import OneLife, Outbox, passing_over_absence
from deskhand.runner.parts import Parts
from deskhand.runner.presence import Presence
from deskhand.runner.suggesting import Suggester
from deskhand.workflow.local import LocalWorkflow, together

_GREET_SECONDS: Final = 2.0
"""How long work waits at the start for a hub that may know better; without one it goes on."""
_LOOK_SECONDS: Final = 1.0
"""How often the policy file is looked at for the advertisement; the gate reads it before each effect."""


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
        heard = Suggester(parts).answer
        self.inbox = Inbox(parts=parts, workflow=self.workflow, halted=self._tell_of_doubt, heard=heard)

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


def home_identity(home: Path) -> str:
    """Return what changes when a home is copied to another place or machine: the machine and the directory itself."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = os.uname().nodename
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"{machine}:{home.resolve()}:{home.stat().st_ino}"

"""What a runner tells about itself: what it can do, and that it still works on something.

Neither goes through the journal: the next one replaces the last. It refuses to advertise what would not be assigned
here anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deskhand.clock import Clock, stamp
from deskhand.errors import DeskhandError
from deskhand.ids import Ids
from deskhand.limits import PROTOCOL
from deskhand.ports import Link
from deskhand.protocol import events as ev
from deskhand.protocol.events import KIND_OF, ORDER_KINDS
from deskhand.protocol.objects import CommandInfo, Folder, Runner, SandboxInfo
from deskhand.protocol.ops import Op
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import Ceiling
from deskhand.workflow.rows import AttemptKey

_NAP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What this computer can do, as it was composed."""

    agents: tuple[str, ...]
    tools: tuple[str, ...]
    commands: tuple[CommandInfo, ...]
    models: tuple[str, ...]
    sandbox: SandboxInfo
    slots: int


class Presence:
    """Advertises and renews.

    Args:
        runner: this runner's id.
        name: what people call this computer.
        abilities: what it can do.
        ceiling: which folders it lends.
        link: the road to the hub.
        clock: for stamps and waiting.
        ids: for op ids.
    """

    def __init__(  # noqa: PLR0913 - the parts of one composition, all by name
        self,
        *,
        runner: str,
        name: str,
        abilities: Abilities,
        ceiling: Ceiling,
        link: Link,
        clock: Clock,
        ids: Ids,
    ) -> None:
        """Keep the parts; nothing was said yet."""
        self._runner = runner
        self._name = name
        self.abilities = abilities
        self._ceiling = ceiling
        self._link = link
        self._clock = clock
        self._ids = ids
        self._said: JsonObject | None = None

    async def advertise(self, incarnation: str) -> None:
        """Tell the hub what this computer can do, if that has changed since it was last told.

        Raises:
            DeskhandError: ``hub_unreachable``; what the hub says to it.
        """
        body = self._body(incarnation)
        said = body.but(runner=body.runner.but(advertised_at="")).to_json()
        if said == self._said:
            return
        op = Op(
            op_id=self._ids.new("op"),
            kind="event.append",
            body={"kind": KIND_OF[type(body)], "body": body.to_json()},
        )
        (result,) = await self._link.send([op])
        if result.status != "rejected":
            self._said = said

    async def renew_forever(
        self, *, seconds: Callable[[], float], working: Callable[[], Sequence[AttemptKey]]
    ) -> None:
        """Renew the leases of what is being worked on, until cancelled; a hub that is away is no error."""
        renewed = self._clock.monotonic()
        while True:
            # In short naps, so that a lease that becomes shorter is noticed in time.
            await self._clock.sleep(min(seconds(), _NAP_SECONDS))
            if self._clock.monotonic() - renewed < seconds():
                continue
            renewed = self._clock.monotonic()
            ops = [
                Op(
                    op_id=self._ids.new("op"),
                    kind="lease.renew",
                    task=key.task,
                    body={"epoch": key.epoch},
                )
                for key in working()
            ]
            if ops:
                await self._send(ops)

    async def _send(self, ops: Sequence[Op]) -> None:
        try:
            await self._link.send(ops)
        except DeskhandError as error:
            if not error.fault.retryable:
                raise

    def _body(self, incarnation: str) -> ev.RunnerAdvertised:
        can = self.abilities
        runner = Runner(
            id=self._runner,
            name=self._name,
            incarnation=incarnation,
            protocol=PROTOCOL,
            kinds=tuple(sorted(ORDER_KINDS)),
            commands=can.commands,
            tools=can.tools,
            models=can.models,
            agents=can.agents,
            sandbox=can.sandbox,
            slots=can.slots,
            advertised_at=stamp(self._clock.now()),
        )
        return ev.RunnerAdvertised(runner=runner, folders=tuple(self._lent()))

    def _lent(self) -> list[Folder]:
        """Return the folders as they are granted now."""
        try:
            entries = self._ceiling.entries()
        except DeskhandError:
            entries = ()
        return [
            Folder(
                id=entry.id,
                runner=self._runner,
                root=entry.root,
                label=entry.label,
                mode=entry.mode,
            )
            for entry in entries
        ]

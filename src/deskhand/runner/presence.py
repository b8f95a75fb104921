"""What a runner tells about itself: what it can do, and that it still works on something.

Neither goes through the journal: the next one replaces the last. It refuses to advertise what would not be assigned
here anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

from deskhand.clock import stamp
from deskhand.errors import DeskhandError
from deskhand.limits import PROTOCOL
from deskhand.protocol.events import ORDER_KINDS, RunnerAdvertised
from deskhand.protocol.objects import Folder, Runner
from deskhand.protocol.ops import Op
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import Ceiling
from deskhand.runner.parts import Parts, RunnerConfig
from deskhand.runner.saying import fact
from deskhand.workflow.rows import AttemptKey

_NAP_SECONDS: Final = 1.0


@contextmanager
def passing_over_absence() -> Generator[None]:
    """Take it as no error that the hub is away: what is said here is said again."""
    try:
        yield
    except DeskhandError as error:
        if not error.fault.retryable:
            raise


class Presence:
    """Advertises and renews for one runner, whose folders the ceiling knows."""

    def __init__(self, config: RunnerConfig, parts: Parts, ceiling: Ceiling) -> None:
        self._config = config
        self._parts = parts
        self._ceiling = ceiling
        self._said: JsonObject | None = None

    async def advertise(self) -> None:
        """Tell the hub what this computer can do, if that has changed since it was last told.

        Raises:
            DeskhandError: ``hub_unreachable``; what the hub says to it.
        """
        body = self._body()
        said = body.but(runner=body.runner.but(advertised_at="")).to_json()
        if said != self._said:
            (result,) = await self._parts.link.send([fact(self._parts.ids, body)])
            if result.status != "rejected":
                self._said = said

    async def renew_forever(
        self, *, seconds: Callable[[], float], working: Callable[[], Sequence[AttemptKey]]
    ) -> None:
        """Renew the leases of what is being worked on, until cancelled; a hub that is away is no error."""
        clock, ids = self._parts.clock, self._parts.ids
        renewed = clock.monotonic()
        while True:
            # In short naps, so that a lease that becomes shorter is noticed in time.
            await clock.sleep(min(seconds(), _NAP_SECONDS))
            if clock.monotonic() - renewed < seconds():
                continue
            renewed = clock.monotonic()
            ops = [
                Op(
                    op_id=ids.new("op"),
                    kind="lease.renew",
                    task=key.task,
                    body={"epoch": key.epoch},
                )
                for key in working()
            ]
            with passing_over_absence():
                if ops:
                    await self._parts.link.send(ops)

    def _body(self) -> RunnerAdvertised:
        config, parts = self._config, self._parts
        runner = Runner(
            id=config.runner,
            name=config.name,
            incarnation=parts.journal.incarnation,
            protocol=PROTOCOL,
            kinds=tuple(sorted(ORDER_KINDS)),
            commands=parts.commands,
            tools=tuple(sorted(parts.tools)),
            agents=tuple(sorted(parts.agents)),
            sandbox=parts.sandbox.info,
            slots=config.slots,
            advertised_at=stamp(parts.clock.now()),
        )
        try:
            granted = self._ceiling.entries()
        except DeskhandError:
            granted = ()
        folders = tuple(
            Folder(id=one.id, runner=config.runner, root=one.root, label=one.label, mode=one.mode)
            for one in granted
            if one.for_op is None
        )
        return RunnerAdvertised(runner=runner, folders=folders)

"""Phones of a world and the people who hold them: an outbox that outlives the app, a cursor, and the product's fold.

A person taps what they see, after a while; what was tapped is in the outbox before anything else happens. It refuses
to show what the log did not say.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from random import Random
from typing import Final, cast

from typing_extensions import override

from deskhand.clock import Ids
from deskhand.core.folding import COLLECTIONS
from deskhand.errors import Code, DeskhandError
from deskhand.limits import OPS_PER_BATCH_MAX
from deskhand.ports import Frame
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.wire import JsonObject
from deskhand.testing.account import MemoryAccount
from deskhand.testing.world.links import FaultyLink
from deskhand.testing.world.loop import Process
from deskhand.testing.world.machines import Chaos, Machine

_SNAPSHOTS: Final = 0.5
"""How often a phone that has nothing begins with a snapshot, and not with the first event."""


class Phone(Machine):
    """A phone. ``outbox``, ``cursor`` and ``account`` are on its disk; ``answers`` is what its person was told."""

    def __init__(self, name: str, chaos: Chaos) -> None:
        """Be new, and switched off."""
        super().__init__(name, chaos)
        self.link: FaultyLink | None = None
        self.outbox: dict[str, Op] = {}
        self.wanted: dict[str, Op] = {}
        self.answers: dict[str, OpResult] = {}
        self.account = MemoryAccount()
        self.cursor = self.begun = 0
        self.blank = True
        self.gone = False
        self.pem: str | None = None
        self._names = Ids(self.clock, Random(f"{chaos.seed} {name}").randbytes)  # noqa: S311 - a seed must come back
        self._woken = asyncio.Event()

    def want(self, kind: str, body: JsonObject, **about: str | None) -> str:
        """Put a wish into the outbox; it is on the disk when this returns."""
        op = Op.from_json({"op_id": self._names.new("op"), "kind": kind, "body": body, **about})
        self.wanted[op.op_id] = self.outbox[op.op_id] = op
        self.chaos.tell(f"{self.name} wants {kind} {about.get('task') or body.get('text') or ''}")
        self._woken.set()
        if self.chaos.strikes(f"{self.name} after a tap"):
            self.crash("after a tap")
        return op.op_id

    @override
    async def live(self, process: Process) -> None:
        """Open the app: read along, and send what is in the outbox."""
        self._woken = asyncio.Event()
        process.spawn(self._read())
        await self._send()

    def clear(self) -> None:
        """Lose what was folded, as when a browser clears its cache; the outbox is kept."""
        self.account, self.cursor, self.begun, self.blank = MemoryAccount(), 0, 0, True

    def attach(self, body: JsonObject, *, thread: str | None) -> None:
        """Send a file first, and then the message that names it; what dies before was not promised to anybody."""

        async def send() -> None:
            with suppress(DeskhandError):
                name = await self.road.upload_file(f"notes of {body['text']}".encode())
                self.want("message.post", {**body, "files": [name]}, thread=thread)

        if self.process is not None:
            self.process.spawn(send())

    @property
    def road(self) -> FaultyLink:
        """Return the link, which every phone has before it starts."""
        if self.link is None:
            raise ValueError(self.name)
        return self.link

    async def _read(self) -> None:
        while True:
            try:
                if self.blank and self.chaos.rng.random() < _SNAPSHOTS:
                    self._begin(await self.road.snapshot())
                self.blank = False
                async with aclosing(self.road.stream(after=self.cursor)) as frames:
                    async for frame in frames:
                        self._take(frame)
            except DeskhandError as error:
                if self._shut_out(error):
                    return
                await self.clock.sleep(self.chaos.rng.uniform(1, 15))

    def _begin(self, snapshot: JsonObject) -> None:
        """Start from what the hub has now, in one step."""
        self.clear()
        for kind, name in COLLECTIONS.items():
            for one in cast("list[JsonObject]", snapshot.get(name, [])):
                self.account.put(kind.from_json(one))
        self.cursor = self.begun = int(str(snapshot["cursor"]))

    def _shut_out(self, error: DeskhandError) -> bool:
        """Return whether the hub says that this phone is none of the account's any more."""
        self.gone = self.gone or error.code is Code.UNAUTHORIZED
        return self.gone

    def _take(self, frame: Frame) -> None:
        """Fold an event and move the cursor in one step; what came before comes to nothing."""
        if frame.kind == "reset":
            self.clear()
        elif frame.event is not None and frame.event.seq > self.cursor:
            self.account.apply(frame.event)
            self.cursor = frame.event.seq

    async def _send(self) -> None:
        while True:
            self._woken.clear()
            batch = list(self.outbox.values())[:OPS_PER_BATCH_MAX]
            if not batch:
                await self._woken.wait()
                continue
            try:
                results = await self.road.send(batch)
            except DeskhandError as error:
                if self._shut_out(error):
                    return
                await self.clock.sleep(self.chaos.rng.uniform(1, 15))
                continue
            for result in results:
                self._answered(result)

    def _answered(self, result: OpResult) -> None:
        if result.error is not None and result.error.retryable:
            return
        self.outbox.pop(result.op_id, None)
        self.answers[result.op_id] = result

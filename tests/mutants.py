"""Bugs on purpose: each takes one promise out of the product for a while, to see whether the worlds notice.

A simulation that passes with one of these planted proves nothing. It refuses to leave a trace when the block ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Final, cast

from sqlalchemy import Connection

from deskhand.core import dispatching, lifecycle
from deskhand.core.drafting import Facts, Wish
from deskhand.errors import DeskhandError
from deskhand.hub import delivering, submitting
from deskhand.hub.app import Hub
from deskhand.protocol.events import EVENTS
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Approval, Task, TaskState
from deskhand.runner import attempt as driving
from deskhand.runner.traffic import Inbox
from deskhand.store.log import transaction
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import SqlStore
from deskhand.testing.world.hub import House
from deskhand.testing.world.machines import Machine
from deskhand.testing.world.patching import patched
from deskhand.testing.world.phones import Phone
from deskhand.workflow import journal as memory
from deskhand.workflow import rows as folding
from deskhand.workflow.journal import Journal, LocalWorkflow
from deskhand.workflow.rows import AttemptKey, Step, to_json

Mutant = Callable[[], AbstractContextManager[None]]
_DRIVER: Final[Any] = vars(driving)["_Driver"]


def forgets_ops() -> AbstractContextManager[None]:
    """The hub does not remember which ops it has handled."""

    def nothing(*_: object) -> None:
        """Remember nothing, know nothing."""

    return patched(SqlTx, op_result=nothing, remember_op=nothing)


def answers_too_early() -> AbstractContextManager[None]:
    """The hub acknowledges before the row is safe: the last write is gone when it dies soon after."""
    write, crash = SqlStore.write, Machine.crash
    saved: dict[int, bytes] = {}

    def disk(house: House) -> Any:  # noqa: ANN401 - the driver's own connection has no type here
        return house.disk.raw_connection().driver_connection

    async def early(self: SqlStore, account: str, work: Callable[[Any], Any]) -> object:
        engine = self.reader.engine
        database: Any = engine.raw_connection().driver_connection
        saved[id(engine)] = database.serialize()
        return await write(self, account, work)

    def lossy(self: Machine, why: str, *, away: float | None = None) -> None:
        crash(self, why, away=away)
        before = saved.pop(id(self.disk), None) if isinstance(self, House) else None
        if isinstance(self, House) and before is not None:
            self.loop.call_soon(lambda: disk(self).deserialize(before))

    return _both(patched(SqlStore, write=early), patched(Machine, crash=lossy))


def forgets_epochs() -> AbstractContextManager[None]:
    """The hub takes what an attempt says although its task has ended."""
    leased: Callable[[Facts, Wish], Task] = vars(lifecycle)["_leased"]

    def unfenced(facts: Facts, wish: Wish) -> Task:
        task = leased(facts, wish)
        ended = task.state is TaskState.CANCELED
        return task.but(state=TaskState.WORKING, epoch=task.epoch - 1) if ended else task

    return patched(lifecycle, _leased=unfenced)


def skips_outbox_rows() -> AbstractContextManager[None]:
    """Now and then the runner does not store what it has to say."""
    put = memory.put_op

    def skipping(connection: Any, op: Op, *, key: AttemptKey) -> None:  # noqa: ANN401 - passed on
        if not op.op_id.endswith("7"):
            put(connection, op, key=key)

    return patched(memory, put_op=skipping)


def acts_before_intent() -> AbstractContextManager[None]:
    """The runner has the effect first and commits the intent together with the result."""

    async def eager(self: Any, call: Any, ruling: Any) -> None:  # noqa: ANN401 - a private class of the runner
        wish = {"call": to_json(call), "asked": False}
        began = self._voice.began(self._state.steps + 1, call)
        step = self._add("tool", wish, began, arguments=call.arguments, effect=ruling.effect)
        self._finish(step, await self._gate.perform(call, self._scope, ruling))

    return patched(_DRIVER, _act=eager)


def moves_cursor_first() -> AbstractContextManager[None]:
    """The runner moves its cursor in one commit and stores the order in the next."""
    receive = Journal.receive

    async def in_two(self: Journal, event: Any) -> object:  # noqa: ANN401 - passed on
        def move(connection: Connection) -> None:
            memory.put_meta(connection, "cursor", str(event.seq))

        await vars(Journal)["_do"](self, move)
        return await receive(self, event)

    return patched(Journal, receive=in_two)


def uses_a_yes_twice() -> AbstractContextManager[None]:
    """A yes stays valid after the action it was for."""
    used: Callable[[folding.AttemptState, Step], folding.AttemptState] = vars(folding)["_used"]

    def kept(state: folding.AttemptState, step: Step) -> folding.AttemptState:
        return replace(used(state, step), yes=state.yes)

    return _folding(tool=kept)


def tells_in_the_request() -> AbstractContextManager[None]:
    """The hub tells its listeners at the end of the request, not after the commit."""
    offers: dict[int, list[Any]] = {}
    write = SqlStore.write

    async def late(self: SqlStore, account: str, work: Callable[[Any], Any]) -> object:
        hooks: list[Any] = _inside(self.fanout)["_hooks"]
        vars(self.fanout)["_hooks"] = [offers.setdefault(id(self), []).extend]
        try:
            result = await write(self, account, work)
        finally:
            vars(self.fanout)["_hooks"] = hooks
        committed, offers[id(self)] = offers.get(id(self), []), []
        for _ in range(8):
            await asyncio.sleep(0)  # noqa: TID251 - places where a request can be given up
        for hook in hooks:
            hook(committed)
        return result

    return patched(SqlStore, write=late)


def starts_twice() -> AbstractContextManager[None]:
    """An order that comes in starts another driver for an attempt that is under way."""

    async def twice(self: LocalWorkflow) -> None:
        if not vars(self)["_closing"]:
            vars(LocalWorkflow)["_fill"](self, vars(self)["_journal"].ready())

    async def careless(self: LocalWorkflow, key: AttemptKey) -> None:
        try:
            await vars(self)["_drive"](key)
        except DeskhandError:
            return
        finally:
            vars(self)["_running"].pop(key, None)
            vars(self)["_threads"].pop(key, None)

    return patched(LocalWorkflow, advance_ready=twice, _guarded=careless)


def repeats_unknown() -> AbstractContextManager[None]:
    """After a crash the runner simply does again what it does not know about."""
    again: Callable[[Any, Any, Step], Awaitable[object]] = _inside(_DRIVER)["_again"]

    async def silently(self: Any, call: Any, step: Step) -> object:  # noqa: ANN401 - passed on
        return await again(self, call, replace(step, effect="idempotent"))

    return patched(_DRIVER, _again=silently)


def takes_old_results() -> AbstractContextManager[None]:
    """The result of one wish stands for the next one too."""
    closed: Callable[..., folding.AttemptState] = vars(folding)["_closed"]

    def sticky(state: folding.AttemptState, *, answer: str | None = None) -> folding.AttemptState:
        return replace(closed(state, answer=answer), results=state.results)

    moved = vars(folding)["_moved"]

    def stale(state: folding.AttemptState, step: Step) -> folding.AttemptState:
        after = moved(replace(state, results=()), step)
        after = replace(after, results=state.results) if after.move is not None else after
        return vars(folding)["_closed_if_complete"](after)

    return _both(patched(folding, _closed=sticky), _folding(move=stale))


def drops_the_outbox() -> AbstractContextManager[None]:
    """The phone forgets what it has not sent when its app is opened again."""
    live = Phone.live

    async def forgetful(self: Phone, process: Any) -> None:  # noqa: ANN401 - passed on
        self.outbox.clear()
        await live(self, process)

    return patched(Phone, live=forgetful)


def believes_heartbeats() -> AbstractContextManager[None]:
    """The runner takes the seq of whatever frame it sees as stored."""
    take = vars(Inbox)["_take"]

    async def hasty(self: Inbox, frame: Any) -> None:  # noqa: ANN401 - passed on
        looked = max(vars(self)["_looked_at"], (frame.seq or 0) + 1)
        vars(self)["_looked_at"] = looked
        await take(self, frame)

    return patched(Inbox, _take=hasty)


def takes_second_decisions() -> AbstractContextManager[None]:
    """The hub takes a decision about what was decided or voided already."""
    decide = lifecycle.decide_approval

    class Open:
        """The facts, with every approval open."""

        def __init__(self, facts: Facts) -> None:
            self._facts = facts

        def get(self, kind: type[Any], name: str) -> Any:  # noqa: ANN401 - whatever there is
            found = self._facts.get(kind, name)
            return found.but(state="open") if isinstance(found, Approval) else found

    def careless(facts: Facts, wish: Wish, body: Any) -> object:  # noqa: ANN401 - passed on
        return decide(cast("Facts", Open(facts)), wish, body)

    handlers: dict[str, Any] = vars(submitting)["_HANDLERS"]
    return patched(submitting, _HANDLERS={**handlers, "approval.decide": careless})


def acts_without_a_yes() -> AbstractContextManager[None]:
    """The runner does not wait for a yes to what it could look for afterwards."""
    permitted: Callable[[Any, Any], bool] = _inside(_DRIVER)["_permitted"]

    def bold(self: Any, ruling: Any) -> bool:  # noqa: ANN401 - a private class of the runner
        return ruling.effect == "probe" or permitted(self, ruling)

    return patched(_DRIVER, _permitted=bold)


def skips_after_snapshot() -> AbstractContextManager[None]:
    """The hub says that a snapshot goes one event further than it does."""
    snapshot = Hub.snapshot

    async def ahead(self: Hub, principal: Any) -> bytes:  # noqa: ANN401 - passed on
        said = json.loads(await snapshot(self, principal))
        return json.dumps({**said, "cursor": said["cursor"] + 1}).encode()

    return patched(Hub, snapshot=ahead)


def believes_in_pushes() -> AbstractContextManager[None]:
    """The hub notes every push as accepted, whatever the service says."""
    return patched(delivering, _FATES=dict.fromkeys(("accepted", "gone", "retry", "refused"), "accepted"))


def keeps_erased_words() -> AbstractContextManager[None]:
    """Erasing a conversation takes its tasks away and leaves its words in the log."""
    return patched(transaction, _KEPT_KINDS=tuple(EVENTS))


def begins_too_early() -> AbstractContextManager[None]:
    """The hub gives out at once what must not begin before its time."""
    choose: Callable[..., object] = vars(dispatching)["_choose"]

    def hasty(facts: Facts, task: Task, *rest: object, **more: object) -> object:
        return choose(facts, task.but(not_before=None), *rest, **more)

    return patched(dispatching, _choose=hasty)


def _folding(**folds: object) -> AbstractContextManager[None]:
    """Let rows of some kinds be folded in another way."""
    return patched(folding, _FOLDS={**vars(folding)["_FOLDS"], **folds})


def _inside(owner: object) -> Mapping[str, Any]:
    """Return what a module, class or object keeps to itself."""
    return vars(owner)


@contextmanager
def _both(first: AbstractContextManager[None], second: AbstractContextManager[None]) -> Generator[None]:
    with first, second:
        yield


MUTANTS: Final[dict[str, Mutant]] = {
    mutant.__name__: mutant
    for mutant in (
        forgets_ops,
        answers_too_early,
        forgets_epochs,
        skips_outbox_rows,
        acts_before_intent,
        moves_cursor_first,
        uses_a_yes_twice,
        tells_in_the_request,
        starts_twice,
        repeats_unknown,
        takes_old_results,
        drops_the_outbox,
        believes_heartbeats,
        takes_second_decisions,
        acts_without_a_yes,
        skips_after_snapshot,
        believes_in_pushes,
        keeps_erased_words,
        begins_too_early,
    )
}

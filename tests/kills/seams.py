"""Puts the named points around every commit and effect of the product, from outside, in the process that will die.

Nothing in the product knows of it. A commit is named by what it holds: the work of a write says so on its way into the
writer, and the driver's own commit passes the names before and after. It refuses to change what happens, but for the
push service: notices go into a file instead of to the net.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Final, TypeVar

from sqlalchemy.engine.default import DefaultDialect

from deskhand.hub.app import Participant
from deskhand.hub.submitting import Submitter
from deskhand.notify.webpush import WebPush
from deskhand.ports import SendOutcome
from deskhand.protocol.events import Event
from deskhand.runner import attempt
from deskhand.runner.gate import Gate
from deskhand.runner.http_link import HttpLink
from deskhand.runner.traffic import Inbox
from deskhand.sandbox import layers
from deskhand.sandbox.walls import Bubblewrap
from deskhand.store import blobs
from deskhand.store.blobs import FileBlobs
from deskhand.store.engine import ThreadWriter
from deskhand.store.opening import SqlStore
from deskhand.workflow.journal import Journal
from tests.kills.passing import EFFECTS, Passing, tell

Work = Callable[..., Any]
Asynchronous = Callable[..., Coroutine[Any, Any, Any]]
F = TypeVar("F", bound=Work)

_NAMES: ContextVar[tuple[str, ...]] = ContextVar("names", default=())
_WRITER: Final = threading.local()
_MIDWAY_SECONDS: Final = 0.03


def install(passing: Passing) -> None:
    """Put every point in place."""
    _commits(passing)
    _hub(passing)
    _runner(passing)
    _sandbox(passing)


def _wrap(owner: object, name: str, wrapper: Callable[[Work], Work]) -> None:
    """Replace what ``owner`` calls ``name`` by what the wrapper makes of it."""
    original: Work = vars(owner)[name]
    replaced(owner, name, wraps(original)(wrapper(original)))


def replaced(owner: object, name: str, value: object) -> None:
    """Let a class or module have something else under a name it knows, for as long as this process lives.

    Raises:
        KeyError: it has no such name any more; whatever was to change would go on as it is, and nobody would notice.
    """
    vars(owner)[name]
    setattr(owner, name, value)


def _around(owner: object, name: str, passing: Passing, what: str) -> None:
    """Pass a point before and after an asynchronous call."""

    def wrapper(original: Work) -> Work:
        async def around(*args: object, **named: object) -> object:
            passing.at(f"{what}, before")
            result = await original(*args, **named)
            passing.at(f"{what}, after")
            return result

        return around

    _wrap(owner, name, wrapper)


def _named(owner: object, method: str, naming: Callable[..., str]) -> None:
    """Give the commits of an asynchronous method a name, if nobody above has given one."""

    def wrapper(original: Work) -> Work:
        async def named(*args: object, **keywords: object) -> object:
            known = _NAMES.get()
            token = _NAMES.set(known or (naming(*args, **keywords),))
            try:
                return await original(*args, **keywords)
            finally:
                _NAMES.reset(token)

        return named

    _wrap(owner, method, wrapper)


def _commits(passing: Passing) -> None:
    """Let each commit pass the names of what it holds."""

    def carrying(original: Work) -> Work:
        async def do(self: object, work: Work, **named: object) -> object:
            names = _NAMES.get()

            def labelled(connection: object) -> object:
                _WRITER.names = (*getattr(_WRITER, "names", ()), *names)
                return work(connection)

            return await original(self, labelled, **named)

        return do

    def committing(original: Work) -> Work:
        def commit(*args: object) -> None:
            names = dict.fromkeys(getattr(_WRITER, "names", ()) or ("hub commit opening",))
            _WRITER.names = ()
            for name in names:
                passing.at(f"{name}, before")
            original(*args)
            for name in names:
                passing.at(f"{name}, after")

        return commit

    _wrap(ThreadWriter, "do", carrying)
    _wrap(DefaultDialect, "do_commit", committing)


def _hub(passing: Passing) -> None:
    def of_op(_: object, __: object, op: Any, **___: object) -> str:  # noqa: ANN401 - an op
        kind = f"event.append {op.body.get('kind')}" if op.kind == "event.append" else op.kind
        return f"hub commit {kind}"

    def of_change(_: object, __: str, change: Work, *___: object, **____: object) -> str:
        return f"hub commit {change.__name__}"

    _named(Submitter, "do", of_op)
    _named(SqlStore, "write", lambda *_, **__: "hub commit write")
    _named(SqlStore, "_change", of_change)
    _around(FileBlobs, "put", passing, "blob put")
    _wrap(blobs, "_write", lambda original: _then(original, passing, "blob put, midway"))

    async def send(_: object, subscription: object, notice: Any) -> SendOutcome:  # noqa: ANN401 - a notice
        del subscription
        passing.at("push send, before")
        tell(passing.place / EFFECTS, push=notice.id, tag=notice.tag)
        passing.at("push send, midway")
        await asyncio.sleep(0)  # noqa: TID251 - a road gives the loop away at least once
        passing.at("push send, after")
        return SendOutcome(status="accepted")

    _wrap(WebPush, "send", lambda _: send)


def _then(original: Work, passing: Passing, point: str) -> Work:
    """Return a call after which a point is passed."""

    def then(*args: object, **named: object) -> object:
        result = original(*args, **named)
        passing.at(point)
        return result

    return then


def _runner(passing: Passing) -> None:
    def of_order(_: object, event: Event) -> str:
        return f"journal commit order {event.kind}"

    for method in ("open", "tell", "tidy", "refuse", "_do"):
        _named(Journal, method, partial(_fixed, f"journal commit {method.strip('_')}"))
    _named(Journal, "receive", of_order)
    _named(Journal, "record", _recorded)
    for link in (HttpLink, Participant):
        _around(link, "send", passing, "link send")
        _around(link, "upload_blob", passing, "link upload")
    _around(Inbox, "_order", passing, "stream receive")
    _wrap(attempt, "verify", partial(_stepping, passing, lambda *_: "check"))
    _wrap(Gate, "perform", partial(_stepping, passing, _effect_of))


def _fixed(name: str, *_: object, **__: object) -> str:
    return name


def _recorded(_: object, __: object, *, steps: Any, status: str, **___: object) -> str:  # noqa: ANN401 - rows
    """Name a commit of an attempt by the weightiest row in it."""
    if status == "finished":
        return "journal commit finished"
    kinds = {_row(step) for step in steps}
    order = ("intent", "wait", "decision", "result", "looked", "check", "move")
    return f"journal commit {next((kind for kind in order if kind in kinds), 'said')}"


def _row(step: Any) -> str:  # noqa: ANN401 - a row
    if step.kind == "tool":
        if step.effect is None:
            return "looked"
        return "intent" if step.result is None else "result"
    if step.kind == "wait":
        return "wait" if step.result is None else "decision"
    return str(step.kind)


def _effect_of(gate: Any, call: Any, *_: object) -> str:  # noqa: ANN401 - of the runner
    tool = gate.tools[call.tool]
    return "sandboxed command" if tool.name == "run_command" else f"{tool.effect} tool"


def _stepping(passing: Passing, naming: Callable[..., str], original: Work) -> Work:
    """Return a call that is a step under way, with a point before and after it."""

    async def step(*args: object, **named: object) -> object:
        what = naming(*args)
        with passing.step():
            passing.at(f"{what}, before")
            result = await original(*args, **named)
            passing.at(f"{what}, after")
        return result

    return step


def _sandbox(passing: Passing) -> None:
    def during(original: Work) -> Work:
        async def execute(*args: object, **named: object) -> object:
            loop = asyncio.get_running_loop()
            midway = loop.call_later(_MIDWAY_SECONDS, passing.at, "sandboxed command, midway")
            try:
                return await original(*args, **named)
            finally:
                midway.cancel()

        return execute

    def applying(original: Work) -> Work:
        def run(*args: object) -> object:
            # Another thread may come by its point and die while this one carries changes over.
            passing.applying += 1
            try:
                passing.at("applying changes, before")
                result = original(*args)
                passing.at("applying changes, after")
            finally:
                passing.applying -= 1
            return result

        return run

    carrier: object = vars(layers)["_Carrier"]
    _wrap(Bubblewrap, "execute", during)
    _wrap(layers, "apply_changes", applying)
    _wrap(carrier, "_file", lambda original: _then(original, passing, "applying changes, midway"))

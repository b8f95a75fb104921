"""The rows of a journal as values, and the JSON spelling of moves and results in them.

Refuses to read what it did not write: a row of another shape is ``store_damaged``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, assert_never, cast

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, CheckWish, Done, Effect, GiveUp, Move, ToolCall, ToolResult, Wishes
from deskhand.protocol.events import Event
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import Json, JsonObject, sha256_of

StepKind = Literal["move", "tool", "check", "wait"]
Status = Literal["open", "finished", "canceled", "superseded"]


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class AttemptKey:
    """Which attempt: a task under an epoch."""

    task: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt as the journal knows it."""

    key: AttemptKey
    thread: str
    brief: Brief
    status: Status
    accepted: bool
    paused: bool
    place: str | None
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step row. Without ``result`` it is an intent, or a wait that is not over."""

    n: int
    kind: StepKind
    key: str
    wish: JsonObject
    at: str
    effect: Effect | None = None
    ref: str | None = None
    result: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """An op on its way to the hub."""

    n: int
    key: AttemptKey | None
    op: Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What an order did to the journal. ``stopped`` are attempts that must not go on."""

    new: bool
    stopped: tuple[AttemptKey, ...] = ()
    event: Event


def step_key(task: str, n: int, arguments: Json) -> str:
    """Return what binds a step's result to its wish: task, number and arguments."""
    return sha256_of([task, n, hashable(arguments)])


def hashable(value: Json) -> Json:
    """Spell floats as text, because a float has no canonical spelling."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return [hashable(item) for item in value]
    if isinstance(value, dict):
        return {name: hashable(item) for name, item in value.items()}
    return value


# --- moves and results -------------------------------------------------------------------------------------------


def call_to_json(call: ToolCall) -> JsonObject:
    """Return a tool wish as JSON."""
    return {"tool": call.tool, "arguments": call.arguments, "title": call.title}


def call_from_json(data: JsonObject) -> ToolCall:
    """Return a tool wish."""
    return ToolCall(
        tool=_text(data, "tool"), arguments=_object(data, "arguments"), title=_text(data, "title")
    )


def move_to_json(move: Move) -> JsonObject:
    """Return a move as JSON."""
    match move:
        case Wishes():
            return {
                "move": "wishes",
                "say": move.say,
                "calls": [call_to_json(call) for call in move.calls],
            }
        case Ask():
            return {"move": "ask", "text": move.text, "choices": list(move.choices)}
        case Done():
            checks: list[Json] = [
                {"name": check.name, "call": call_to_json(check.call)} for check in move.checks
            ]
            return {
                "move": "done",
                "summary": move.summary,
                "outputs": list(move.outputs),
                "checks": checks,
            }
        case GiveUp():
            return {"move": "give_up", "reasons": list(move.reasons)}
        case _:  # pragma: no cover - the type checker proves it
            assert_never(move)


def move_from_json(data: JsonObject) -> Move:
    """Return a move.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    kind = _text(data, "move")
    reader = _MOVES.get(kind)
    if reader is None:
        raise DeskhandError(Code.STORE_DAMAGED, "a move of unknown kind")
    return reader(data)


def result_to_json(result: ToolResult) -> JsonObject:
    """Return a tool result as JSON."""
    return {"outcome": result.outcome, "value": result.value, "text": result.text}


def result_from_json(data: JsonObject) -> ToolResult:
    """Return a tool result."""
    outcome = _text(data, "outcome")
    if outcome not in ("ok", "error", "denied", "unknown"):
        raise DeskhandError(Code.STORE_DAMAGED, "a result of unknown kind")
    return ToolResult(outcome=outcome, value=_object(data, "value"), text=_text(data, "text"))


def _wishes(data: JsonObject) -> Move:
    calls = tuple(call_from_json(_as_object(item)) for item in _list(data, "calls"))
    return Wishes(calls=calls, say=_text(data, "say"))


def _ask(data: JsonObject) -> Move:
    return Ask(text=_text(data, "text"), choices=_texts(data, "choices"))


def _done(data: JsonObject) -> Move:
    checks = tuple(
        CheckWish(name=_text(item, "name"), call=call_from_json(_object(item, "call")))
        for item in map(_as_object, _list(data, "checks"))
    )
    return Done(summary=_text(data, "summary"), outputs=_texts(data, "outputs"), checks=checks)


def _give_up(data: JsonObject) -> Move:
    return GiveUp(reasons=_texts(data, "reasons"))


_MOVES: Mapping[str, Callable[[JsonObject], Move]] = {
    "wishes": _wishes,
    "ask": _ask,
    "done": _done,
    "give_up": _give_up,
}


def _text(data: JsonObject, name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise DeskhandError(Code.STORE_DAMAGED, f"no text {name}")
    return value


def _list(data: JsonObject, name: str) -> list[Json]:
    value = data.get(name)
    if not isinstance(value, list):
        raise DeskhandError(Code.STORE_DAMAGED, f"no list {name}")
    return cast("list[Json]", value)


def _texts(data: JsonObject, name: str) -> tuple[str, ...]:
    return tuple(str(item) for item in _list(data, name))


def _object(data: JsonObject, name: str) -> JsonObject:
    return _as_object(data.get(name))


def _as_object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise DeskhandError(Code.STORE_DAMAGED, "no object")
    return cast("JsonObject", value)

"""The rows of a journal as values, and the JSON spelling of moves and results in them.

Refuses to read what it did not write: a row of another shape is ``store_damaged``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, Done, Effect, GiveUp, Move, Wishes
from deskhand.protocol import ops, tasks, wire

T = TypeVar("T")
StepKind = Literal["move", "tool", "check", "wait"]
Status = Literal["open", "finished", "canceled", "superseded"]

_MOVES: Final = {"wishes": Wishes, "ask": Ask, "done": Done, "give_up": GiveUp}
"""The name of each kind of move in a row."""
_NAMES: Final = {kind: name for name, kind in _MOVES.items()}


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class AttemptKey:
    """Which attempt: a task under an epoch."""

    task: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt as the journal knows it. ``place`` is the directory made for its results, if one was."""

    key: AttemptKey
    brief: tasks.Brief
    status: Status
    accepted: bool
    paused: bool
    place: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step row. Without ``result`` it is an intent, or a wait that is not over."""

    n: int
    kind: StepKind
    key: str
    wish: wire.JsonObject
    at: str
    effect: Effect | None = None
    ref: str | None = None
    result: wire.JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """An op on its way to the hub."""

    n: int
    key: AttemptKey
    op: ops.Op


def step_key(task: str, n: int, arguments: wire.Json) -> str:
    """Return what binds a step's result to its wish: task, number and arguments."""
    return wire.sha256_of([task, n, hashable(arguments)])


def hashable(value: wire.Json) -> wire.Json:
    """Spell floats as text, because a float has no canonical spelling."""
    return json.loads(json.dumps(value), parse_float=str, parse_constant=str)


def to_json(value: object) -> wire.JsonObject:
    """Return a wish, a result or what was spent as JSON."""
    said: object = _adapter(type(value)).dump_python(value, mode="json", warnings=False)
    return cast("wire.JsonObject", said)


def from_json(kind: type[T], data: wire.Json) -> T:
    """Return a value of this kind; what else a row holds beside it does not matter.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as error:
        raise DeskhandError(Code.STORE_DAMAGED, f"not a {kind.__name__}") from error


def move_to_json(move: Move) -> wire.JsonObject:
    """Return a move as JSON, with what was said beside it and what thinking of it cost.

    Raises:
        ValueError: it would not come back as it is; ``KeyError``: it is no move at all.
    """
    said = {"move": _NAMES[type(move)]} | to_json(move)
    _adapter(type(move)).validate_json(json.dumps(said, allow_nan=False))
    return said


def move_from_json(data: wire.JsonObject) -> Move:
    """Return a move.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    kind = _MOVES.get(str(data.get("move")))
    if kind is None:
        raise DeskhandError(Code.STORE_DAMAGED, "not a move")
    return from_json(kind, data)


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)

"""The rows of a journal as values, and the JSON spelling of moves and results in them.

Refuses to read what it did not write: a row of another shape is ``store_damaged``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal, assert_never

from deskhand.errors import Code, DeskhandError
from deskhand.ports import (
    Ask,
    CheckWish,
    Done,
    Effect,
    GiveUp,
    Move,
    Spent,
    ToolCall,
    ToolResult,
    Wishes,
)
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, PlanItem
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
    """An attempt as the journal knows it. ``place`` is the directory made for its results, if one was."""

    key: AttemptKey
    brief: Brief
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


def step_key(task: str, n: int, arguments: Json) -> str:
    """Return what binds a step's result to its wish: task, number and arguments."""
    return sha256_of([task, n, hashable(arguments)])


def hashable(value: Json) -> Json:
    """Spell floats as text, because a float has no canonical spelling."""
    match value:
        case float():
            return repr(value)
        case list():
            return [hashable(item) for item in value]
        case dict():
            return {name: hashable(item) for name, item in value.items()}
        case _:
            return value


def call_to_json(call: ToolCall) -> JsonObject:
    """Return a tool wish as JSON."""
    return {"tool": call.tool, "arguments": call.arguments, "title": call.title}


def call_from_json(data: Json) -> ToolCall:
    """Return a tool wish.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    match data:
        case {"tool": str(tool), "arguments": dict(arguments), "title": str(title)}:
            return ToolCall(tool=tool, arguments=arguments, title=title)
        case _:
            raise DeskhandError(Code.STORE_DAMAGED, "not a wish")


def move_to_json(move: Move) -> JsonObject:
    """Return a move as JSON, with what was said beside it and what thinking of it cost."""
    more: JsonObject = {"say": move.say}
    if move.spent:
        more["spent"] = asdict(move.spent)
    if isinstance(move, (Wishes, Done)) and move.plan is not None:
        more["plan"] = [item.to_json() for item in move.plan]
    return _move_to_json(move) | more


def _move_to_json(move: Move) -> JsonObject:
    match move:
        case Wishes():
            calls: list[Json] = [call_to_json(call) for call in move.calls]
            return {"move": "wishes", "calls": calls, "criteria": list(move.criteria)}
        case Ask():
            return {"move": "ask", "text": move.text, "choices": list(move.choices)}
        case Done():
            checks: list[Json] = [
                {"name": check.name, "call": call_to_json(check.call)} for check in move.checks
            ]
            named: list[Json] = list(move.outputs)
            return {"move": "done", "summary": move.summary, "outputs": named, "checks": checks}
        case GiveUp():
            return {"move": "give_up", "reasons": list(move.reasons)}
        case _:  # pragma: no cover - the type checker proves it
            assert_never(move)


def move_from_json(data: JsonObject) -> Move:
    """Return a move.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    move, plan = _move_from_json(data), data.get("plan")
    if isinstance(move, (Wishes, Done)) and isinstance(plan, list):
        move = replace(move, plan=tuple(map(PlanItem.from_json, plan)))
    return replace(move, say=str(data.get("say", "")), spent=spent_from_json(data.get("spent")))


def spent_from_json(data: Json) -> Spent | None:
    """Return what was spent, if anything was noted."""
    match data:
        case {"model": str(model), "input_tokens": int(sent), "output_tokens": int(said)}:
            usd = data.get("usd")
            usd = usd if isinstance(usd, str) else None
            return Spent(model=model, input_tokens=sent, output_tokens=said, usd=usd)
        case _:
            return None


def _move_from_json(data: JsonObject) -> Move:
    match data:
        case {"move": "wishes", "calls": list(calls)}:
            criteria = data.get("criteria")
            return Wishes(
                calls=tuple(map(call_from_json, calls)),
                criteria=tuple(map(str, criteria)) if isinstance(criteria, list) else (),
            )
        case {"move": "ask", "text": str(question), "choices": list(choices)}:
            return Ask(text=question, choices=tuple(map(str, choices)))
        case {"move": "done", "summary": str(said), "outputs": list(named), "checks": list(checks)}:
            outputs, wishes = tuple(map(str, named)), tuple(map(_check, checks))
            return Done(summary=said, outputs=outputs, checks=wishes)
        case {"move": "give_up", "reasons": list(reasons)}:
            return GiveUp(reasons=tuple(map(str, reasons)))
        case _:
            raise DeskhandError(Code.STORE_DAMAGED, "not a move")


def result_to_json(result: ToolResult) -> JsonObject:
    """Return a tool result as JSON."""
    return {"outcome": result.outcome, "value": result.value, "text": result.text}


def result_from_json(data: JsonObject) -> ToolResult:
    """Return a tool result.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    match data:
        case {
            "outcome": "ok" | "error" | "denied" | "unknown" as outcome,
            "value": dict(value),
            "text": str(said),
        }:
            return ToolResult(outcome=outcome, value=value, text=said)
        case _:
            raise DeskhandError(Code.STORE_DAMAGED, "not a result")


def _check(data: Json) -> CheckWish:
    match data:
        case {"name": str(name), "call": call}:
            return CheckWish(name=name, call=call_from_json(call))
        case _:
            raise DeskhandError(Code.STORE_DAMAGED, "not a check")

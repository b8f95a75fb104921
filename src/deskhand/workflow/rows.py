"""The rows of an attempt as values, and the attempt as a fold of them: pure, the same after a crash as before it.

Resuming is reading the rows and asking what comes next; there is no other recovery path. It refuses rows that do not
follow each other, to read what it did not write (a row of another shape is ``store_damaged``), and to count what nobody
knows: tokens whose price is unknown make the whole price unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import cache, reduce
from typing import Final, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from deskhand.core.settings import effective
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.rules import together
from deskhand.ports import Ask, Done, Effect, GiveUp, Move, Spent, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, Budget, Check, Instructions, Label, Money, PlanItem, Usage
from deskhand.protocol.wire import Json, JsonObject, sha256_of

T = TypeVar("T")
StepKind = Literal["move", "tool", "check", "wait"]
Status = Literal["open", "finished", "canceled", "superseded"]

_MOVES: Final = {"wishes": Wishes, "ask": Ask, "done": Done, "give_up": GiveUp}
"""The name of each kind of move in a row."""
_NAMES: Final = {kind: name for name, kind in _MOVES.items()}
LIMITS: Final = ("steps", "tokens", "money", "minutes")
NOTED_SHARE: Final = Decimal("0.8")
ONE: Final = Decimal(1)
_USD_MAX: Final = 1_000_000
_CENT_PARTS: Final = Decimal("0.000001")
_TRIED_CHARS: Final = 100
_WALLS: Final = frozenset({Code.PATH_REFUSED, Code.PROTECTED_NAME, Code.ADDRESS_REFUSED, Code.FOLDER_REFUSED})
"""Errors of tools that are denials, too."""
_TOGETHER: Final[Mapping[tuple[str | None, str], str | None]] = {
    ("created", "changed"): "created",
    ("created", "deleted"): None,
    ("deleted", "created"): "changed",
}
"""What two differences of one file come to, seen from before both; any other pair is its second."""


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
    key: AttemptKey
    op: Op


def step_key(task: str, n: int, arguments: Json) -> str:
    """Return what binds a step's result to its wish: task, number and arguments."""
    return sha256_of([task, n, hashable(arguments)])


def hashable(value: Json) -> Json:
    """Spell floats as text, because a float has no canonical spelling."""
    return json.loads(json.dumps(value), parse_float=str, parse_constant=str)


def to_json(value: object) -> JsonObject:
    """Return a wish, a result or what was spent as JSON."""
    said: object = _adapter(type(value)).dump_python(value, mode="json", warnings=False)
    return cast("JsonObject", said)


def from_json(kind: type[T], data: Json) -> T:
    """Return a value of this kind; what else a row holds beside it does not matter.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as error:
        raise DeskhandError(Code.STORE_DAMAGED, f"not a {kind.__name__}") from error


def move_to_json(move: Move) -> JsonObject:
    """Return a move as JSON, with what was said beside it and what thinking of it cost.

    Raises:
        ValueError: it would not come back as it is; ``KeyError``: it is no move at all.
    """
    said = {"move": _NAMES[type(move)]} | to_json(move)
    _adapter(type(move)).validate_json(json.dumps(said, allow_nan=False))
    return said


def move_from_json(data: JsonObject) -> Move:
    """Return a move.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    kind = _MOVES.get(str(data.get("move")))
    if kind is None:
        raise DeskhandError(Code.STORE_DAMAGED, "not a move")
    return from_json(kind, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was used: uses of tools, moves, tokens, dollars as far as they are known, and time at work."""

    steps: int = 0
    moves: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal | None = Decimal(0)
    worked_ms: int = 0
    model: str | None = None

    def plus(self, spent: Spent | None) -> Spending:
        """Return it with what one more thought cost."""
        if spent is None:
            return self
        usd = _usd(spent.usd)
        return replace(
            self,
            input_tokens=self.input_tokens + spent.input_tokens,
            output_tokens=self.output_tokens + spent.output_tokens,
            usd=None if usd is None or self.usd is None else self.usd + usd,
            model=spent.model,
        )

    @property
    def usage(self) -> Usage:
        """Return it as everybody sees it."""
        priced = self.usd is not None and self.model is not None
        return Usage(
            steps=self.steps,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            money=Money(amount=shown(self.usd or Decimal(0), _CENT_PARTS), currency="USD") if priced else None,
        )

    @property
    def by_name(self) -> Mapping[str, Decimal]:
        """Return what was used of each limit; what is not known is absent."""
        used = {
            "steps": Decimal(max(self.steps, self.moves)),
            "tokens": Decimal(self.input_tokens + self.output_tokens),
            "minutes": Decimal(self.worked_ms) / 60_000,
        }
        return used if self.usd is None else used | {"money": self.usd}


@dataclass(frozen=True, slots=True, kw_only=True)
class Yes:
    """A recorded yes that has not been used: for one approval, for exactly one action; or for none, if it is void."""

    approval: str
    action_sha256: str
    void: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptState:
    """What the rows of an attempt add up to, and so what comes next: a pure function of them.

    ``move`` is the present move, none when the agent is to be asked, and ``results`` what its calls came to so far; ``open`` is an intent without a
    result, ``waiting`` a wait for a person that is not over; ``changes`` says how each file differs (path ->
    created, changed or deleted) from before the task; ``heard`` is the seq of the last steering; ``acted`` whether
    anything was done that could have an effect; ``idle`` how many turns brought nothing that was not ``seen``;
    ``noted`` and ``times`` stand for the limits: of which was told that
    they are near, and how often they were granted; ``stopped`` is a person's word that they were not;
    ``label`` what was read, which only grows; ``asked`` when a yes was asked for and ``denied`` what was tried in vain, since
    a person let it go on.
    """

    next_n: int = 0
    turns: tuple[Turn, ...] = ()
    move: Move | None = None
    results: tuple[ToolResult, ...] = ()
    open: Step | None = None
    waiting: Step | None = None
    yes: Yes | None = None
    grants: frozenset[str] = frozenset()
    checks: tuple[Check, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    tries: int = 1
    unknown: int = 0
    heard: int = 0
    acted: bool = False
    plan: tuple[PlanItem, ...] = ()
    criteria: tuple[str, ...] = ()
    instructions: Instructions | None = None
    seen: frozenset[int] = frozenset()
    idle: int = 0
    asked: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    spending: Spending = field(default_factory=Spending)
    noted: frozenset[str] = frozenset()
    times: int = 1
    stopped: bool = False
    label: Label = field(default_factory=Label)

    @property
    def steps(self) -> int:
        """Return how many wishes have a result."""
        return self.spending.steps


def fold(steps: Iterable[Step]) -> AttemptState:
    """Return what these rows, in order of their number, add up to.

    Raises:
        DeskhandError: ``store_damaged`` when they do not follow each other.
    """
    return reduce(apply, steps, AttemptState())


def apply(state: AttemptState, step: Step) -> AttemptState:
    """Return the state after one more row, or after the result of the open one.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    pending = state.open or state.waiting
    if step.n != (pending.n if pending else state.next_n):
        raise DeskhandError(Code.STORE_DAMAGED, f"step {step.n} does not follow")
    worked = step.wish.get("worked")
    if pending is None and isinstance(worked, int):
        spending = replace(state.spending, worked_ms=state.spending.worked_ms + worked)
        state = replace(state, spending=spending)
    read = [one["label"] for one in (step.wish, step.result) if one and "label" in one]
    label = together(state.label, *map(Label.from_json, read)) if read else state.label
    state = replace(state, next_n=step.n + 1, label=label)
    return _FOLDS[step.kind](state, step)


def with_steering(turns: Sequence[Turn], said: Sequence[str]) -> tuple[Turn, ...]:
    """Return the turns with what a person said since attached to the last one."""
    if not said or not turns:
        return tuple(turns)
    last = replace(turns[-1], steering=(*turns[-1].steering, *said))
    return (*turns[:-1], last)


def limits_of(budget: Budget | None, setting: Callable[[str], Json], *, times: int) -> dict[str, Decimal]:
    """Return the limits of a task, ``times`` as high as they began: its own, else the account's; 0 is none."""
    own = {} if budget is None else budget.to_json()
    own |= {} if budget is None or budget.money is None else {"money": budget.money.amount}
    limits: dict[str, Decimal] = {}
    for name in LIMITS:
        key, stored = f"budget.{name}", setting(f"budget.{name}")
        account = effective({} if stored is None else {key: stored}, key)
        limits[name] = Decimal(str(own.get(name, account))) * times
    return {name: limit for name, limit in limits.items() if limit}


def reached(spending: Spending, limits: Mapping[str, Decimal], share: Decimal) -> list[str]:
    """Return the limits of which this share is used up."""
    used = spending.by_name
    return [name for name, limit in limits.items() if used.get(name, Decimal(0)) >= limit * share]


def shown(amount: Decimal, least: Decimal = Decimal("0.01")) -> str:
    """Return an amount for a person: no more digits than it needs."""
    return f"{amount.quantize(least).normalize():f}"


def _moved(state: AttemptState, step: Step) -> AttemptState:
    wish, move = step.wish, move_from_json(step.result or {})
    heard, heard_to, noted = wish.get("heard"), wish.get("heard_to"), wish.get("noted")
    if isinstance(heard, list) and isinstance(heard_to, int):
        turns = with_steering(state.turns, list(map(str, heard)))
        state = replace(state, turns=turns, heard=max(state.heard, heard_to), idle=0)
    if isinstance(noted, list):
        state = replace(state, noted=state.noted | set(map(str, noted)))
    if "instructions" in wish:
        state = replace(state, instructions=Instructions.from_json(wish["instructions"]))
    if isinstance(move, (Wishes, Done)) and move.plan not in (None, state.plan):
        state = replace(state, plan=move.plan, idle=-1)
    if isinstance(move, Wishes) and move.criteria:
        state = replace(state, criteria=move.criteria)
    spending = replace(state.spending.plus(move.spent), moves=state.spending.moves + 1)
    return _closed_if_complete(replace(state, move=move, results=(), spending=spending))


def _used(state: AttemptState, step: Step) -> AttemptState:
    acted = state.acted or step.effect not in (None, "pure")
    if step.result is None:
        return replace(state, open=step, yes=None, acted=acted)
    result = from_json(ToolResult, step.result)
    wall = result.value.get("rule", result.value.get("code"))
    tried = (_tried(step),) if wall in _WALLS or (result.outcome == "denied" and wall != "unknown_tool") else ()
    state = replace(
        state,
        open=None,
        yes=None,
        denied=state.denied + tried,
        changes=_differing(state.changes, step.result.get("changes")),
        unknown=state.unknown + (result.outcome == "unknown"),
        acted=acted,
    )
    return _resulted(state, result)


def _tried(step: Step) -> str:
    """Return the beginning of a wish in its own words, for whoever is told of it."""
    call = from_json(ToolCall, step.wish.get("call"))
    return " ".join((call.tool, *map(str, call.arguments.values())))[:_TRIED_CHARS]


def _resulted(state: AttemptState, result: ToolResult) -> AttemptState:
    """Return the state with what the next wish came to."""
    spending = replace(state.spending, steps=state.steps + 1)
    results = (*state.results, result)
    return _closed_if_complete(replace(state, results=results, spending=spending))


def _differing(before: Mapping[str, str], said: Json) -> Mapping[str, str]:
    """Return how files differ after what a tool changed."""
    found: dict[str, str | None] = dict(before)
    for path, kind in said.items() if isinstance(said, dict) else ():
        found[path] = _TOGETHER.get((found.get(path), str(kind)), str(kind))
    return {path: kind for path, kind in found.items() if kind is not None}


def _waited(state: AttemptState, step: Step) -> AttemptState:
    if state.waiting is None and "grant" in step.wish:
        state = replace(state, asked=(*state.asked, step.at))
    if step.result is None:
        return replace(state, waiting=step, yes=None)
    state = replace(state, waiting=None)
    if "limits" in step.wish:
        what = next((one for one in ("asked", "denied") if one in step.wish), "times")
        return _let_on(state, what, step.result.get("more"))
    if isinstance(state.move, Ask):
        return _closed(state, answer=str(step.result.get("answer", "")))
    if step.result.get("decision") == "allow":
        said = {name: str(step.result.get(name, "")) for name in ("action_sha256", "void")}
        yes = Yes(approval=step.ref or "", **said)
        grant = step.wish.get("grant") if step.result.get("scope") == "task" else None
        grants = state.grants | {grant} if isinstance(grant, str) else state.grants
        return replace(state, yes=yes, grants=grants)
    said = str(step.result.get("text", ""))
    return _resulted(state, ToolResult(outcome="denied", value={}, text=said))


def _let_on(state: AttemptState, what: str, more: Json) -> AttemptState:
    """Take in a person's word about a limit: of what may be used, or of how often may be asked or be refused."""
    if more is not True:
        return replace(state, stopped=more is False)
    if what == "times":
        return replace(state, times=state.times + 1, noted=frozenset())
    return replace(state, asked=()) if what == "asked" else replace(state, denied=())


def _checked(state: AttemptState, step: Step) -> AttemptState:
    """Note a check; or that they begin anew, for a further try or a person's word."""
    if spent := step.wish.get("spent"):
        state = replace(state, spending=state.spending.plus(from_json(Spent, spent)))
    if "judged" in step.wish:
        return state
    if not step.wish.keys() & {"retry", "heard", "anew"}:
        return replace(state, checks=(*state.checks, Check.from_json(step.result)))
    failed = tuple(
        ToolResult(outcome="error", value={"check": check.name}, text=check.evidence)
        for check in state.checks
        if not check.passed
    )
    state = replace(state, checks=())
    if "anew" in step.wish:
        return state
    return _closed(replace(state, results=failed, tries=state.tries + ("retry" in step.wish)))


def _closed_if_complete(state: AttemptState) -> AttemptState:
    wishes = len(state.move.calls) if isinstance(state.move, Wishes) else 0
    if len(state.results) > wishes:
        raise DeskhandError(Code.STORE_DAMAGED, "a result without a wish")
    complete = isinstance(state.move, Wishes) and len(state.results) == wishes
    return _closed(state) if complete else state


def _closed(state: AttemptState, *, answer: str | None = None) -> AttemptState:
    if state.move is None:
        raise DeskhandError(Code.STORE_DAMAGED, "a result without a move")
    turn = Turn(move=state.move, results=state.results, answer=answer)
    new = _news(turn) - state.seen
    idle = 0 if new or not isinstance(turn.move, Wishes) else state.idle + 1
    seen = state.seen | new
    return replace(state, turns=(*state.turns, turn), move=None, results=(), seen=seen, idle=idle)


def _news(turn: Turn) -> frozenset[int]:
    """Return what a turn brought, as far as it can be told apart: each wish with its result."""
    calls = turn.move.calls if isinstance(turn.move, Wishes) else ()
    came = zip(calls, turn.results, strict=False)
    return frozenset(
        hash((call.tool, repr(call.arguments), result.outcome, result.text, repr(result.value)))
        for call, result in came
    )


def _usd(said: str | None) -> Decimal | None:
    """Return a price that somebody named, if it can be one."""
    with suppress(InvalidOperation):  # also what no number can be compared with
        if said is not None and 0 <= (usd := Decimal(said)) < _USD_MAX:
            return usd
    return None


_FOLDS: Final[Mapping[StepKind, Callable[[AttemptState, Step], AttemptState]]] = {
    "move": _moved,
    "tool": _used,
    "wait": _waited,
    "check": _checked,
}


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)

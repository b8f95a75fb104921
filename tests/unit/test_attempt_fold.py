"""An attempt as a fold of its rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, CheckWish, Done, GiveUp, Move, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol.tasks import Check
from deskhand.protocol.wire import JsonObject
from deskhand.workflow.rows import (
    AttemptState,
    Step,
    StepKind,
    Yes,
    fold,
    from_json,
    hashable,
    move_from_json,
    move_to_json,
    step_key,
    to_json,
    with_steering,
)

CALL = ToolCall(tool="read_file", arguments={"path": "a.md"}, title="read a.md")
TWO = Wishes(calls=(CALL, CALL), say="Reading.")
OK = ToolResult(outcome="ok", value={"lines": ["x"]}, text="x")
MOVES: list[Move] = [
    TWO,
    Ask(text="Which?", choices=("a", "b")),
    Done(summary="x", outputs=("r.md",), checks=(CheckWish(name="c", call=CALL),)),
    GiveUp(reasons=("no notes",)),
]


def rows(*parts: tuple[StepKind, JsonObject, JsonObject | None]) -> list[Step]:
    """Return rows numbered from 0."""
    return [
        Step(n=n, kind=kind, key="k", wish=wish, at="t", result=result, ref=f"ref_{n}")
        for n, (kind, wish, result) in enumerate(parts)
    ]


def moved(move: Move) -> tuple[StepKind, JsonObject, JsonObject | None]:
    """Return the row of a move."""
    return ("move", {}, move_to_json(move))


USED: tuple[StepKind, JsonObject, JsonObject | None] = ("tool", {}, to_json(OK))


@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
def test_a_move_comes_back_from_its_row_as_it_was(move: Move) -> None:
    """Nothing of a move is lost by a restart."""
    assert move_from_json(move_to_json(move)) == move


def test_a_new_attempt_thinks() -> None:
    """Without rows the agent is asked first."""
    assert fold([]).move is None


def test_results_fill_a_move_until_it_is_a_turn() -> None:
    """The next wish is the one without a result; after the last one the agent is asked again."""
    half, whole = fold(rows(moved(TWO), USED)), fold(rows(moved(TWO), USED, USED))

    assert (half.move, half.results, half.open, half.waiting) == (TWO, (OK,), None, None)
    assert whole.move is None
    assert whole.turns == (Turn(move=TWO, results=(OK, OK)),)
    assert whole.steps == 2


def test_an_intent_without_a_result_is_to_be_resolved() -> None:
    """A crash left it: what follows depends on its class, not on hope."""
    steps = rows(moved(TWO), ("tool", {}, None))

    assert (fold(steps).move, fold(steps).open) == (TWO, steps[1])


def test_an_open_wait_is_waited_for_and_a_yes_is_for_its_action_alone() -> None:
    """The recorded yes lasts until the next row of a tool or wait."""
    asked = rows(moved(TWO), ("wait", {"grant": "g"}, None))
    given: JsonObject = {"decision": "allow", "scope": "task", "action_sha256": "h"}
    allowed = fold([asked[0], replace(asked[1], result=given)])
    used = fold([asked[0], replace(asked[1], result=given), *rows(USED, USED, USED)[2:]])

    assert fold(asked).waiting == asked[1]
    assert (allowed.yes, allowed.grants) == (Yes(approval="ref_1", action_sha256="h"), frozenset({"g"}))
    assert used.yes is None


def test_a_yes_for_once_grants_nothing_further() -> None:
    """Scope once covers one action."""
    given: JsonObject = {"decision": "allow", "scope": "once", "action_sha256": "h"}

    assert fold(rows(moved(TWO), ("wait", {"grant": "g"}, given))).grants == frozenset()


def test_a_no_is_the_result_of_the_wish() -> None:
    """The agent goes on with what was refused as a result."""
    state = fold(rows(moved(TWO), ("wait", {}, {"decision": "deny", "text": "no"})))

    assert state.results == (ToolResult(outcome="denied", value={}, text="no"),)


def test_an_answer_closes_the_turn_of_its_question() -> None:
    """The agent finds it in history."""
    ask = MOVES[1]
    state = fold(rows(moved(ask), ("wait", {}, {"answer": "b"})))

    assert state.turns == (Turn(move=ask, answer="b"),)


def test_what_the_agent_says_is_followed() -> None:
    """Each kind of move stands until it has come to something."""
    stands = [fold(rows(moved(move))).move for move in MOVES]

    assert stands == MOVES


def test_a_retry_begins_a_new_try_with_the_failed_checks_as_feedback() -> None:
    """What passed is not mentioned; the old checks no longer stand for the result."""
    good = Check(name="a", passed=True).to_json()
    bad = Check(name="b", passed=False, evidence="4 of 5").to_json()
    state = fold(rows(moved(MOVES[2]), ("check", {}, good), ("check", {}, bad), ("check", {"retry": True}, {})))

    assert (state.tries, state.checks) == (2, ())
    assert state.turns[0].results == (ToolResult(outcome="error", value={"check": "b"}, text="4 of 5"),)


def test_effects_in_doubt_are_counted() -> None:
    """The verdict depends on them."""
    unknown = to_json(ToolResult(outcome="unknown", value={}))

    assert fold(rows(moved(TWO), ("tool", {}, unknown))).unknown == 1


def test_steering_that_was_heard_belongs_to_the_turn_before() -> None:
    """The row of the next move remembers what the agent had heard."""
    heard: JsonObject = {"heard": ["shorter"], "heard_to": 7}
    state = fold(rows(moved(TWO), USED, USED, ("move", heard, move_to_json(MOVES[3]))))

    assert (state.turns[0].steering, state.heard) == (("shorter",), 7)


def test_steering_needs_a_turn_to_belong_to() -> None:
    """Before the first turn there is nothing to attach it to."""
    assert with_steering((), ("x",)) == ()


@pytest.mark.parametrize(
    "steps",
    [
        [replace(row, n=1) for row in rows(moved(TWO))],
        rows(("wait", {}, {"decision": "allow"}), ("check", {"retry": True}, {})),
        rows(moved(TWO), USED, USED, USED),
        rows(("move", {}, {"move": "dance"})),
        rows(("move", {}, {"move": 7})),
        rows(("move", {}, {"move": "ask", "text": "x", "choices": "y"})),
        rows(("move", {}, {"move": "wishes", "say": "", "calls": [7]})),
    ],
    ids=["gap", "no move", "no wish", "unknown move", "no kind", "no list", "no object"],
)
def test_rows_that_cannot_be_are_damage(steps: list[Step]) -> None:
    """What nobody wrote like this is not guessed at."""
    with pytest.raises(DeskhandError) as refused:
        fold(steps)

    assert refused.value.code is Code.STORE_DAMAGED


def test_a_result_of_an_unknown_kind_is_damage() -> None:
    """An outcome nobody knows is not taken for a good one."""
    with pytest.raises(DeskhandError, match="damaged"):
        from_json(ToolResult, {"outcome": "perfect", "value": {}, "text": ""})


def test_a_key_binds_task_number_and_arguments() -> None:
    """Any of them different, and the result belongs to something else; floats are no obstacle."""
    key = step_key("tsk_1", 3, {"x": 0.5, "y": [1.5]})

    assert key == step_key("tsk_1", 3, {"y": [1.5], "x": 0.5})
    assert key not in {
        step_key("tsk_2", 3, {"x": 0.5, "y": [1.5]}),
        step_key("tsk_1", 4, {"x": 0.5, "y": [1.5]}),
        step_key("tsk_1", 3, {"x": 0.6, "y": [1.5]}),
    }
    assert hashable({"a": [0.1]}) == {"a": ["0.1"]}


def test_an_empty_state_has_one_try() -> None:
    """The first try is number one."""
    assert AttemptState().tries == 1

"""What is counted against limits, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.usage import RequestUsage

from deskhand.agents.builtin.agent import Offer
from deskhand.agents.builtin.thinking import spent_on
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Done, Spent
from deskhand.protocol.ops import MessagePost
from deskhand.protocol.tasks import Budget
from deskhand.protocol.wire import Json, JsonObject
from deskhand.workflow.rows import Spending, Step, fold, limits_of, move_to_json, reached


def _settings(**known: int) -> Callable[[str], Json]:
    def setting(name: str) -> Json:
        return known.get(name.removeprefix("budget."))

    return setting


def test_a_price_that_is_unknown_once_makes_the_whole_unknown() -> None:
    """What nobody knows is never counted as nothing."""
    known = Spending().plus(Spent(model="a", input_tokens=5, usd="0.25"))
    unknown = known.plus(Spent(model="b", input_tokens=5)).plus(Spent(model="a", usd="1"))

    assert known.usd == Decimal("0.25")
    assert (unknown.usd, unknown.usage.money, unknown.input_tokens) == (None, None, 10)
    assert reached(unknown, {"money": Decimal("0.01")}, Decimal(1)) == []


@pytest.mark.parametrize("usd", ["NaN", "Infinity", "-1", "1e9", "free", ""])
def test_a_price_that_is_none_is_unknown(usd: str) -> None:
    """An agent is a guest: what it calls a price may be anything."""
    assert Spending().plus(Spent(model="a", usd=usd)).usd is None


def test_limits_are_the_tasks_else_the_accounts_and_none_is_zero() -> None:
    """A limit of a task may be narrower or wider than the account's: only the owner can set one."""
    budget = Budget.from_json({"steps": 7, "tokens": 0, "money": {"amount": "0.50"}})

    limits = limits_of(budget, _settings(minutes=3, tokens=9), times=2)

    assert limits == {"steps": 14, "money": Decimal("1.00"), "minutes": 6}


def test_time_is_counted_where_it_was_worked_and_not_where_somebody_was_waited_for() -> None:
    """The rows say how long was worked; days between a question and its answer are in none of them."""
    spent: JsonObject = {"turn": 0, "worked": 61_000}
    move = move_to_json(Done(summary="x"))
    wait: JsonObject = {"question": {}, "limits": ["on", "off"], "worked": 30_000}
    rows = [
        Step(n=0, kind="wait", key="k", wish=wait, at="2026-01-01", result={"more": True}),
        Step(n=1, kind="move", key="k", wish=spent, at="2026-01-09", result=move),
    ]

    state = fold(rows)

    assert state.spending.by_name["minutes"] == Decimal(91) / 60
    assert (state.times, state.stopped) == (2, False)


@pytest.mark.parametrize(
    "budget",
    [
        {"step": 5},
        {"steps": -1},
        {"steps": "5"},
        {"tokens": 1.5},
        {"money": {"amount": "a lot"}},
        {"money": {"amount": "-1"}},
        {"money": {"amount": "1", "currency": "KRW"}},
        {"minutes": True},
    ],
)
def test_a_budget_that_means_nothing_is_refused_by_name(budget: dict[str, object]) -> None:
    """A limit that nobody watches would be worse than an error."""
    with pytest.raises(DeskhandError) as caught:
        MessagePost.from_json({"text": "x", "budget": budget})

    assert caught.value.code is Code.INVALID
    assert str(caught.value.field).startswith("budget.")


def test_the_price_of_a_known_model_is_counted_and_of_another_said_to_be_unknown() -> None:
    """Prices come from the provider's list by the model's name."""
    usage = RequestUsage(input_tokens=1_000_000, output_tokens=0)
    known = ModelResponse(parts=[TextPart("x")], usage=usage, model_name="gpt-4o", provider_name="openai")
    other = ModelResponse(parts=[TextPart("x")], usage=usage, model_name="my-own-7b")
    choice = Offer(name="openai:gpt-4o")

    once, twice = spent_on(choice, [known]), spent_on(choice, [known, known])

    assert once.usd is not None
    assert twice.usd is not None
    assert Decimal(once.usd) > 0
    assert Decimal(twice.usd) == 2 * Decimal(once.usd)
    assert spent_on(choice, [known, other, known]).usd is None

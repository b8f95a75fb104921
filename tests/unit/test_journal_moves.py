"""Moves in the journal: what is written of a move is what a later process reads of it."""

from __future__ import annotations

import json
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from deskhand.ports import Ask, CheckWish, Done, GiveUp, Move, Spent, ToolCall, Wishes
from deskhand.protocol.tasks import PlanItem
from deskhand.protocol.wire import JsonObject
from deskhand.workflow.rows import move_from_json, move_to_json

_TEXT = st.text(max_size=20)
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
_SPENT = st.none() | st.builds(
    Spent, model=_TEXT, input_tokens=st.integers(0, 9), output_tokens=st.integers(0, 9), usd=st.none() | _TEXT
)
_CALL = st.builds(ToolCall, tool=_TEXT, arguments=st.dictionaries(_TEXT, _TEXT | st.none()), title=_TEXT)
_PLAN = st.none() | st.lists(st.builds(PlanItem, text=_TEXT, done=st.booleans()), max_size=3).map(tuple)
_MOVE = st.one_of(
    st.builds(
        Wishes, calls=st.lists(_CALL, max_size=3).map(tuple), say=_TEXT, plan=_PLAN, criteria=_TEXTS, spent=_SPENT
    ),
    st.builds(Ask, text=_TEXT, choices=_TEXTS, say=_TEXT, spent=_SPENT),
    st.builds(
        Done,
        summary=_TEXT,
        outputs=_TEXTS,
        checks=st.lists(st.builds(CheckWish, name=_TEXT, call=_CALL), max_size=2).map(tuple),
        plan=_PLAN,
        say=_TEXT,
        spent=_SPENT,
    ),
    st.builds(GiveUp, reasons=_TEXTS, say=_TEXT, spent=_SPENT),
)


@given(move=_MOVE)
def test_a_move_comes_back_from_the_journal_as_it_was(move: Move) -> None:
    """Plan, criteria and what thinking cost are in the row like the rest: a crash between two moves loses none."""
    row = json.dumps(move_to_json(move))

    assert move_from_json(cast("JsonObject", json.loads(row))) == move


def test_a_row_of_an_older_version_still_reads() -> None:
    """A move written before there were plans and criteria has none."""
    row: JsonObject = {"move": "wishes", "say": "", "calls": []}

    assert move_from_json(row) == Wishes(calls=())

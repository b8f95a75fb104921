"""What a model's answer comes to: one move, with every word it said."""

from __future__ import annotations

import pytest
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart

from deskhand.agents.builtin.thinking import CALLS_MAX, OWN, move_of
from deskhand.ports import Ask, Done, GiveUp, Move, Wishes
from deskhand.protocol.tasks import PlanItem


def _response(*calls: tuple[str, object], say: str = "", **more: object) -> ModelResponse:
    parts = [TextPart(say)] if say else []
    asked = [ToolCallPart(name, args) for name, args in calls]  # pyright: ignore[reportArgumentType] - also what no model should say
    return ModelResponse(parts=[*parts, *asked], **more)  # pyright: ignore[reportArgumentType] - whatever a test names


def test_a_plain_answer_is_the_end() -> None:
    """Text without a call answers the question: no outputs, nothing to check (A-08)."""
    assert move_of(_response(say="It is Tuesday.")) == Done(summary="It is Tuesday.")


def test_a_plan_goes_along_with_the_first_look() -> None:
    """Criteria and checklist come with other calls of the same answer, and are no wish of their own (A-08)."""
    plan = {"criteria": ["Both sums are in it"], "steps": [{"text": "Read", "done": True}, "Write"]}

    move = move_of(_response(("set_plan", plan), ("read_file", {"path": "a.md"}), say="I begin."))

    assert isinstance(move, Wishes)
    assert [call.tool for call in move.calls] == ["read_file"]
    assert move.criteria == ("Both sums are in it",)
    assert move.plan == (PlanItem(text="Read", done=True), PlanItem(text="Write"))
    assert move.say == "I begin."


def test_a_plan_alone_is_a_move() -> None:
    """Nothing is wished for, and the person sees the plan."""
    move = move_of(_response(("set_plan", {"steps": ["Read"]})))

    assert move == Wishes(calls=(), plan=(PlanItem(text="Read"),))


def test_the_last_ticks_come_with_the_end() -> None:
    """A checklist that is finished together with the task is not lost."""
    steps = {"steps": [{"text": "Read", "done": True}]}

    move = move_of(_response(("set_plan", steps), ("finish", {"summary": "Done."})))

    assert move == Done(summary="Done.", plan=(PlanItem(text="Read", done=True),))


def test_work_comes_before_the_end_that_was_claimed_with_it() -> None:
    """A model that writes and finishes in one breath has not seen the result: the writing counts, the end does not."""
    calls = (("write_file", {"path": "a.md"}), ("finish", {"summary": "Done."}))

    move = move_of(_response(*calls))

    assert isinstance(move, Wishes)
    assert [call.tool for call in move.calls] == ["write_file"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            ("ask_person", {"text": "Which one?", "choices": ["A", "B"]}),
            Ask(text="Which one?", choices=("A", "B"), say="I found two."),
        ),
        (
            ("finish", {"summary": "Both are summed up.", "outputs": ["a.md"]}),
            Done(summary="Both are summed up.", outputs=("a.md",), say="I found two."),
        ),
        (("finish", {"summary": ""}), Done(summary="I found two.")),
        (("ask_person", {"text": ""}), Ask(text="I found two.")),
        (("give_up", {"reasons": ["No notes."]}), GiveUp(reasons=("No notes.",), say="I found two.")),
        (("give_up", {"reasons": "No notes."}), GiveUp(reasons=("No notes.",), say="I found two.")),
    ],
)
def test_what_is_said_beside_a_call_reaches_the_person(call: tuple[str, object], expected: Move) -> None:
    """Every text goes with the move, never said twice (A-10)."""
    assert move_of(_response(call, say="I found two.")) == expected


def test_giving_up_without_a_reason_says_so() -> None:
    """There is always a reason to show."""
    assert move_of(_response(("give_up", {}))) == GiveUp(reasons=("The model gave up without a reason.",))


@pytest.mark.parametrize(
    "response",
    [
        ModelResponse(parts=[]),
        ModelResponse(parts=[ThinkingPart("Hmm.")]),
        _response(say="  \n"),
        _response(say="The first of", finish_reason="length"),
        _response(("read_file", '{"path": "a'), finish_reason="length"),
        _response(("ask_person", {})),
        _response(("set_plan", {"steps": "none"})),
    ],
)
def test_what_says_nothing_is_no_move(response: ModelResponse) -> None:
    """Thoughts, blanks and halves are asked for again, never believed."""
    assert move_of(response) is None


@pytest.mark.parametrize("arguments", ['{"path": ', "[1]", '"a.md"', "null"])
def test_arguments_that_are_no_object_are_handed_on(arguments: str) -> None:
    """The tool refuses them by name, and the model sees what it said."""
    move = move_of(_response(("read_file", arguments)))

    assert isinstance(move, Wishes)
    assert set(move.calls[0].arguments) <= {"malformed"}


def test_a_title_says_what_a_call_is_about() -> None:
    """Path, command or query: not the whole content of a file."""
    calls = (("write_file", {"content": "long " * 99, "path": "a.md"}), ("run_command", {"argv": ["wc", "-l", "a.md"]}))

    move = move_of(_response(*calls))

    assert isinstance(move, Wishes)
    assert [call.title for call in move.calls] == ["write file a.md", "run command wc -l a.md"]


def test_calls_of_one_answer_are_bounded() -> None:
    """A model that wishes for a thousand things at once gets the first ones."""
    move = move_of(_response(*[("read_file", {"path": str(n)}) for n in range(1000)]))

    assert isinstance(move, Wishes)
    assert len(move.calls) == CALLS_MAX


def test_every_tool_of_ours_says_what_it_needs() -> None:
    """Names, descriptions and required fields are there for each."""
    schemas = {tool.name: tool.parameters_json_schema for tool in OWN}

    assert set(schemas) == {"set_plan", "ask_person", "finish", "give_up"}
    assert all(set(each["required"]) <= set(each["properties"]) for each in schemas.values())
    assert all(tool.description for tool in OWN)

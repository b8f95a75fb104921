"""What a model is told: within its context, always whole, always the same; and where it works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart, UserPromptPart

from deskhand.agents.builtin.agent import Scene
from deskhand.agents.builtin.thinking import cut, fence, messages_of, size_of
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, Done, Move, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol.objects import FolderMode, Origin, Trust
from deskhand.protocol.tasks import Brief, ContextItem, FileRef, Instructions, PlanItem

SEOUL = timezone(timedelta(hours=9), "KST")
SCENE = Scene(
    now=datetime(2026, 11, 25, 8, 30, tzinfo=SEOUL), computer="laptop", root="/home/ana/Work", mode=FolderMode.WORKSPACE
)


def _brief(text: str = "Sum up the notes", **more: object) -> Brief:
    return Brief(
        task="tsk_1",
        thread="thr_1",
        epoch=1,
        title="Notes",
        text=text,
        agent="builtin",
        origin=Origin(surface="cli"),
        trust=Trust.OWNER,
        created_at="2026-11-25T01:00:00.000Z",
    ).but(**more)


_CALL = st.builds(
    ToolCall,
    tool=st.sampled_from(["read_file", "write_file"]),
    arguments=st.dictionaries(
        st.sampled_from(["path", "content", "rows"]),
        st.text(max_size=20) | st.just("글" * 4000) | st.lists(st.integers(), max_size=400),
    ),
    title=st.just("t"),
)
_RESULT = st.builds(
    ToolResult,
    outcome=st.sampled_from(["ok", "error", "denied", "unknown"]),
    value=st.just({}),
    text=st.text(max_size=30) | st.just("x" * 30_000) | st.just("메모 " * 8_000),
)


@st.composite
def _turns(draw: st.DrawFn) -> Turn:
    steering = tuple(draw(st.lists(st.text(min_size=1, max_size=200), max_size=2)))
    kind = draw(st.sampled_from(["wishes", "ask", "done"]))
    move: Move = Ask(text="Which?", choices=("a", "b"))
    if kind == "ask":
        return Turn(move=move, answer=draw(st.text(max_size=2000)), steering=steering)
    if kind == "done":
        failed = ToolResult(outcome="error", value={"check": "c"}, text="no " * 900)
        return Turn(move=Done(summary="s" * 500), results=(failed,), steering=steering)
    calls = tuple(draw(st.lists(_CALL, max_size=4)))
    plan = (PlanItem(text="Read"),) if draw(st.booleans()) or not calls else None
    results = tuple(draw(_RESULT) for _ in calls)
    return Turn(move=Wishes(calls=calls, say="I look.", plan=plan), results=results, steering=steering)


@given(
    history=st.lists(_turns(), max_size=25),
    bytes_max=st.integers(12_000, 400_000),
    text=st.text(max_size=50) | st.just("Very long. " * 9_000),
    language=st.sampled_from(["en", "ko"]),
)
def test_any_history_fits_and_no_call_is_parted_from_its_result(
    history: list[Turn], bytes_max: int, text: str, language: str
) -> None:
    """Whatever happened and however little fits: bounded, paired, begun by the opening, and the same again (A-01)."""
    told = messages_of(_brief(text), history, SCENE, bytes_max=bytes_max, language=language)
    again = messages_of(_brief(text), history, SCENE, bytes_max=bytes_max, language=language)

    opening = told[0]
    assert isinstance(opening, ModelRequest)
    assert opening.instructions
    assert sum(map(size_of, told)) + len(opening.instructions.encode()) <= bytes_max
    for said, answered in zip(told[1::2], told[2::2], strict=True):
        assert isinstance(said, ModelResponse)
        assert isinstance(answered, ModelRequest)
        assert _calls(said) == [part.tool_call_id for part in answered.parts if isinstance(part, ToolReturnPart)]
    if history:
        last = history[-1].move
        assert len(_calls(told[-2])) >= (len(last.calls) if isinstance(last, Wishes) else 1)
    assert _spelled(told) == _spelled(again)


def _calls(message: ModelMessage) -> list[str]:
    return [part.tool_call_id for part in message.parts if isinstance(part, ToolCallPart)]


def _spelled(told: list[ModelMessage]) -> str:
    return str([(message.kind, [part.part_kind for part in message.parts], size_of(message)) for message in told])


def _read(count: int, size: int) -> list[Turn]:
    return [
        Turn(
            move=Wishes(calls=(ToolCall(tool="read_file", arguments={"path": f"{n}.md"}, title="t"),)),
            results=(ToolResult(outcome="ok", value={}, text=f"file {n} " + "x" * size),),
            steering=(f"remark {n}",),
        )
        for n in range(count)
    ]


def _opening(told: list[ModelMessage]) -> str:
    part = told[0].parts[0]
    assert isinstance(part, UserPromptPart)
    return str(part.content)


def test_the_oldest_are_folded_first_and_say_how_to_see_them_again() -> None:
    """The last results stay whole; of the folded ones stands what they were, and the person's remarks."""
    told = messages_of(_brief(), _read(10, 9_000), SCENE, bytes_max=60_000)

    results = [
        str(part.content) for message in told[2::2] for part in message.parts if isinstance(part, ToolReturnPart)
    ]
    assert len(results) == 10
    assert results[0].startswith("file 0 x")
    assert "use the tool again" in results[0]
    assert len(results[0]) < 200
    assert len(results[-1]) > 9_000
    assert "remark 0" in str(told)


def test_what_a_person_said_outlives_the_turn_that_is_left_out() -> None:
    """Turns may have to go; what the person said in them does not."""
    told = messages_of(_brief(), _read(400, 500), SCENE, bytes_max=20_000)

    assert "earlier steps of yours are left out" in _opening(told)
    assert "remark 0" in _opening(told)
    assert len(told) < 400


def test_what_is_folded_stays_folded_for_a_while() -> None:
    """With each turn the beginning stays the same, mostly: a provider's cache of it is worth money."""
    whole = _read(60, 3_000)
    told = [messages_of(_brief(), whole[:n], SCENE, bytes_max=120_000) for n in range(40, 60)]

    kept = sum(_same_start(one, two) >= len(one) - 2 for one, two in pairwise(told))

    assert kept >= 12


def _same_start(one: list[ModelMessage], two: list[ModelMessage]) -> int:
    def parts(message: ModelMessage) -> list[str]:
        return [str(getattr(part, "content", "")) for part in message.parts]

    same = [parts(a) == parts(b) for a, b in zip(one, two, strict=False)]
    return same.index(False) if False in same else len(same)


def test_a_model_without_room_is_refused() -> None:
    """A context that cannot even hold the rules is told apart, not silently cut."""
    with pytest.raises(DeskhandError) as caught:
        messages_of(_brief(), [], SCENE, bytes_max=4_000)

    assert caught.value.code is Code.MODEL_CONTEXT


def test_the_opening_says_where_and_when_it_works() -> None:
    """Today with its weekday and zone, yesterday, last week, computer, folder, mode, and the task at the end."""
    said = _opening(messages_of(_brief(), [], SCENE, bytes_max=90_000))

    assert "Wednesday, 2026-11-25 (KST +0900)" in said
    assert "Yesterday was Tuesday, 2026-11-24; last week was 2026-11-16 to 2026-11-22." in said
    assert "laptop" in said
    assert "/home/ana/Work" in said
    assert "without a network" in said
    assert said.endswith("The task:\nSum up the notes")


def test_yesterday_is_meant_from_the_day_the_task_was_written() -> None:
    """A task that waited for days says when it was written, at the person's place."""
    waited = _brief(created_at="2026-11-22T16:00:00.000Z")

    said = _opening(messages_of(waited, [], SCENE, bytes_max=90_000))

    assert "The task was written on Monday, 2026-11-23" in said


@pytest.mark.parametrize("mode", [*FolderMode, None])
def test_every_mode_is_said(mode: FolderMode | None) -> None:
    """A model knows beforehand what is free and what is asked."""
    scene = Scene(now=datetime(2026, 11, 25, tzinfo=UTC), computer="laptop", root="/x", mode=mode)

    said = {
        language: _opening(messages_of(_brief(), [], scene, bytes_max=90_000, language=language))
        for language in ("en", "ko")
    }

    asks = "put before the person" in said["en"]
    assert asks == (mode is FolderMode.ASK)
    assert all(said.values())


def test_folder_notes_and_earlier_words_are_material() -> None:
    """What a folder's file and the thread say is fenced and named as what it is (A-09)."""
    brief = _brief(
        instructions=Instructions(name="AGENTS.md", text="Use ISO dates.\n```\nrm -rf\n```"),
        context=(ContextItem(role="result", text="Two notes.", at="2026-11-24T01:00:00.000Z", trust=Trust.UNTRUSTED),),
        files=(FileRef(id="f", name="scan.pdf", size=1, sha256="0", media_type="application/pdf"),),
        criteria=("One page",),
        checks=("test -f a.md",),
    )

    said = _opening(messages_of(brief, [], SCENE, bytes_max=90_000))

    assert "AGENTS.md" in said
    assert "they permit nothing" in said
    assert "````\nUse ISO dates." in said
    assert "[2026-11-24T01:00 result] Two notes." in said
    assert all(f"- {one}" in said for one in ("scan.pdf", "One page", "test -f a.md"))


@given(said=st.text(max_size=300), bytes_max=st.integers(150, 400))
def test_a_cut_text_is_within_its_bound_and_says_so(said: str, bytes_max: int) -> None:
    """In bytes, on whole letters, with the number of letters that are missing."""
    short = cut(said, bytes_max)

    assert len(short.encode()) <= bytes_max
    assert short == said or "more characters folded" in short


@given(content=st.text(alphabet="`a\n", max_size=60))
def test_no_content_can_close_its_fence(content: str) -> None:
    """The marks around foreign text are longer than any in it."""
    lines = fence("x", content).split("\n")

    assert lines[1] not in content
    assert lines[1] == lines[-1]


def test_a_claim_that_a_persons_word_overtook_is_not_called_wrong() -> None:
    """Nothing failed: the model is told to do what was said, not to mend what it made."""
    turn = Turn(move=Done(summary="Done."), steering=("also in Korean",))

    told = str(messages_of(_brief(), [turn], SCENE, bytes_max=100_000))

    assert "the person said something" in told
    assert "also in Korean" in told
    assert "Not done yet" not in told

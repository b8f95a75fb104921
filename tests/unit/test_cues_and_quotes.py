"""What marks a line of notes, and what makes a quote exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.core.words.notes import CUT, Cue, Quote, bare, cues_of, cut, parse, quotable, scan, show, stands_in

ONE_LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=300)
PATHS = ONE_LINE.filter(quotable)


@pytest.mark.parametrize(
    "words",
    [
        "TODO: Call the printer on Friday",
        "Action: send the list",
        "Action item (Tom): send the list",
        "[ ] book the room",
        "Anna to send the contract by Friday",
        "Tom and Lena will check the numbers",
        "We need to call the bank",
        "@mira please look at page 3",
        "The invoice needs to be paid",
        "Please confirm the date",
        "할 일: 견적서 보내기",
        "담당: 김민수",
        "금요일까지 보고서 제출",
        "자료를 공유해 주세요",
        "예산을 다시 확인해야 합니다",
    ],
)
def test_an_action_is_seen(words: str) -> None:
    """The usual ways to write down who does what are actions, in both languages."""
    assert Cue.ACTION in cues_of(words)


@pytest.mark.parametrize(
    "words",
    [
        "It will rain on Friday",
        "That should be fine",
        "Mail me at anna@example.com",
        "[x] book the room",
        "~~TODO: old~~",
        "The action film was long",
        "회의는 잘 끝났다",
    ],
)
def test_what_only_looks_like_an_action_is_none(words: str) -> None:
    """Weather, mail addresses and what is ticked off are no actions."""
    assert Cue.ACTION not in cues_of(words)


@pytest.mark.parametrize(
    ("words", "cue"),
    [
        ("We agreed to ship on 4 December", Cue.DECISION),
        ("예산을 1,200만 원으로 확정", Cue.DECISION),
        ("No decision yet about the logo", Cue.RISK),
        ("Who signs when she is away?", Cue.RISK),
        ("배송 지연이 우려된다", Cue.RISK),
        ("The offer ends 2026-12-04", Cue.DATE),
        ("마감은 11월 28일", Cue.DATE),
    ],
)
def test_other_cues_are_seen(words: str, cue: Cue) -> None:
    """Decisions, risks and dates are told apart; an undecided thing is a risk."""
    found = cues_of(words)

    assert cue in found
    assert not {Cue.RISK, Cue.DECISION} <= found


def test_a_section_marks_its_items_and_ends() -> None:
    """Items below ``Next steps`` are actions; prose after the list is not, nor is what is ticked off."""
    lines = ["## Next steps", "- Tom: the import", "- [x] Lena: the text", "", "Lunch was good."]

    marked = [line.words for line in scan(lines, "a.md") if Cue.ACTION in line.cues]

    assert marked == ["Tom: the import"]


def test_a_heading_that_says_what_to_do_is_an_action() -> None:
    """``## TODO: call the printer`` is not lost because it is a heading."""
    found = scan(["## TODO: call the printer", "", "Some text."], "a.md")

    assert (found[0].is_heading, Cue.ACTION in found[0].cues) == (False, True)


@given(ONE_LINE.filter(lambda text: bool(text.strip())), PATHS, st.integers(1, 99_999_999))
def test_a_quote_is_read_back_as_it_was_shown(text: str, path: str, line: int) -> None:
    """``parse(show(q)) == q``, whatever the words hold, even something like a source."""
    quote = Quote(text=text, path=path, line=line)

    assert parse(show(quote)) == quote


@given(ONE_LINE, st.integers(20, 120), st.integers(0, 300))
def test_a_cut_line_still_stands_in_its_line(line: str, limit: int, at: int) -> None:
    """However a long line was cut, the check finds it again."""
    words = bare(line)

    shown = cut(words, at=at, limit=limit)

    assert stands_in(shown, line, "a.txt") or len(shown.replace(CUT, "").strip()) < 20


@pytest.mark.parametrize(
    "quoted",
    [
        "Call the printer on Monday",
        "call the printer on Friday",
        "Call the printer",
        f"{CUT} printer",
        f"the printer on Friday before noon {CUT}",
        f"Call the printer on Friday {CUT} noon sharp",
        f"{CUT}",
    ],
)
def test_changed_words_do_not_stand_in_the_line(quoted: str) -> None:
    """A day, a capital or an unmarked cut changed is not the line any more."""
    line = "- TODO: Call the printer on Friday before noon"

    assert not stands_in(quoted, line, "a.md")


def test_html_is_quoted_as_it_is_seen() -> None:
    """Of an HTML note the words count, not the tags."""
    assert stands_in("Costs & prices rose", "<p>Costs &amp; prices rose</p>", "a.html")
    assert not stands_in("Costs & prices rose", "<p>Costs &amp; prices rose</p>", "a.txt")


def test_an_html_note_has_headings_and_no_programs() -> None:
    """Headings open sections in HTML too; what stands in a script is nothing anybody wrote down."""
    lines = ["<h2>Next steps</h2>", "<li>Tom: the <b>import</b></li>", "<script>TODO: x</script>"]

    found = [(line.words, line.is_heading) for line in scan(lines, "a.html")]

    assert found == [("Next steps", True), ("Tom: the import", False)]
    assert stands_in("Tom: the import", lines[1], "a.html")

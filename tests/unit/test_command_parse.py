"""How a typed command line is read: as people type on phones, and never ignoring a word."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.agents.commands.agent import COMMANDS, CommandAgent, complete
from deskhand.agents.commands.command import Line, examples, parse_line
from deskhand.errors import Code, DeskhandError
from deskhand.texts import catalogue
from tests.driven import offloaded

BOTH = [command for command in COMMANDS if command.name in ("brief", "report")]


@pytest.mark.parametrize(
    ("typed", "operands", "options"),
    [
        ("/brief notes/ --pages 1", ("notes/",), {"pages": 1}),
        ("  /BRIEF notes --pages=2 ", ("notes",), {"pages": 2}),
        ('/brief "client notes" week.md', ("client notes", "week.md"), {}),
        ("/brief “client notes” —pages 3", ("client notes",), {"pages": 3}),
        ("/brief '2026 notes'", ("2026 notes",), {}),
        ("/brief Anna's-notes/", ("Anna's-notes/",), {}),
        ('/brief notes --out="my page.md"', ("notes",), {"out": "my page.md"}),
        ("/brief -- --odd", ("--odd",), {}),
        ("/brief 회의록/ --out 요약.md", ("회의록/",), {"out": "요약.md"}),
        ("/brief \u1112\u116c\u110b\u1174", ("회의",), {}),
        (r"/brief notes\old", (r"notes\old",), {}),
    ],
)
def test_a_line_is_read_as_it_was_meant(typed: str, operands: tuple[str, ...], options: dict[str, str | int]) -> None:
    """Curly quotes, long dashes, apostrophes and Korean names from a phone mean what they look like."""
    line = parse_line(typed, BOTH)

    assert (line.operands, line.options) == (operands, options)


def test_the_language_of_the_line_is_noticed() -> None:
    """Who writes Korean is answered in Korean."""
    korean = parse_line("/brief 회의록", BOTH)
    english = parse_line("/brief notes", BOTH)

    assert (korean.language, english.language) == ("ko", "en")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/brief notes --page 1", "unknown option --page. Usage: /brief PATH... [--pages N]"),
        ("/brief notes --loud", "unknown option --loud. Usage: /brief PATH..."),
        ("/brief notes -x", "unknown option -x"),
        ("/brief notes --pages", "--pages needs N"),
        ("/brief notes --pages two", "--pages must be a number from 1 to 20"),
        ("/brief notes --pages 0", "--pages must be a number from 1 to 20"),
        ("/brief notes --pages 1 --pages 2", "--pages stands twice"),
        ("/brief notes --out ''", "--out needs NAME"),
        ("/brief", "PATH... is missing"),
        ("/report a.csv b.csv", "too many words: b.csv"),
        ('/brief "notes', "a quote is not closed"),
        ("/brief notes\nand send it to the team", "a command is one line"),
        (f"/brief {'x' * 5000}", "longer than 4000"),
    ],
)
def test_a_wrong_line_is_refused_with_the_word_and_the_cure(typed: str, said: str) -> None:
    """No word is ignored: what is not understood is named, with what would be."""
    with pytest.raises(DeskhandError) as caught:
        parse_line(typed, BOTH)

    assert caught.value.code is Code.INVALID
    assert said in caught.value.detail


@pytest.mark.parametrize(("typed", "named"), [("/breif notes", "/breif"), ("/zzz", "/zzz"), ("zzz", "/zzz")])
def test_an_unknown_command_is_named(typed: str, named: str) -> None:
    """What was typed is said; which commands there are says the hub, before it takes the message."""
    with pytest.raises(DeskhandError) as caught:
        parse_line(typed, BOTH)

    assert (caught.value.code, caught.value.detail) == (Code.UNKNOWN_COMMAND, named)


@given(st.text(max_size=200))
def test_any_text_is_understood_or_refused(typed: str) -> None:
    """No text crashes the reader."""
    assert _outcome(f"/brief {typed}") in ("understood", Code.INVALID)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
        .map(lambda name: name.translate(str.maketrans("", "", "\"'“”‘’„「」-—–―−=")))
        .filter(bool),
        min_size=1,
        max_size=5,
    )
)
def test_quoted_names_come_through_whole(names: list[str]) -> None:
    """What stands in double quotes is one name, whatever is in it."""
    spaced = [f"{name} {name}" for name in names]
    typed = "/brief " + " ".join(f'"{name}"' for name in spaced)

    line = parse_line(typed, BOTH)

    assert [unicodedata.normalize("NFC", name) for name in spaced] == list(line.operands)


def test_every_command_shows_how_it_is_used_in_both_languages() -> None:
    """A command has a usage, six examples per language, and its sentences in the catalogue."""
    agent = CommandAgent(offload=offloaded)

    assert {"brief", "actions", "report", "help"} <= {info.name for info in agent.commands}
    assert all(len(examples(c.name, language)) >= 6 for c in COMMANDS for language in ("en", "ko"))
    assert all(
        f"command.{command.name}.{part}" in catalogue(language)
        for command in COMMANDS
        for part in ("summary", "details")
        for language in ("en", "ko")
    )
    assert agent.commands[0].usage == "/brief PATH... [--pages N] [--out NAME]"
    assert parse_line("/help", COMMANDS) == Line(name="help", options={})


def _outcome(typed: str) -> str:
    try:
        parse_line(typed, BOTH)
    except DeskhandError as error:
        return error.code
    return "understood"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/act", ["/actions"]),
        ("/actions notes --d", ["/actions notes --due"]),
        ("/actions notes --due --o", ["/actions notes --due --owner", "/actions notes --due --out"]),
        ("/actions notes", []),
        ("/help du", ["/help duplicates"]),
        ("/unknown --o", []),
        ("words", []),
    ],
)
def test_a_line_is_completed_to_whole_lines(typed: str, offered: list[str]) -> None:
    """Names, options that do not stand there yet, and topics of help."""
    assert complete(typed) == offered


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/actions notes --due=yes", "--due takes no value. Usage: /actions PATH..."),
        ("/actions notes --ower Anna", "unknown option --ower. Usage: /actions PATH... [--owner NAME]"),
        ("/actions", "PATH... is missing"),
        ("/find --type pdf", "WORDS... is missing"),
        ("/duplicates a b", "too many words: b"),
        ("/run", "COMMAND... is missing"),
        ("/risk c.txt", "/risk"),
    ],
)
def test_what_is_wrong_with_a_line_of_any_command_is_said_with_its_usage(typed: str, said: str) -> None:
    """The wrong word, and how it is typed instead."""
    with pytest.raises(DeskhandError) as refused:
        parse_line(typed, COMMANDS)

    assert said in (refused.value.detail or "")


def test_what_a_runner_advertises_of_a_command_is_enough_to_complete_it() -> None:
    """Kinds of words, options with their values, and sentences in both languages."""
    infos = {info.name: info for info in CommandAgent(offload=offloaded).commands}

    assert infos["actions"].to_json()["options"] == [
        {"name": "owner", "metavar": "NAME", "choices": []},
        {"name": "due", "metavar": "", "choices": []},
        {"name": "out", "metavar": "NAME", "choices": []},
    ]
    assert (infos["risks"].takes, infos["risks"].endings[-1], infos["risks"].most) == ("file", "pdf", 20)
    assert all(info.summary != info.summary_ko for info in infos.values())

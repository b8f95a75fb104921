"""The text form of rules: what is written is what is read, and what is no rule is refused with its place and cure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.permissions.evaluate import FREE, WALLS, problem_sentence
from deskhand.permissions.rules import SAID, Rule, parse, show
from tests.ruling import rule_of, rules


@given(rules())
def test_what_is_shown_is_read_as_the_same_rule(rule: Rule) -> None:
    """Whatever words a command has: spaces, quotes, stars, control and direction characters."""
    assert rule_of(show(rule)) == rule


@given(rules())
def test_what_is_shown_is_one_visible_line(rule: Rule) -> None:
    """No character of it can hide, break the line or turn its direction (AP-09)."""
    assert show(rule).isprintable()


@given(st.text())
def test_any_text_is_read_or_refused_line_by_line(said: str) -> None:
    """Reading never breaks; of each line either a rule, a problem or nothing comes, and normal form stays itself."""
    found, problems = parse(said)

    numbers = [one.line for one in problems] + [one.number for one in found]
    assert len(numbers) == len(set(numbers)) <= said.count("\n") + 1
    assert parse("\n".join(map(show, found)))[0] == found


def test_what_comes_with_deskhand_is_written_in_normal_form() -> None:
    """The reviewer reads the same language as the owner writes."""
    written = [*SAID["walls"].values(), *SAID["free"].values()]

    assert [show(rule) for rule in (*WALLS, *FREE)] == written


def test_comments_and_empty_lines_say_nothing() -> None:
    """A line keeps its number, so that it can be found."""
    found, problems = parse('# first\n\n  deny *   path=a/** # why\nask * -- "#" # a\n')

    assert [(one.number, show(one)) for one in found] == [(3, "deny * path=a/**"), (4, 'ask * -- "#"')]
    assert problems == ()


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("permit *", 1, "decision"),
        ('"deny" *', 1, "decision"),
        ("-- git push", 1, "decision"),
        ("deny", 1, "tool"),
        ("deny path=a", 6, "tool"),
        ('deny "write_file"', 6, "tool"),
        ("deny wriet_file", 6, "tool"),
        ("deny * path", 8, "value"),
        ("deny * path=", 8, "trait"),
        ("deny * path=/etc", 8, "value"),
        ("deny * path=a/../b", 8, "value"),
        ("deny * folder=work", 8, "value"),
        ("deny * host=A.example", 8, "value"),
        ("deny * until=tomorrow", 8, "value"),
        ("deny * verb=read,fly", 8, "value"),
        ("deny * colour=red", 8, "trait"),
        ("deny * git push", 8, "trait"),
        ("deny * path=a path=b", 15, "twice"),
        ('deny * path="a b', 8, "spelling"),
        ('ask * -- "a"b', 10, "spelling"),
        (r'ask * -- "\x"', 10, "spelling"),
        ("ask run_command --", 17, "rest"),
        ("ask run_command -- **", 17, "rest"),
        ("ask run_command -- ** push", 17, "rest"),
        ("allow run_command -- * push", 7, "first"),
        ("allow run_command -- git **", 7, "first"),
        ("allow run_command -- sh -c *", 7, "exec"),
        ("allow run_command -- make test **", 7, "exec"),
        ("allow run_command -- python3.11 * x", 7, "exec"),
        ("allow run_command -- ./run.sh fast **", 7, "exec"),
        ("allow fetch_url method=GET", 7, "host"),
        ("allow fetch_url host=github.com", 7, "tenant"),
        ("allow fetch_url host=raw.githubusercontent.com method=GET", 7, "tenant"),
        ("allow fetch_url host=github.com method=GET prefix=/", 7, "tenant"),
        ("allow fetch_url host=*.com", 7, "wide"),
        ("allow fetch_url host=*.github.com method=GET prefix=/a/", 7, "wide"),
    ],
)
def test_what_is_no_rule_is_refused_at_its_place(line: str, column: int, reason: str) -> None:
    """Words that nobody knows, and an ``allow`` that says less than it seems to (NE-04, SH-05, AP-10)."""
    found, (problem,) = parse(f"# a comment\n{line}", tools=("run_command", "fetch_url"))

    assert found == ()
    assert (problem.line, problem.column, problem.reason) == (2, column, reason)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_refusal_names_line_column_and_cure(language: str) -> None:
    """In the words of whoever wrote it; what they wrote is quoted and cannot act on the screen."""
    _, (problem,) = parse("deny * mode=\u202ewide", tools=())

    said = problem_sentence(problem, language=language)

    assert "1" in said
    assert "8" in said
    assert "mode=\\x202ewide" in said
    assert "none, read-only, ask, workspace, trusted" in said

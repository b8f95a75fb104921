"""Days that people name when they look for something, in English and Korean."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.core.dates import period_in

TODAY = date(2026, 11, 18)  # a Wednesday


@pytest.mark.parametrize(
    ("said", "first", "last", "words"),
    [
        ("invoice yesterday", "2026-11-17", "2026-11-17", "yesterday"),
        ("yesterday's meeting notes", "2026-11-17", "2026-11-17", "yesterday's"),
        ("the day before yesterday", "2026-11-16", "2026-11-16", "the day before yesterday"),
        ("invoice from last week", "2026-11-09", "2026-11-18", "from last week"),
        ("last week report", "2026-11-09", "2026-11-15", "last week"),
        ("changed in the last 3 days", "2026-11-15", "2026-11-18", "in the last 3 days"),
        ("taxes since January", "2026-01-01", "2026-11-18", "since January"),
        ("in December", "2025-12-01", "2025-12-31", "in December"),
        ("on Monday", "2026-11-16", "2026-11-16", "on Monday"),
        ("last Wednesday", "2026-11-11", "2026-11-11", "last Wednesday"),
        ("since 2026-11-01", "2026-11-01", "2026-11-18", "since 2026-11-01"),
        ("call of 5 May 2026", "2026-05-05", "2026-05-05", "5 May 2026"),
        ("this year", "2026-01-01", "2026-12-31", "this year"),
        ("어제 고친 엑셀", "2026-11-17", "2026-11-17", "어제"),
        ("지난주 송장", "2026-11-09", "2026-11-15", "지난주"),
        ("최근 3일 동안", "2026-11-15", "2026-11-18", "최근 3일 동안"),
        ("1월 이후 세금", "2026-01-01", "2026-11-18", "1월 이후"),
        ("지난 달", "2026-10-01", "2026-10-31", "지난 달"),
        ("작년부터", "2025-01-01", "2026-11-18", "작년부터"),
        ("지난 금요일", "2026-11-13", "2026-11-13", "지난 금요일"),
        ("2025년 3월 4일", "2025-03-04", "2025-03-04", "2025년 3월 4일"),
    ],
)
def test_days_are_understood(said: str, first: str, last: str, words: str) -> None:
    """The words that named them are returned too, so that they are not looked for."""
    found = period_in(said, TODAY)

    assert found is not None
    assert (str(found.first), str(found.last), found.words) == (first, last, words)


@pytest.mark.parametrize("said", ["may be", "13월", "march on", "since 99월", "next week", "주소"])
def test_what_is_no_day_is_none(said: str) -> None:
    """Nothing is guessed."""
    assert period_in(said, TODAY) is None


@given(st.text("0123456789-월일주년 lastsincedays이후", max_size=40), st.dates())
def test_any_words_on_any_day_give_days_in_order(said: str, today: date) -> None:
    """Never an error, and never an end before its beginning."""
    found = period_in(said, today)

    assert found is None or found.words in said

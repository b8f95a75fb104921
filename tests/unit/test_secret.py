"""A secret is covered wherever it turns up, and cannot be written down by mistake."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.secret import CHARS_MIN, Secret, held_in, mask, taken

VALUE = 'sk-canary/of+the "unit" tests?'
KEY = Secret("KEY", VALUE)


@pytest.mark.parametrize("writing", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_secret_cannot_be_written_down(writing: Callable[[Secret], object]) -> None:
    """No pickle, copy or JSON of it; what is shown of it is its name; and it equals nothing but itself (SE-01)."""
    with pytest.raises(TypeError) as refused:
        writing(KEY)

    shown = f"{KEY} {KEY!r} {[KEY]} {refused.value} {dir(KEY)}"
    assert VALUE not in shown
    assert Secret("KEY", VALUE) != KEY
    assert KEY.reveal() == VALUE


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("behind", ["", "z", "yz"])
def test_a_known_secret_is_covered_however_it_is_spelled(before: str, behind: str) -> None:
    """As it is, in a URL, in JSON, and inside of any base64, also of what stands around it (SE-01)."""
    around = f"{before}{VALUE}{behind}".encode()
    spelled = [
        around.decode(),
        quote(around, safe=""),
        json.dumps(around.decode()),
        b64encode(around).decode(),
        urlsafe_b64encode(around).decode(),
    ]

    covered = [mask(one) for one in spelled]
    found = [held_in(one.encode()) for one in spelled]

    assert [one for one in covered if "[secret KEY]" not in one] == []
    assert [one for one in covered if VALUE[:12] in one] == []
    assert found == [["[secret KEY]"]] * len(spelled)


def test_json_is_covered_through_and_through() -> None:
    """Texts, lists, objects and their names; numbers and truth values stay what they are."""
    said = {"a": [f"x {VALUE}", 12345678, None, True], VALUE: {"b": "plain"}}

    covered = mask(said)

    assert covered == {"a": ["x [secret KEY]", 12345678, None, True], "[secret KEY]": {"b": "plain"}}


def test_our_own_tokens_are_covered_without_being_known() -> None:
    """Whoever made one elsewhere: they all begin alike (SE-01)."""
    assert mask("Bearer dhs_" + "aB3-_" * 6) == "Bearer [secret]"
    assert mask("dhs_ is what they begin with") == "dhs_ is what they begin with"


def test_what_is_too_short_is_no_reason_to_cover_words() -> None:
    """Otherwise a password such as "report" would black out half of a result."""
    word = "r" * (CHARS_MIN - 1)

    Secret("SHORT", word)

    assert mask(f"a {word} b") == f"a {word} b"


@given(st.text(max_size=60))
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Nothing but secrets is touched."""
    assert mask(text) == text


def test_a_secret_is_taken_out_of_the_environment_that_the_system_shows() -> None:
    """AU-12: neither a child nor ``/proc/PID/environ`` has it afterwards."""
    script = (
        "import os, subprocess, sys\nfrom deskhand.secret import taken\n"
        "found = taken('SOME_KEY')\n"
        "shown = open('/proc/self/environ', 'rb').read()\n"
        "child = subprocess.run(['env'], capture_output=True).stdout\n"
        "print(found.reveal() == 'canary-in-environ', b'canary' in shown, b'canary' in child,"
        " 'SOME_KEY' in os.environ, taken('SOME_KEY'), b'OTHER=kept' in shown)"
    )
    source = str(Path(__file__).parents[2] / "src")
    surroundings = {"SOME_KEY": "canary-in-environ", "OTHER": "kept", "PYTHONPATH": source}

    done = subprocess.run([sys.executable, "-c", script], env=surroundings, capture_output=True, check=True, text=True)

    assert done.stdout.split() == ["True", "False", "False", "False", "None", "True"]


def test_a_variable_that_is_empty_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty value in the environment means that there is none."""
    monkeypatch.setenv("SOME_KEY", "")

    assert taken("SOME_KEY") is None
    assert os.environ["SOME_KEY"] == ""

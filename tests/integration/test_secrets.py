"""What programs do with secrets: taken, sealed, named; never logged, never asked for on a command line."""

from __future__ import annotations

import ast
import logging
import os
import re
import sys
from pathlib import Path

import pytest

from deskhand.agents.builtin.agent import KEY_VARIABLE
from deskhand.cli import staying
from deskhand.secret import Secret
from deskhand.store.private import Safe
from tests.desk import Desk, make_desk
from tests.meta.findings import ROOT

VALUE = "sk-canary-of-these-tests"
STARTS = {"create_subprocess_exec", "create_subprocess_shell", "Popen", "run", "call", "check_output"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A home that was never started."""
    return make_desk(tmp_path)


def test_a_secret_is_set_from_stdin_listed_by_name_and_removed(desk: Desk) -> None:
    """SE-01: its value is in no answer, and there is no way to type it into a command line."""
    typed = desk.run("secret", "set", "EXAMPLE", VALUE)
    done = desk.run("secret", "set", "EXAMPLE", text=f"{VALUE}\n")
    listed, as_json = desk.run("secret", "list"), desk.run("secret", "list", "--json")
    kept = Safe(desk.home).read("EXAMPLE")
    removed, again = (desk.run("secret", "remove", "EXAMPLE"), desk.run("secret", "remove", "EXAMPLE"))

    assert (typed.status, done.status, removed.status, again.status) == (2, 0, 0, 1)
    assert listed.out == "EXAMPLE  the key is a file in keys/ that no backup takes\n"
    assert as_json.json == {"items": [{"name": "EXAMPLE", "key": "file"}]}
    assert kept is not None
    assert kept.reveal() == VALUE
    assert Safe(desk.home).all() == {}
    assert not any(VALUE in one.out + one.err for one in (done, listed, as_json, removed, again))


def test_a_secret_opens_one_thing(desk: Desk) -> None:
    """AU-10: a value that another name has, or that is a way into Deskhand, is refused with what helps, and not shown."""
    desk.run("secret", "set", "WEBHOOK", text="one-and-only-value\n")

    again = desk.run("secret", "set", "BOT", "--json", text="one-and-only-value\n")
    token = desk.run("secret", "set", "BOT", "--json", text="dhs_" + "A" * 43 + "\n")
    same_name = desk.run("secret", "set", "WEBHOOK", text="one-and-only-value\n")
    names = [one["name"] for one in desk.run("secret", "list", "--json").json["items"]]

    assert [one.json["error"]["code"] for one in (again, token)] == ["secret_reused"] * 2
    assert "WEBHOOK" in again.json["error"]["message"]
    assert "new value" in again.json["error"]["cure"]
    assert "one-and-only" not in again.out + again.err
    assert (same_name.status, names) == (0, ["WEBHOOK"])


def test_the_same_value_under_two_names_is_told(desk: Desk) -> None:
    """AU-10: a provider's key may have two names, so nothing is locked out at the start; ``doctor`` says which."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        Safe(desk.home).put(name, "the-very-same-value")

    rows = desk.run("doctor", "--no-model", "--json").json["items"]

    (said,) = [row for row in rows if row["check"] == "secrets"]
    assert (said["state"], "GOOGLE_API_KEY, GEMINI_API_KEY" in said["said"]) == ("ask", True)


def test_a_rewritten_config_keeps_references(desk: Desk) -> None:
    """SE-04: the name of the variable stays a name, however often the file is written; the key is sealed."""
    desk.run("model", "set", "m", "--base-url", "http://127.0.0.1:9/v1", "--api-key-env", "MY_KEY", MY_KEY=VALUE)  # fmt: skip
    desk.run("config", "set", "hub.port", "4001", MY_KEY=VALUE)
    desk.run("config", "unset", "hub.port", MY_KEY=VALUE)

    config = (desk.home / "config.toml").read_text()
    holders = [path for path in desk.home.rglob("*") if path.is_file() and VALUE in path.read_text()]

    assert 'api_key_env = "MY_KEY"' in config
    assert holders == []


def test_a_key_of_the_environment_moves_into_the_safe_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider's key; one that names no provider is held by this process alone."""
    monkeypatch.setitem(staying.HELD, "OPENAI_API_KEY", Secret("OPENAI_API_KEY", VALUE))
    monkeypatch.setitem(staying.HELD, KEY_VARIABLE, Secret("any", "other-canary"))

    for _ in range(3):
        staying.keep_keys(tmp_path)

    assert capsys.readouterr().err.count("OPENAI_API_KEY") == 2  # what was done, and how to undo it
    assert [*Safe(tmp_path).all()] == ["OPENAI_API_KEY"]


def test_nothing_that_is_logged_begins_a_line_of_its_own() -> None:
    """SE-06, SE-05: CR, LF and escapes of names and headers are spelled out; a traceback has no secret."""
    secret = Secret("LOGGED", VALUE)
    error = ValueError(f"no\n2026 ERROR forged {secret.reveal()}")
    caught = (ValueError, error, None)
    name = "a\r\n2026 ERROR forged\x1b[2J\u2028forged \u202e"
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "asked %s", (name,), caught)

    first, *rest = staying.Lines().format(record).split("\n")

    assert first == "asked a"
    assert [line for line in rest if not line.startswith("  ")] == []
    said = "\n".join(rest)
    assert "[secret LOGGED]" in said
    assert not {VALUE, "\x1b", "\r", "\u2028", "\u202e"} & {said, *said}


def test_every_child_is_started_with_an_environment_of_its_own() -> None:
    """AU-12: each start of a process in the product says which environment it gets; none inherits ours."""
    silent: list[str] = []
    for path in sorted((ROOT / "src" / "deskhand").rglob("*.py")):
        if {"testing", "evals"} & {*path.parts}:
            continue
        silent += [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call) and _starts(node) and not _named(node)
        ]

    assert silent == []


def _starts(node: ast.Call) -> bool:
    """Whether a call starts a process."""
    called = node.func
    if not isinstance(called, ast.Attribute) or called.attr not in STARTS:
        return False
    return ast.unparse(called.value).split(".")[-1] in {"subprocess", "asyncio"} and (
        called.attr != "run" or ast.unparse(called.value) == "subprocess"
    )


def _named(node: ast.Call) -> bool:
    """Whether its environment is said, and is not the whole of ours."""
    given = next((ast.unparse(one.value) for one in node.keywords if one.arg == "env"), "None")
    return given != "None" and "os.environ" not in given


def test_each_claim_of_hashing_and_encryption_has_its_test() -> None:
    """SE-07: what the page of trust says is held by a test that is there."""
    page = (ROOT / "docs" / "explanation" / "trust.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if "`test_" in line]
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    named = re.findall(r"`(test_\w+)`", page)

    assert len(rows) >= 8
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_a_program_that_stays_closes_itself(desk: Desk) -> None:
    """No core file, and for another process of the same user neither environment nor memory: hub and runner alike."""
    code = (
        "import ctypes, resource; from deskhand.cli.staying import close_up; close_up();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"
    )
    desk.program = [sys.executable, "-c", code]

    done = desk.run(OPENAI_API_KEY=VALUE)
    sources = [ROOT / "src/deskhand/cli/programs" / one for one in ("up.py", "computer.py")]

    assert done.out == "(0, 0) 0\n", done.err
    assert [path.read_text().count("close_up()\n") for path in sources] == [2, 1]
    assert os.environ.get("OPENAI_API_KEY") != VALUE

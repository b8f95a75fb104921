"""What a rule says to an act: an allow covers what it spells, a denial every spelling and what could hide it."""

from __future__ import annotations

from dataclasses import replace
from time import process_time

import pytest

from deskhand.permissions.evaluate import Policy, judge, lasting
from deskhand.permissions.matching import decides
from deskhand.permissions.rules import Act, Decision, parse
from deskhand.protocol.objects import FolderMode
from tests.ruling import rule_of

WRITE = Act(
    tool="write_file",
    verb="write",
    where="folder",
    mode=FolderMode.WORKSPACE,
    wall="full",
    folder="/home/me/Work",
    path="notes/a.md",
    day="2026-11-23",
)
RUN = replace(WRITE, tool="run_command", verb="run", path="")
CURL = replace(RUN, kind="send", argv=("curl", "x"))
FETCH = replace(
    WRITE,
    tool="fetch_url",
    verb="send",
    where="internet",
    kind="fetch",
    path="",
    host="docs.example.org",
    method="GET",
    url_path="/guide/a.html",
)


def said(line: str, act: Act) -> str | None:
    """Return what a line says to an act."""
    return decides(rule_of(line), act)


def run(*argv: str) -> Act:
    """Return a command in the folder."""
    return replace(RUN, argv=argv)


@pytest.mark.parametrize(
    "path",
    ["private/a.md", "Private/A.md", "PRIVATE/b/c", "ｐrivate/x", "pri\u200dvate/x", "private. /x", "private:s/x"],
)
def test_a_denial_holds_in_every_spelling_of_a_path(path: str) -> None:
    """What some file system takes for the same name is the same name (FS-08)."""
    assert said("deny * path=private/**", replace(WRITE, path=path)) == "deny"
    assert said("deny * path=private", replace(WRITE, path=path)) == "deny"
    assert said("deny * folder=/home/me/Work/private", replace(WRITE, path=path)) == "deny"
    assert said("allow * path=private/**", replace(WRITE, path=path)) == ("allow" if path == "private/a.md" else None)


@pytest.mark.parametrize(
    ("line", "path", "deep", "heard"),
    [
        ("deny * path=private/**", "", True, "ask"),
        ("deny * path=a/private/**", "a", True, "ask"),
        ("deny * path=a/private/**", "b", True, None),
        ("deny * path=**/*.key", "b", True, "ask"),
        ("deny * path=**/*.key", "b/x.key", False, "deny"),
        ("deny * path=**/*.key", "x.KEY", False, "deny"),
        ("deny * path=*.key", "b/x.key", False, None),
        ("deny * path=?.key", "x.key", False, "deny"),
        ("deny * path=private/**", "notes/a.md", False, None),
        ("deny * folder=/home/me", "notes/a.md", False, "deny"),
        ("deny * folder=/home/me/Work path=notes/**", "notes/a.md", False, "deny"),
        ("deny * folder=/home/me/Work path=notes/**", "", True, "ask"),
        ("deny * folder=/home/me/Workshop", "notes/a.md", False, None),
        ("ask * path=private/**", "", True, "ask"),
    ],
)
def test_a_denial_of_a_path_has_what_could_reach_it_asked(
    line: str, path: str, heard: str | None, *, deep: bool
) -> None:
    """A search from above would find it; what lies beside it is not concerned."""
    assert said(line, replace(WRITE, path=path, deep=deep)) == heard


def test_a_denial_of_a_path_has_commands_asked() -> None:
    """A command in the folder can read whatever lies in it."""
    assert said("deny * path=private/**", run("cat", "notes.md")) == "ask"
    assert said("deny * folder=/home/me/Work", run("cat", "notes.md")) == "deny"
    assert said("deny * folder=/home/me/Work", replace(run("cat"), folder=None)) is None


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        ("allow write_file", "allow"),
        ("allow *", "allow"),
        ("allow edit_file", None),
        ("allow write_file folder=/home/me/Work", "allow"),
        ("allow write_file folder=/home/me/WORK", None),
        ("allow write_file path=notes/*.md", "allow"),
        ("allow write_file path=notes", None),
        ("allow write_file verb=run,write mode=workspace where=folder kind=safe", "allow"),
        ("allow write_file mode=trusted,none", None),
        ("allow write_file until=2026-11-23", "allow"),
        ("allow write_file until=2026-11-22", None),
        ("allow write_file host=a.example", None),
        ("allow write_file -- git log", None),
    ],
)
def test_an_allow_covers_what_it_spells(line: str, heard: str | None) -> None:
    """Each trait must hold exactly; past its day it says nothing (AP-10)."""
    assert said(line, WRITE) == heard


@pytest.mark.parametrize(
    ("pattern", "argv", "fits"),
    [
        ("git status", ("git", "status"), True),
        ("git status", ("git", "status", "-s"), False),
        ("git log **", ("git", "log"), True),
        ("git log **", ("git", "log", "-n", "5"), True),
        ("git log **", ("git", "push"), False),
        ("git log **", ("git", "-C", "x", "log"), False),
        ("git show *", ("git", "show", "HEAD"), True),
        ("git show *", ("git", "show", "--output=x"), False),
        ("git show *", ("git", "show"), False),
        ('git add "*"', ("git", "add", "x"), False),
        ('git add "*"', ("git", "add", "*"), True),
        ("git log", ("/opt/git", "log"), False),
        ("make report", ("make", "report"), True),
        ('sh -c "wc -l *.csv"', ("sh", "-c", "wc -l *.csv"), True),
        ('sh -c "wc -l *.csv"', ("sh", "-c", "wc -l *.csv; rm x"), False),
    ],
)
def test_an_allow_of_a_command_is_word_for_word(pattern: str, argv: tuple[str, ...], *, fits: bool) -> None:
    """Never the first word only, and what stands for any word is no option (AP-10, SH-06)."""
    heard = said(f"allow run_command -- {pattern}", run(*argv))

    assert heard == ("allow" if fits else None)


@pytest.mark.parametrize(
    "argv",
    [
        ("env", "ls"),
        ("xargs", "ls"),
        ("sh", "-c", "ls"),
        ("make",),
        ("npm", "run", "build"),
        ("python3.11", "x.py"),
        ("./x",),
        ("/usr/bin/env", "ls"),
    ],
)
def test_what_runs_other_things_is_not_covered_by_a_wide_allow(argv: tuple[str, ...]) -> None:
    """Its words say what runs, so an ``allow`` of all commands is none of these (SH-05)."""
    assert said("allow run_command", run(*argv)) is None
    assert said("allow run_command", run("ls", "-l")) == "allow"


@pytest.mark.parametrize("at", [1, 2, 51, 500])
@pytest.mark.parametrize("between", ["; ", " && ", " || ", " | ", " & ", "\n", ";"])
def test_a_denied_command_is_found_wherever_it_stands(at: int, between: str) -> None:
    """Over every separator, at every place in the line (SH-01)."""
    line = between.join([*["true"] * (at - 1), "/bin/rm -rf notes", "true"])

    assert said("deny run_command -- rm **", run("sh", "-c", line)) == "deny"
    assert said("deny run_command -- rm -rf **", run("env", "-S", line)) == "deny"


@pytest.mark.parametrize(
    "line",
    [
        "$(echo rm) x",
        "`echo rm` x",
        "r''m x",
        'r"m" x',
        "r\\m x",
        "/bin/r? x",
        "/bin/[r]m x",
        "{rm,x}",
        "cat <<E\nrm x\nE",
        "a=r; ${a}m x",
        "ls\rrm x",
        "ls\u2028rm x",
        "(rm x)",
        "!rm",
        "~/rm",
        "ls\\\n",
        "ls " * 100_000,
    ],
)
def test_what_is_not_plain_words_is_denied_where_a_command_is(line: str) -> None:
    """Substitution, expansion, globs, odd whitespace, here-documents: nobody guesses what would run (SH-02, SH-12)."""
    assert said("deny run_command -- rm **", run("sh", "-c", line)) == "deny"


@pytest.mark.parametrize(
    ("pattern", "argv", "heard"),
    [
        ("rm **", ("rm", "x"), "deny"),
        ("rm **", ("/usr/bin/rm", "x"), "deny"),
        ("rm **", ("RM", "x"), "deny"),
        ("rm", ("rm", "-rf", "x"), "deny"),
        ("rm **", ("grep", "rm", "x"), None),
        ("rm **", ("nice", "rm", "x"), "deny"),
        ("rm **", ("find", ".", "-exec", "rm", "x"), "deny"),
        ("rm **", ("make", "clean"), "ask"),
        ("git push **", ("git", "-C", "x", "push"), "deny"),
        ("git push **", ("git", "log"), None),
        ("git push **", ("sh", "-c", "git commit"), "ask"),
        ("* --force", ("git", "push", "--force"), "deny"),
        ("*", ("ls",), "deny"),
        ("rm **", (), None),
    ],
)
def test_a_denied_command_is_denied_through_what_runs_it(
    pattern: str, argv: tuple[str, ...], heard: str | None
) -> None:
    """By its path, behind a wrapper, with options between; what runs a file that nobody read is asked (SH-05)."""
    assert said(f"deny run_command -- {pattern}", run(*argv)) == heard


def test_a_line_about_commands_says_nothing_to_other_tools() -> None:
    """A write has no words."""
    assert said("deny * -- rm **", WRITE) is None


def test_ten_thousand_words_are_judged_at_once() -> None:
    """However long a command is and however many lines there are: all are looked at, in under 50 ms (SH-12)."""
    policy = Policy(lines=parse("deny run_command -- rm **\n" * 20)[0])
    long = [run("sh", "-c", *["a;b"] * 9_998), run("ls", *["x"] * 9_999), run("sh", "-c", "(" * 200_000)]
    judge(run("sh"), policy)

    for act in long:
        began = process_time()
        judge(act, policy)

        assert process_time() - began < 0.05


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        ("allow fetch_url host=docs.example.org", "allow"),
        ("allow fetch_url host=*.example.org", "allow"),
        ("allow fetch_url host=*.docs.example.org", None),
        ("allow fetch_url host=example.org", None),
        ("allow fetch_url", None),
        ("allow fetch_url host=docs.example.org method=POST", None),
        ("allow fetch_url host=docs.example.org prefix=/guide", "allow"),
        ("allow fetch_url host=docs.example.org prefix=/gui", None),
        ("deny fetch_url", "deny"),
        ("deny fetch_url host=docs.example.org", "deny"),
        ("deny fetch_url host=example.org", "deny"),
        ("deny fetch_url host=*.example.org", "deny"),
        ("deny fetch_url host=ocs.example.org", None),
        ("deny * method=GET", "deny"),
        ("deny * method=POST", None),
        ("deny * host=docs.example.org prefix=/guide", "deny"),
        ("deny * host=docs.example.org prefix=/else", None),
    ],
)
def test_a_request_is_judged_by_host_method_and_path(line: str, heard: str | None) -> None:
    """An allow names the host whole; a denial covers the names beneath it."""
    assert said(line, FETCH) == heard


@pytest.mark.parametrize("path", ["/guide/../x", "/guide/%2e%2e/x", "/guide//x", "/guide/%252e%252e/x"])
def test_an_allowed_path_cannot_be_left(path: str) -> None:
    """However a server may read it."""
    assert said("allow * host=docs.example.org prefix=/guide", replace(FETCH, url_path=path)) is None


@pytest.mark.parametrize("path", ["/a/../guide/x", "/%67uide/x", "/GUIDE/x", "//guide/x?q=1"])
def test_a_denied_path_is_denied_in_every_spelling(path: str) -> None:
    """However a server may read it."""
    assert said("deny * host=docs.example.org prefix=/guide", replace(FETCH, url_path=path)) == "deny"


def test_a_tunnel_shows_its_host_alone() -> None:
    """A command's request is asked where a line speaks of method or path, and covered only by one that names no more."""
    tunnel = replace(run("curl", "-O", "x"), kind="send", host="docs.example.org:8443")

    assert said("deny * host=docs.example.org method=POST", tunnel) == "ask"
    assert said("deny * host=docs.example.org", tunnel) == "deny"
    assert said("deny * host=other.example", tunnel) is None
    assert said("allow * host=docs.example.org:8443 method=GET", tunnel) is None
    assert said("allow run_command -- curl -O x", tunnel) is None
    assert said("allow run_command host=docs.example.org:8443 -- curl -O x", tunnel) == "allow"


def test_an_allow_made_for_foreign_content_holds_there_too() -> None:
    """Only one that was given for exactly that (PI-04)."""
    tainted = replace(WRITE, untrusted=True, leak=True)

    assert said("allow write_file", tainted) is None
    assert said("allow write_file even-after-foreign", tainted) == "allow"
    assert said("allow write_file", replace(WRITE, untrusted=True)) == "allow"


def test_the_owners_line_lifts_a_question_and_names_itself() -> None:
    """Where a line speaks, what comes with Deskhand is silent; the judgement says which line it was."""
    asking = replace(WRITE, mode=FolderMode.ASK)
    lines = parse("# mine\nallow write_file path=notes/*")[0]

    judgement = judge(asking, Policy(lines=lines))

    assert judge(asking, Policy()).rule == "ask_first"
    assert (judgement.decision, judgement.rule, judgement.number) == (Decision.ALLOW, "policy", 2)
    assert judgement.line == "allow write_file path=notes/*"


def test_a_denial_that_only_might_be_reached_says_so() -> None:
    """A person who is asked reads why: the command could reach what the line is about."""
    judgement = judge(run("cat", "x"), Policy(lines=parse("deny * path=private/**")[0]))

    assert (judgement.decision, judgement.rule) == (Decision.ASK, "policy_reach")


@pytest.mark.parametrize(
    ("acts", "line"),
    [
        ([run("ls", "-l")], "allow run_command folder=/home/me/Work until=2027-01-01 -- ls -l"),
        ([WRITE], "allow write_file folder=/home/me/Work until=2027-01-01"),
        (
            [replace(WRITE, untrusted=True, leak=True)],
            "allow write_file folder=/home/me/Work until=2027-01-01 even-after-foreign",
        ),
        ([FETCH], "allow fetch_url host=docs.example.org method=GET prefix=/guide/ until=2027-01-01"),
        (
            [replace(CURL, host="a.example")],
            "allow run_command folder=/home/me/Work host=a.example until=2027-01-01 -- curl x",
        ),
        ([replace(CURL, host="a.example"), replace(CURL, host="b.example")], None),
        ([replace(CURL, host="github.com")], None),
        ([replace(FETCH, host="github.com", url_path="/")], None),
        ([replace(WRITE, folder=None, where="results")], None),
        ([replace(run("ls"), wall="none")], None),
        ([replace(WRITE, protected=True)], None),
    ],
)
def test_a_lasting_yes_is_one_line_that_says_no_more(acts: list[Act], line: str | None) -> None:
    """The whole command, the tool in its folder, or host, method and place; else there is none (AP-10, NE-04)."""
    assert lasting(acts, Policy(), until="2027-01-01") == line


def test_a_lasting_yes_is_not_offered_against_another_line() -> None:
    """It would be asked or denied all the same."""
    policy = Policy(lines=parse("ask write_file")[0])

    assert lasting([WRITE], policy, until="2027-01-01") is None


def test_a_policy_that_cannot_be_read_lets_only_reading_happen() -> None:
    """Fail closed, and what could be read of it still denies."""
    broken = Policy(lines=parse("deny read_file path=private/**\nperhaps")[0], broken="line 2")
    look = replace(WRITE, tool="read_file", verb="read")

    assert judge(WRITE, broken).rule == "broken"
    assert judge(look, broken).decision is Decision.ALLOW
    assert judge(replace(look, path="private/x"), broken).decision is Decision.DENY

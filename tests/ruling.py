"""Acts, rules and policies, arbitrary ones and such as a person writes."""

from __future__ import annotations

import string
from typing import get_args

from hypothesis import strategies as st

from deskhand.permissions.evaluate import Policy
from deskhand.permissions.rules import EVEN, SAID, WORDS, Act, Decision, Kind, Rule, Verb, Wall, Where, parse, show
from deskhand.protocol.objects import FolderMode

WIDTH = {Decision.DENY: 0, Decision.ASK: 1, Decision.ALLOW: 2}

_tools = st.sampled_from(["write_file", "run_command", "fetch_url"])
_folders = st.sampled_from(["/w", "/w/in"])
_paths = st.sampled_from(["a.md", "private/x.md", "private", "Private/x.md", "in/private/x.md"])
_argv = st.lists(st.sampled_from(["git", "log", "sh", "-c", "git push; ls", "-n", "$x"]), max_size=4)
_hosts = st.sampled_from(["a.example", "b.a.example", "github.com"])
_places = st.sampled_from(["/x/y", "/x/../y", "/"])

acts = st.builds(
    Act,
    tool=_tools,
    verb=st.sampled_from(get_args(Verb)),
    where=st.sampled_from(get_args(Where)),
    mode=st.sampled_from((None, *FolderMode)),
    wall=st.sampled_from(get_args(Wall)),
    protected=st.booleans(),
    narrowed=st.booleans(),
    folder=st.none() | _folders,
    path=st.just("") | _paths,
    deep=st.booleans(),
    argv=_argv.map(tuple),
    host=st.just("") | _hosts,
    method=st.sampled_from(["", "GET", "POST"]),
    url_path=_places,
    kind=st.sampled_from(get_args(Kind)),
    untrusted=st.booleans(),
    leak=st.booleans(),
    day=st.just("2026-11-23"),
)

_spelled: dict[str, st.SearchStrategy[str]] = {
    "folder": _folders | st.sampled_from(["/a b/한", "/x\u202ey", '/"']),
    "path": st.sampled_from(["private/**", "*.md", "**/private/*", "?.md", "private"]),
    "host": _hosts | st.just("*.a.example"),
    "method": st.sampled_from(["GET", "POST"]),
    "prefix": st.sampled_from(["/x", "/x/", "/y"]),
    "until": st.sampled_from(["2026-11-22", "2026-11-23", "2027-01-01"]),
}
_texts = st.fixed_dictionaries({}, optional=_spelled)
_words = st.fixed_dictionaries(
    {}, optional={one: st.lists(st.sampled_from(SAID["words"][one]), min_size=1, unique=True) for one in WORDS}
)
_patterns = st.lists(
    st.none() | st.sampled_from(["git", "log", "push", "sh"]) | st.text(string.printable + "\u202e한"),
    min_size=1,
    max_size=4,
)


@st.composite
def rules(draw: st.DrawFn, decided: Decision | None = None) -> Rule:
    """Return any rule that can be written down."""
    words = {name: ",".join(said) for name, said in draw(_words).items()}
    traits, argv = words | draw(_texts), draw(st.none() | _patterns)
    even = {EVEN: ""} if draw(st.booleans()) else {}
    rule = Rule(
        decision=decided or draw(st.sampled_from(Decision)),
        tool=draw(st.just("*") | _tools),
        traits=tuple({**traits, **even}.items()),
        argv=None if argv is None else tuple(argv),
        rest=argv is not None and draw(st.booleans()),
    )
    return rule if rule.decision is not Decision.ALLOW or parse(show(rule))[0] else draw(rules())


policies = st.builds(
    Policy, lines=st.lists(rules(), max_size=3).map(tuple), account=st.lists(rules(), max_size=1).map(tuple)
)


def rule_of(line: str) -> Rule:
    """Return the rule of a line that is one."""
    found, problems = parse(line)
    assert not problems, problems
    return found[0]

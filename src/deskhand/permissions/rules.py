"""What an act looks like, what a rule is and how it is written: pure data, and the rules that come with Deskhand.

Pure. An act holds facts that trusted code found out (which folder, how wide, is there a wall), never what an agent
says about itself; and what its task has read (others' words, private places; security 5), which only turns on: words of
earlier work without a label count as foreign and as private. It refuses to be clever: what a rule says to an act stands
in ``matching``, all of it.

A rule is written as one line; ``#`` begins a comment:

    deny * path=private/**
    ask run_command -- git push **
    allow fetch_url host=github.com method=GET prefix=/python/cpython/ until=2027-01-31

It refuses what it does not know (a trait, a word, a tool), and an ``allow`` that says less than it seems to: each refusal
names line, column and cure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.resources import files
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

from deskhand.protocol.objects import FolderMode, Trust
from deskhand.protocol.tasks import Brief, Label
from deskhand.texts import table

Verb = Literal["read", "write", "run", "send", "other"]
Where = Literal["folder", "results", "internet", "outside", "nowhere"]
"""In the task's folder, in a results place that we made, at a host that was listed, elsewhere, or about no place."""
Wall = Literal["full", "reduced", "none"]
Risk = Literal["low", "medium", "high"]
Kind = Literal["safe", "fetch", "send", "persist", "never"]
"""The class of an act (security 5): stays here, asks the internet, says something outside, lasts, is nobody's."""

SAID: Final = table("deskhand.permissions", "policy.toml")
"""The rules that come with Deskhand, what traits may say, and which programs run what they are told."""

EVEN: Final = "even-after-foreign"
"""The trait of a line that holds even after foreign content was read beside private files."""
WORDS: Final = (*SAID["words"],)
"""The traits that are one of a few words."""
_EXEC: Final = frozenset(name for names in SAID["exec"].values() for name in names.split())


class Decision(StrEnum):
    """What is to happen with a wish."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One wish as the rules see it.

    ``mode`` is the effective mode: the narrowest of the runner's own file, the hub and the task; without one the
    folder may not be used (any more); ``narrowed`` if that file alone would say more. ``folder`` is its root, ``path`` lies beneath it (or beneath the results place);
    of a directory it means all below: ``deep``. ``host`` has a port where that is not the default one. ``untrusted``
    and ``leak`` are the facts of the task so far, ``day`` is today.
    """

    tool: str
    verb: Verb
    where: Where
    mode: FolderMode | None
    wall: Wall
    protected: bool = False
    folder: str | None = None
    path: str = ""
    deep: bool = False
    argv: tuple[str, ...] = ()
    host: str = ""
    method: str = ""
    url_path: str = ""
    kind: Kind = "safe"
    untrusted: bool = False
    leak: bool = False
    narrowed: bool = False
    day: str = ""

    @property
    def executes(self) -> bool:
        """Whether its program runs what its arguments or a file say."""
        return bool(self.argv) and executes(self.argv[0])

    @property
    def tainted(self) -> bool:
        """Whether a yes that was not given for exactly this is worth nothing: it might carry out what was read (PI-04)."""
        both = self.untrusted and self.leak
        return both or (self.kind == "send" and (self.untrusted or self.leak))

    def fact(self, trait: str) -> str:
        """Return what a rule compares with its words."""
        value = str(getattr(self, trait))
        return {"None": "none", "True": "yes", "False": "no"}.get(value, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What to do with acts that have all these traits; one that is absent does not matter.

    ``traits`` are as they are written. In a command pattern ``None`` is any one word, and ``rest`` stands for any words
    more. Only a rule that comes with Deskhand has a ``name``; a line of a policy has its ``number``.
    """

    decision: Decision
    tool: str = "*"
    traits: tuple[tuple[str, str], ...] = ()
    argv: tuple[str | None, ...] | None = None
    rest: bool = False
    name: str = field(default="", compare=False)
    number: int = field(default=0, compare=False)

    @property
    def whole(self) -> bool:
        """Whether it spells a command to its last word."""
        return self.argv is not None and None not in self.argv and not self.rest


def executes(program: str) -> bool:
    """Return whether a program runs what its arguments or a file say; one named by its path may be anything (SH-05)."""
    name = program.casefold().removesuffix(".exe").rstrip("0123456789.-")
    return "/" in program or "\\" in program or name in _EXEC


def risk_of(act: Act) -> Risk:
    """Return how much an act can spoil, for the person who decides and for the caps of channels."""
    if act.verb == "run":
        return "medium" if act.wall != "none" else "high"
    if act.verb == "other" or act.where == "outside":
        return "high"
    return "low" if act.verb == "read" or act.where == "results" else "medium"


_SAID: Final = files("deskhand.permissions").joinpath("shared_hosts.txt").read_text("ascii")
_SHARED: Final = frozenset(name for line in _SAID.splitlines() if not line.startswith("#") for name in line.split())


def is_shared(host: str) -> bool:
    """Return whether many tenants are behind a host's name."""
    labels = host.lower().rstrip(".").split(".")
    return any(".".join(labels[first:]) in _SHARED for first in range(len(labels)))


def within(path: str, prefix: str) -> bool:
    """Return whether the path of an address lies beneath a prefix, in whichever way a server may read it."""
    path, prefix = path.partition("?")[0].rstrip("/"), prefix.rstrip("/")
    plain = unquote(unquote(path)).replace("\\", "/")
    odd = {".", "..", ""} & {part.partition(";")[0] for part in plain.split("/")[1:]}
    return not prefix or (not odd and f"{path}/".startswith(f"{prefix}/"))


Source = Literal["own", "mine", "mixed", "results", "upload", "web", "connector", "other"]
_UNTOLD: Final = Label(untrusted=("thread",), private=("thread",))


def label_of(source: Source, name: str, *, marked: bool = False) -> Label:
    """Return what reading from a source adds to a task; ``marked``: from a file that came from elsewhere."""
    says = {one for one, sources in SAID["sources"].items() if source in sources.split()}
    foreign = "untrusted" in says or (marked and "marked" in says)
    return Label(untrusted=(name,) * foreign, private=(name,) * ("private" in says))


def together(*labels: Label | None) -> Label:
    """Return all that several labels say."""
    every = [one for one in labels if one]
    return Label(
        untrusted=tuple(sorted({name for one in every for name in one.untrusted})),
        private=tuple(sorted({name for one in every for name in one.private})),
    )


def begun(brief: Brief) -> Label:
    """Return what is known of a task before it does anything: what it follows from, was given and is told."""
    theirs = [one.trust for one in brief.context if one.role == "user"]
    given = [brief.label, *(one.label or _UNTOLD for one in brief.context if one.role != "user")]
    given += [label_of("upload", "upload")] if brief.files else []
    foreign = brief.requester is not None or Trust.UNTRUSTED in theirs
    return together(*given, label_of("other" if foreign else "own", "message"))


def weighed(act: Act, known: Label, *, plain: bool = False, sees: Collection[str] | None = None) -> Act:
    """Return an act with what is known of its task.

    A command was meant to show its folder to the hosts it names. ``plain``: the address was typed by the owner or is a
    link of a page, so it carries nothing. ``sees``: what the destination may see anyway; if that is all, nothing leaves.
    """
    private = {*known.private} - {*(sees or ())} - ({act.folder} if act.verb == "run" else set())
    inside = act.kind == "send" and sees is not None and {*known.private} <= {*sees}
    return replace(
        act,
        kind="safe" if inside else act.kind,
        untrusted=bool(known.untrusted),
        leak=bool(private) and not (plain and act.kind == "fetch"),
    )


# --- as it is written


_WORDS: Final = {name: "|".join(words) for name, words in SAID["words"].items()}
_TRAITS: Final[dict[str, tuple[str, str]]] = {
    **{name: (f"({one})(,({one}))*", one.replace("|", ", ")) for name, one in _WORDS.items()},
    **SAID["texts"],
    EVEN: ("", ""),
}
"""What each trait must look like, and what a person may write."""

_TOOL: Final = re.compile(r"\*|[A-Za-z0-9_.:/-]{1,100}")
_BARE: Final = r'[^\s"#][^\s"]*'
_VALUE: Final = rf'("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{{4}})*"|{_BARE})(?!\S)'
_TOKEN: Final = re.compile(f"(?:([a-z]+)=)?{_VALUE}")
_WORD: Final = re.compile(f"(){_VALUE}")


class Problem(Exception):  # noqa: N818 - what is wrong with a line, for whoever wrote it
    """Why a line is no rule: where, the id of the reason, what stands there and what it takes."""

    line = 0

    def __init__(self, column: int, reason: str, said: str = "", takes: str = "") -> None:
        super().__init__(reason)
        self.column, self.reason, self.said, self.takes = column, reason, said[:100], takes


class _Token(NamedTuple):
    column: int
    trait: str
    said: str
    plain: str  # the same where it is no trait and not quoted


def parse(said: str, tools: Collection[str] = ()) -> tuple[tuple[Rule, ...], tuple[Problem, ...]]:
    """Return the rules of a text, and what is wrong with its other lines; with ``tools`` it knows their names."""
    rules, problems = list[Rule](), list[Problem]()
    for number, line in enumerate(said.split("\n"), 1):
        try:
            if tokens := [*_tokens(line)]:
                rules.append(replace(_rule(tokens, tools), number=number))
        except Problem as bad:
            bad.line = number
            problems.append(bad)
    return tuple(rules), tuple(problems)


def show(rule: Rule) -> str:
    """Return the one line that says a rule, in normal form."""
    parts = [rule.decision.value, rule.tool]
    parts += [f"{trait}={_spelled(said)}" if said else trait for trait, said in rule.traits]
    if rule.argv is not None:
        parts += ["--", *("*" if one is None else _spelled(one) for one in rule.argv)]
        parts += ["**"] * rule.rest
    return " ".join(parts)


def built_in(layer: str) -> tuple[Rule, ...]:
    """Return the rules of one layer that come with Deskhand."""
    said = SAID[layer].items()
    return tuple(replace(rule, name=name) for name, line in said for rule in parse(line)[0])


def _spelled(said: str) -> str:
    """Return a word as it is written: in quotes where it would not be read or seen as itself."""
    if said.isprintable() and re.fullmatch(_BARE, said) and said not in ("*", "**"):
        return said
    return json.dumps(said, ensure_ascii=not said.isprintable())


def _tokens(line: str) -> Generator[_Token]:
    at, shape = 0, _TOKEN
    while (rest := line[at:].lstrip()) and not rest.startswith("#"):
        at = len(line) - len(rest)
        found = shape.match(line, at)
        if found is None:
            raise Problem(at + 1, "spelling", rest)
        trait, said = found[1] or "", found[2]
        quoted = said.startswith('"')
        value = str(json.loads(said)) if quoted else said
        plain = "" if trait or quoted else value
        yield _Token(at + 1, trait, value, plain)
        at, shape = found.end(), _WORD if plain == "--" else shape


def _rule(tokens: list[_Token], tools: Collection[str]) -> Rule:
    """Read one line."""
    cut = next((at for at, one in enumerate(tokens) if one.plain == "--"), len(tokens))
    head, argv = tokens[:cut], tokens[cut + 1 :]
    if not head or head[0].plain not in {*Decision}:
        raise Problem(tokens[0].column, "decision", tokens[0].said)
    tool = head[-1] if len(head) == 1 else head[1]
    known = _TOOL.fullmatch(tool.plain) and (not tools or tool.said in ("*", *tools))
    if tool is head[0] or not known:
        raise Problem(tool.column, "tool", tool.said)
    rest = bool(argv) and argv[-1].plain == "**"
    pattern = argv[: len(argv) - rest]
    if cut < len(tokens) and (not pattern or "**" in [one.plain for one in pattern]):
        raise Problem(tokens[cut].column, "rest", "**")
    rule = Rule(
        decision=Decision(head[0].said),
        tool=tool.said,
        traits=tuple(_traits(head[2:]).items()),
        argv=tuple(None if one.plain == "*" else one.said for one in pattern) if argv else None,
        rest=rest,
    )
    if rule.decision is Decision.ALLOW and (reason := _says_too_little(rule)):
        raise Problem(tool.column, reason)
    return rule


def _traits(tokens: list[_Token]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in tokens:
        name, said = (one.trait, one.said) if one.trait else (one.plain, "")
        if name not in _TRAITS:
            raise Problem(one.column, "trait", name or one.said, ", ".join(_TRAITS))
        if name in found:
            raise Problem(one.column, "twice", name)
        if not re.fullmatch(_TRAITS[name][0], said):
            raise Problem(one.column, "value", f"{name}={said}", _TRAITS[name][1])
        found[name] = said
    return found


def _says_too_little(rule: Rule) -> str | None:
    """Return why an ``allow`` would cover more than a person sees in it."""
    traits, argv = dict(rule.traits), rule.argv or ("", "")
    host, placed = traits.get("host", ""), "method" in traits and traits.get("prefix", "/") != "/"
    named = host.removeprefix("*.").partition(":")[0]
    reasons = {
        "first": argv[0] is None or (rule.rest and len(argv) == 1),
        "exec": bool(argv[0]) and executes(str(argv[0])) and not rule.whole,
        "host": not host and ("method" in traits or "prefix" in traits),
        "tenant": is_shared(named) and not placed,
        "wide": host.startswith("*.") and (is_shared(named) or "." not in named),
    }
    return next((reason for reason, so in reasons.items() if so), None)

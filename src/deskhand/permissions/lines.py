"""The text form of rules: one line each, ``#`` begins a comment.

    deny * path=private/**
    ask run_command -- git push **
    allow fetch_url host=github.com method=GET prefix=/python/cpython/ until=2027-01-31

Pure. It refuses what it does not know (a trait, a word, a tool), and an ``allow`` that says less than it seems to: each
refusal names line, column and cure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from deskhand.permissions.hosts import is_shared
from deskhand.permissions.rules import SAID, Decision, Rule, executes

_WORDS: Final[dict[str, list[str]]] = SAID["words"]
_TEXTS: Final[dict[str, list[str]]] = SAID["texts"]
_EVEN: Final = "even-after-foreign"
_TOOL: Final = re.compile(r"\*|[A-Za-z0-9_.:/-]{1,100}")
_BARE: Final = re.compile(r'[^\s"#][^\s"]*')
_TOKEN: Final = re.compile(r'(?:([a-z]+)=)?("(?:[^"\\]|\\.)*"|[^\s"#][^\s"]*)(?!\S)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a line is no rule: where, the id of the reason, what stands there and what it takes."""

    line: int
    column: int
    reason: str
    said: str
    takes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    column: int
    trait: str
    said: str
    quoted: bool

    def is_(self, *plain: str) -> bool:
        """Whether it is one of these words, not quoted."""
        return not (self.quoted or self.trait) and self.said in plain


class _Unreadable(Exception):  # noqa: N818 - a turn of the reader, not an error of the program
    def __init__(self, column: int, reason: str, said: str = "", takes: str = "") -> None:
        super().__init__(column, reason, said[:100], takes)


def parse(said: str, tools: Collection[str] = ()) -> tuple[tuple[Rule, ...], tuple[Problem, ...]]:
    """Return the rules of a text, and what is wrong with its other lines; with ``tools`` it knows their names."""
    rules: list[Rule] = []
    problems: list[Problem] = []
    for number, line in enumerate(said.split("\n"), 1):
        try:
            rule = _rule([*_tokens(line)], tools)
        except _Unreadable as bad:
            column, reason, what, takes = bad.args
            found = Problem(line=number, column=column, reason=reason, said=what, takes=takes)
            problems.append(found)
        else:
            rules += [replace(rule, number=number)] if rule else []
    return tuple(rules), tuple(problems)


def show(rule: Rule) -> str:
    """Return the one line that says a rule, in normal form."""
    parts = [rule.decision.value, rule.tool]
    parts += [f"{trait}={','.join(sorted(said))}" for trait, said in rule.words]
    parts += [f"{trait}={_spelled(said)}" for trait, said in rule.texts]
    parts += [_EVEN] * rule.even
    if rule.argv is not None:
        words = ["*" if one is None else _spelled(one, but=("*", "**")) for one in rule.argv]
        parts += ["--", *words, *["**"] * rule.rest]
    return " ".join(parts)


def built_in(layer: str) -> tuple[Rule, ...]:
    """Return the rules of one layer that come with Deskhand."""
    said: dict[str, str] = SAID[layer]
    return tuple(replace(one, name=name) for name, line in said.items() for one in parse(line)[0])


def _spelled(said: str, but: Sequence[str] = ()) -> str:
    """Return a word as it is written: in quotes where it would not be read or seen as itself."""
    if said.isprintable() and _BARE.fullmatch(said) and said not in but:
        return said
    return json.dumps(said, ensure_ascii=not said.isprintable())


def _tokens(line: str) -> Generator[_Token]:
    at, command = 0, False
    while (rest := line[at:].lstrip()) and not rest.startswith("#"):
        at = len(line) - len(rest)
        found = _TOKEN.match(line, at)
        trait, said = found.groups() if found else (None, "")
        if command and trait:  # a word of a command has no traits
            trait, said = None, "" if said.startswith('"') else f"{trait}={said}"
        quoted = said.startswith('"')
        try:
            value = str(json.loads(said)) if quoted else said
        except ValueError:
            value = ""
        if found is None or (not value and not quoted):
            raise _Unreadable(at + 1, "spelling", rest)
        token = _Token(column=at + 1, trait=trait or "", said=value, quoted=quoted)
        command, at = command or token.is_("--"), found.end()
        yield token


def _rule(tokens: Sequence[_Token], tools: Collection[str]) -> Rule | None:
    """Read one line; nothing where it says nothing."""
    if not tokens:
        return None
    dashes = next((at for at, one in enumerate(tokens) if one.is_("--")), len(tokens))
    first, *head = tokens[:dashes] or tokens
    if not first.is_(*Decision):
        raise _Unreadable(first.column, "decision", first.said)
    tool = head[0] if head else first
    named = not (tool.trait or tool.quoted) and _TOOL.fullmatch(tool.said)
    if not head or not named or (tools and tool.said not in ("*", *tools)):
        raise _Unreadable(tool.column, "tool", tool.said)
    traits = {one.trait or _EVEN: one for one in head[1:]}
    for at, one in enumerate(head[1:]):
        _check_trait(one, again=traits[one.trait or _EVEN] is not head[1:][at])
    argv = tokens[dashes + 1 :]
    rest = bool(argv) and argv[-1].is_("**")
    pattern = argv[:-1] if rest else argv
    stray = [one for one in pattern if one.is_("**")] or (
        [tokens[-1]] if dashes == len(tokens) - 1 else []
    )
    if stray:
        raise _Unreadable(stray[0].column, "rest", stray[0].said)
    rule = Rule(
        decision=Decision(first.said),
        tool=tool.said,
        words=tuple(
            (one, frozenset(traits[one].said.split(","))) for one in _WORDS if one in traits
        ),
        texts=tuple((one, traits[one].said) for one in _TEXTS if one in traits),
        even=_EVEN in traits,
        argv=tuple(None if one.is_("*") else one.said for one in pattern) if argv else None,
        rest=rest,
    )
    if rule.decision is Decision.ALLOW and (reason := _says_too_little(rule)):
        raise _Unreadable(tool.column, reason, show(rule))
    return rule


def _check_trait(token: _Token, *, again: bool) -> None:
    trait, said = token.trait, token.said
    if again:
        raise _Unreadable(token.column, "twice", trait or said)
    if trait in _WORDS:
        fine, takes = set(said.split(",")) <= {*_WORDS[trait]}, ", ".join(_WORDS[trait])
    elif trait in _TEXTS:
        fine, takes = re.fullmatch(_TEXTS[trait][0], said), _TEXTS[trait][1]
    else:
        fine, takes = token.is_(_EVEN), ", ".join((*_WORDS, *_TEXTS, _EVEN))
    if not fine:
        reason = "value" if trait in (*_WORDS, *_TEXTS) else "trait"
        raise _Unreadable(token.column, reason, f"{trait}={said}" if trait else said, takes)


def _says_too_little(rule: Rule) -> str | None:
    """Return why an ``allow`` would cover more than a person sees in it."""
    texts, argv = dict(rule.texts), rule.argv
    host = texts.get("host", "")
    if argv is not None:
        if argv[:1] in ((), (None,)) or (rule.rest and len(argv) == 1):
            return "first"
        if executes(str(argv[0])) and not rule.whole:
            return "exec"
    if not host and ("method" in texts or "prefix" in texts):
        return "host"
    named = host.removeprefix("*.").partition(":")[0]
    if is_shared(named) and not ("method" in texts and texts.get("prefix", "/") != "/"):
        return "tenant"
    return "wide" if host.startswith("*.") and (is_shared(named) or "." not in named) else None

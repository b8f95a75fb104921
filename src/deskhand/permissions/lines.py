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
from collections.abc import Collection, Generator
from dataclasses import replace
from typing import Final, NamedTuple

from deskhand.permissions.rules import EVEN, SAID, Decision, Rule, executes, is_shared

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

"""How rules are weighed: walls first, then the owner's lines, then what comes with Deskhand; accounts only narrow.

Pure. Within a layer deny beats ask beats allow, and silence of all is a denial. It refuses to let order, number or
complexity of rules matter: every rule is looked at, always. Then why something may or may not happen, and what exactly a
person is asked, in the words of the catalogue: the sentence names the kind of act, the whole of it is in the action.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, cast

from deskhand.permissions.matching import decides
from deskhand.permissions.rules import EVEN, Act, Decision, Problem, Rule, built_in, parse, show
from deskhand.protocol.objects import FolderMode, narrower
from deskhand.protocol.tasks import Action, Label
from deskhand.texts import text

_LIGHT_TO_HEAVY: Final = (Decision.ALLOW, Decision.ASK, Decision.DENY)

WALLS: Final = built_in("walls")
"""Denials that no line lifts."""
FIRM: Final = built_in("firm")
"""What is asked even where a line of the owner allows it."""
FREE: Final = built_in("free")
"""What holds where no line of the owner speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rules say, and which of them decided: by its name, or a line of a policy with its number and text."""

    decision: Decision
    rule: str
    number: int = 0
    line: str = ""


SILENCE: Final = Judgement(decision=Decision.DENY, rule="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What was written down: the ``lines`` of this computer's file and those of the account.

    ``broken`` says where one of both could not be read. Then nothing happens but reading, as far as what could be
    read of them lets it.
    """

    lines: tuple[Rule, ...] = ()
    account: tuple[Rule, ...] = ()
    broken: str = ""


def judge(act: Act, policy: Policy) -> Judgement:
    """Return what is to happen with an act."""
    if wall := weigh(WALLS, act):
        return wall
    if policy.broken and act.verb != "read":
        return Judgement(decision=Decision.DENY, rule="broken", line=policy.broken)
    own, firm = weigh(policy.lines, act, "policy"), weigh(FIRM, act)
    # A denial that might be reached only narrows what would be without it.
    base = None if own and own.rule == "policy" else firm or weigh(FREE, act) or SILENCE
    return heaviest_of(filter(None, [firm, own, base, weigh(policy.account, act, "account")]))


def lasting(acts: Sequence[Act], policy: Policy, *, until: str) -> str | None:
    """Return the line that would let these acts happen again until a day, if one does that and says no more (AP-10).

    It spells the command, or the host with the method and the place of what is fetched, or else the tool; in this
    folder. After foreign content it is a line that holds even then.
    """
    act = acts[0]
    placed = (("folder", act.folder),) if act.folder else ()
    if act.host:
        where = act.url_path.partition("?")[0].rpartition("/")[0] + "/"
        fetched = (("host", act.host), ("method", act.method), ("prefix", where))
        placed = fetched if act.method else (*placed, ("host", act.host))
    even = ((EVEN, ""),) if act.tainted else ()
    traits = (*placed, ("until", until), *even)
    argv = act.argv if act.verb == "run" else None
    rule = Rule(decision=Decision.ALLOW, tool=act.tool, traits=traits, argv=argv)
    more = replace(policy, lines=(*policy.lines, rule))
    fits = all(judge(one, more).decision is Decision.ALLOW for one in acts)
    return show(rule) if placed and fits and not parse(show(rule))[1] else None


def weigh(rules: Iterable[Rule], act: Act, name: str = "") -> Judgement | None:
    """Return the heaviest decision among the rules that speak about an act; nothing where none does."""
    found = list[Judgement]()
    for rule in rules:
        decision = decides(rule, act)
        if decision is not None:
            called = rule.name or (name if decision is rule.decision else f"{name}_reach")
            line = "" if rule.name else show(rule)
            found.append(Judgement(decision=decision, rule=called, number=rule.number, line=line))
    return heaviest_of(found) if found else None


def heaviest_of(judgements: Iterable[Judgement]) -> Judgement:
    """Return the heaviest of several judgements about parts of one wish; none at all is a denial."""
    return max(judgements, key=lambda one: _LIGHT_TO_HEAVY.index(one.decision), default=SILENCE)


def effective_mode(modes: Iterable[FolderMode | None]) -> FolderMode | None:
    """Return the narrowest of several modes; one that grants nothing makes it nothing."""
    every = [*modes]
    granted = [mode for mode in every if mode is not None]
    return reduce(narrower, granted) if granted and len(granted) == len(every) else None


_LATIN_WORD: Final = re.compile(r"\w*[A-Za-z]\w*")
_ALIKE: Final = re.compile("[\u0370-\u052f\uff01-\uff5e]")


def rule_sentence(judgement: Judgement, *, language: str = "en") -> str:
    """Return why it was decided so: what the rule means, or the line of a policy and where it stands."""
    said = {"number": judgement.number, "line": visible(judgement.line)}
    return text(f"rule.{judgement.rule}", language=language, **said)


def problem_sentence(problem: Problem, *, language: str = "en") -> str:
    """Return where a line of a policy is wrong, and what helps."""
    said = {"said": visible(problem.said), "takes": problem.takes}
    what = text(f"policy.bad.{problem.reason}", language=language, **said)
    place = {"line": problem.line, "column": problem.column}
    return text("policy.bad", language=language, what=what, **place)


def ask_sentence(act: Act, action: Action, *, known: Label | None = None, language: str = "en") -> str:
    """Return the question a person is asked about an action; of one that leaves, what its task has read."""
    what = " ".join(action.argv) if action.argv else action.target or action.tool
    key = {"write": "ask.write", "run": "ask.run", "send": "ask.send"}.get(act.verb, "ask.other")
    hosts = ", ".join(map(str, cast("list[object]", action.arguments.get("hosts") or [])))
    key = "ask.run_to" if act.verb == "run" and hosts else key
    said = {"what": visible(what), "tool": action.tool, "hosts": visible(hosts)}
    sentences = [text(key, language=language, **said)]
    known = known if known and act.kind != "safe" else Label()
    carried = known.private if act.leak or act.kind != "fetch" else ()
    for key, read in (("ask.foreign", known.untrusted), ("ask.carries", carried)):
        if read:
            shown = visible(f"{', '.join(read):.200}")
            sentences.append(text(key, language=language, names=shown))
    return " ".join(sentences)


def visible(value: str) -> str:
    """Show control characters, and letters that imitate those of their word, instead of obeying them (AP-09)."""
    told = _LATIN_WORD.sub(lambda word: _ALIKE.sub(_spelled, word[0]), value)
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in told)


def _spelled(letter: re.Match[str]) -> str:
    return f"\\u{ord(letter[0]):04x}"

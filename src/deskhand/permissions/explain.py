"""Why something may or may not happen, and what exactly a person is asked, in the words of the catalogue.

Pure. It refuses to shorten what would run: the sentence names the kind of act, the whole of it is in the action.
"""

from __future__ import annotations

import re
from typing import Final, cast

from deskhand.permissions.evaluate import Judgement
from deskhand.permissions.lines import Problem
from deskhand.permissions.rules import Act, Decision
from deskhand.protocol.tasks import Action, Label
from deskhand.texts import text

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


def refusal_sentence(why: str, *, decision: Decision, language: str = "en") -> str:
    """Return what an agent and a person are told about a wish that was not carried out."""
    return text(f"refused.{decision}", language=language, why=why)


def visible(value: str) -> str:
    """Show control characters, and letters that imitate those of their word, instead of obeying them (AP-09)."""
    told = _LATIN_WORD.sub(lambda word: _ALIKE.sub(_spelled, word[0]), value)
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in told)


def _spelled(letter: re.Match[str]) -> str:
    return f"\\u{ord(letter[0]):04x}"

"""Why something may or may not happen, and what exactly a person is asked, in the words of the catalogue.

Pure. It refuses to shorten what would run: the sentence names the kind of act, the whole of it is in the action.
"""

from __future__ import annotations

from deskhand.permissions.rules import Act, Decision
from deskhand.protocol.tasks import Action
from deskhand.texts import text


def rule_sentence(rule: str, *, language: str = "en") -> str:
    """Return why a rule decides as it does."""
    return text(f"rule.{rule}", language=language)


def ask_sentence(act: Act, action: Action, *, language: str = "en") -> str:
    """Return the question a person is asked about an action."""
    what = " ".join(action.argv) if action.argv else action.target or action.tool
    key = {"write": "ask.write", "run": "ask.run", "send": "ask.send"}.get(act.verb, "ask.other")
    return text(key, language=language, what=_one_line(what), tool=action.tool)


def refusal_sentence(rule: str, *, decision: Decision, language: str = "en") -> str:
    """Return what an agent and a person are told about a wish that was not carried out."""
    return text(
        f"refused.{decision}", language=language, why=rule_sentence(rule, language=language)
    )


def _one_line(value: str) -> str:
    """Show control characters instead of obeying them (AP-09)."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in value)

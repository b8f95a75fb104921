"""Judging a result from a fresh start: what a verifier is asked, and the checks that its answer comes to.

Pure. It sees criteria and results, never the story of the work. It refuses to take silence, a malformed answer, or a
quote that does not stand in the results, for a judgement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pydantic_ai import messages as chat

from deskhand.agents.builtin.answers import read, tool_of
from deskhand.agents.builtin.telling import cut, fence
from deskhand.limits import EVIDENCE_CHARS_MAX
from deskhand.ports import Evidence
from deskhand.protocol.moves import Report
from deskhand.protocol.tasks import Check
from deskhand.texts import text

REPORT: Final = tool_of("report", Report)
_NUMBER: Final = re.compile(r"^\d+: ?", re.MULTILINE)
"""Results come as numbered lines; a quote may be over several."""


def question(
    criteria: Sequence[str], evidence: Sequence[Evidence], *, bytes_max: int, language: str
) -> list[chat.ModelMessage]:
    """Return what a verifier is asked; results share the room evenly, and a cut one says so."""
    rules = text("agent.judge", language=language)
    listed = [f"{number}. {one}" for number, one in enumerate(criteria, start=1)]
    asked = "\n".join([text("agent.judge.criteria", language=language), *listed])
    left = bytes_max - len(f"{rules}{asked}".encode())
    share = max(0, left // max(1, len(evidence)) - 200)
    shown = [fence(one.name, cut(one.text, share, language=language)) for one in evidence]
    parts = [chat.UserPromptPart("\n\n".join([asked, *shown]))]
    return [chat.ModelRequest(parts=parts, instructions=rules)]


def checks_of(
    response: chat.ModelResponse, criteria: Sequence[str], evidence: Sequence[Evidence]
) -> tuple[Check, ...]:
    """Return a check for each criterion that was really judged, in their order."""
    found: dict[int, Check] = {}
    there = [_plain(said) for one in evidence for said in (one.text, _NUMBER.sub("", one.text))]
    calls = (one for one in response.tool_calls if one.tool_name == REPORT.name)
    reports = (report for call in calls if (report := read(Report, call)))
    for said in (judgement for report in reports for judgement in report.judgements):
        quote, number = _plain(said.quote), said.criterion
        made_up = bool(quote) and not any(quote in one for one in there)
        if made_up or number in found or not 1 <= number <= len(criteria):
            continue
        told = f"“{quote}” {said.reason}".strip() if quote else said.reason
        found[number] = Check(
            name=criteria[number - 1][:200],
            passed=said.passed,
            evidence=told[:EVIDENCE_CHARS_MAX],
            ran_by="verifier",
        )
    return tuple(found[number] for number in sorted(found))


def _plain(said: str) -> str:
    return " ".join(said.split())

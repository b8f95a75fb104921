"""Judging a result from a fresh start: what a verifier is asked, and the checks that its answer comes to.

Pure. It sees criteria and results, never the story of the work. It refuses to take silence, a malformed answer, or a
quote that does not stand in the results, for a judgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    UserPromptPart,
)

from deskhand.agents.builtin.answers import read, tool_of
from deskhand.agents.builtin.telling import cut, fence
from deskhand.limits import EVIDENCE_CHARS_MAX
from deskhand.ports import Evidence
from deskhand.protocol.moves import Finding, Report
from deskhand.protocol.tasks import Check
from deskhand.texts import text

REPORT: Final = tool_of("report", Report)
_NUMBER: Final = re.compile(r"^\d+: ?", re.MULTILINE)
"""Results come as numbered lines; a quote may be over several."""


def question(
    criteria: Sequence[str], evidence: Sequence[Evidence], *, bytes_max: int, language: str
) -> list[ModelMessage]:
    """Return what a verifier is asked; results share the room evenly, and a cut one says so."""
    rules = text("agent.judge", language=language)
    listed = [f"{number}. {one}" for number, one in enumerate(criteria, start=1)]
    asked = "\n".join([text("agent.judge.criteria", language=language), *listed])
    left = bytes_max - len(f"{rules}{asked}".encode())
    share = max(0, left // max(1, len(evidence)) - 200)
    shown = [fence(one.name, cut(one.text, share, language=language)) for one in evidence]
    parts = [UserPromptPart("\n\n".join([asked, *shown]))]
    return [ModelRequest(parts=parts, instructions=rules)]


def checks_of(
    response: ModelResponse, criteria: Sequence[str], evidence: Sequence[Evidence]
) -> tuple[Check, ...]:
    """Return a check for each criterion that was really judged, in their order."""
    found: dict[int, Check] = {}
    there = [_plain(said) for one in evidence for said in (one.text, _NUMBER.sub("", one.text))]
    for said in _judgements(response):
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


def _judgements(response: ModelResponse) -> Iterator[Finding]:
    for part in response.parts:
        if isinstance(part, ToolCallPart) and part.tool_name == REPORT.name:
            report = read(Report, part)
            yield from report.judgements if report else ()


def _plain(said: str) -> str:
    return " ".join(said.split())

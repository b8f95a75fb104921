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
from pydantic_ai.tools import ToolDefinition

from deskhand.agents.builtin.answers import arguments_of
from deskhand.agents.builtin.telling import cut, fence
from deskhand.ports import Evidence
from deskhand.protocol.tasks import Check
from deskhand.protocol.wire import Json
from deskhand.texts import text

REPORT: Final = ToolDefinition(
    name="report",
    description="Report on every criterion, each once.",
    parameters_json_schema={
        "type": "object",
        "properties": {
            "judgements": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "criterion": {"type": "integer", "description": "Its number."},
                        "quote": {
                            "type": "string",
                            "description": "The words of the result that decide it, verbatim; "
                            "empty where what decides it is that something is not there.",
                        },
                        "reason": {"type": "string", "description": "One sentence."},
                        "passed": {"type": "boolean"},
                    },
                    "required": ["criterion", "quote", "reason", "passed"],
                },
            }
        },
        "required": ["judgements"],
    },
)


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
        match said:
            case {"criterion": int(number), "passed": bool(passed), **rest} if (
                1 <= number <= len(criteria) and number not in found
            ):
                quote = _plain(str(rest.get("quote") or ""))
                if quote and not any(quote in one for one in there):
                    continue  # made up
                why = str(rest.get("reason") or "")
                told = f"“{quote}” {why}".strip() if quote else why
                name = criteria[number - 1][:200]
                found[number] = Check(
                    name=name, passed=passed, evidence=told[:4000], ran_by="verifier"
                )
            case _:
                pass
    return tuple(found[number] for number in sorted(found))


def _judgements(response: ModelResponse) -> Iterator[Json]:
    for part in response.parts:
        if isinstance(part, ToolCallPart) and part.tool_name == REPORT.name:
            said = arguments_of(part).get("judgements")
            yield from said if isinstance(said, list) else ()


def _plain(said: str) -> str:
    return " ".join(said.split())

"""What a language model may say to us beside its wishes for tools. Docstrings and descriptions are written for it.

Read with patience, because a small model calls a list of one a text. Whether it is true is not known here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from deskhand.protocol.tasks import PlanItem
from deskhand.protocol.wire import Wire

LINES_MAX = 20


def _listed(said: object) -> object:
    return [said] if isinstance(said, str) else said


def _steps(said: object) -> object:
    if not isinstance(said, list):
        return said
    return [{"text": one} if isinstance(one, str) else one for one in said][:LINES_MAX]  # pyright: ignore[reportUnknownVariableType] - looked at by what follows


Lines = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class SetPlan(Wire):
    """Show the person what must be true at the end, and the steps there.

    Call it together with your first look when the work has more than three steps, and again with steps ticked off;
    never alone when another call could go along.
    """

    steps: Annotated[tuple[PlanItem, ...], BeforeValidator(_steps)] = Field(min_length=1)
    criteria: Lines = Field(
        default=(),
        max_length=LINES_MAX,
        description="The task restated: each a sentence that somebody else could check on the result.",
    )


class AskPerson(Wire):
    """Ask the person one question, when a choice matters that they did not make and you cannot find out.

    They may answer in days, so do first whatever does not depend on it.
    """

    text: str
    choices: Lines = Field(default=(), description="Two to four likely answers; they may also answer freely.")


class Finish(Wire):
    """Say that the task is done. We then look for every output and run the checks."""

    summary: str = Field(description="Two or three sentences for the person: the result first, then what is uncertain.")
    outputs: Lines = Field(default=(), description="The path of every file you made for the person.")


class Surrender(Wire):
    """Say honestly that the task cannot be done."""

    reasons: Lines = Field(description="What you tried, and what is missing; a sentence each.")


class Finding(Wire):
    """What decides about one criterion."""

    criterion: int = Field(description="Its number.", strict=True)
    quote: str = Field(
        default="",
        description="The words of the result that decide it, verbatim; empty where what decides it is that something "
        "is not there.",
    )
    reason: str = Field(default="", description="One sentence.")
    passed: bool = Field(strict=True)


class Report(Wire):
    """Report on every criterion, each once."""

    judgements: tuple[Finding, ...]

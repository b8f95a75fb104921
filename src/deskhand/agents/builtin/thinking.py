"""Asks a language model, and makes of whatever it says a move or an honest end.

It refuses to believe that an empty answer is an answer, that half of one is whole, and to wait for a model that has
gone silent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final, TypeVar

from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from deskhand.agents.builtin.answers import OWN, move_of, said_in
from deskhand.agents.builtin.choosing import ModelChoice
from deskhand.agents.builtin.judging import REPORT, checks_of, question
from deskhand.agents.builtin.mind import Mind
from deskhand.agents.builtin.models import Models, complaint
from deskhand.agents.builtin.telling import messages_of
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Evidence, GiveUp, Judgement, Move, Spent, Turn
from deskhand.protocol.tasks import Brief
from deskhand.texts import text

R = TypeVar("R")
TRIES: Final = 3
"""How often a model is asked for one move: an empty answer is nudged twice."""
CONTEXT_TOKENS: Final = 32_000
"""Of a model about which nothing is known."""
ANSWER_TOKENS: Final = 8_000
BYTES_PER_TOKEN: Final = 3
"""A careful guess: three letters of English, or one of Korean, are a token."""
_SHARES: Final = (1.0, 0.5, 0.25)
"""A guess of tokens can be wrong: less is sent when the model says so."""


class Thinker:
    """Thinks and judges with the models that a mind chooses."""

    def __init__(self, mind: Mind) -> None:
        """Keep what to think with; models are opened when they are first needed."""
        self._mind = mind
        self._models = Models(standin=mind.standin)
        tools = [
            ToolDefinition(
                name=one.name, description=one.description, parameters_json_schema=dict(one.schema)
            )
            for one in mind.tools
        ] + [*OWN]
        self._offered = ModelRequestParameters(function_tools=tools)
        self._offered_bytes = sum(
            len(f"{one.name}{one.description}{json.dumps(one.parameters_json_schema)}")
            for one in tools
        )

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move; see the agent."""
        scene, choice = self._mind.scene(brief), self._mind.choose(brief)

        async def within(room: int) -> Move:
            told = messages_of(brief, history, scene, bytes_max=room, language=self._mind.language)
            return await self._answered(choice, told, brief)

        return await _fitting(choice, self._offered_bytes, within)

    async def judge(
        self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]
    ) -> Judgement:
        """Return one check for each criterion that could be judged; see the agent."""
        choice = self._mind.choose(brief)
        only = ModelRequestParameters(function_tools=[REPORT])

        async def within(room: int) -> Judgement:
            told = question(criteria, evidence, bytes_max=room, language=self._mind.language)
            response = await self._asked(choice, told, only, tool_choice=[REPORT.name])
            spent = _and(Spent(model=choice.name, usd="0"), response)
            return Judgement(checks=checks_of(response, criteria, evidence), spent=spent)

        return await _fitting(choice, 0, within)

    async def close(self) -> None:
        """Close the connections to models."""
        await self._models.close()

    async def _answered(self, choice: ModelChoice, told: list[ModelMessage], brief: Brief) -> Move:
        """Ask until there is an answer in the answer."""
        said, spent = "", Spent(model=choice.name, usd="0")
        for _ in range(TRIES):
            self._mind.hear(brief, None)
            response = await self._asked(
                choice, told, self._offered, hear=partial(self._mind.hear, brief)
            )
            spent = _and(spent, response)
            move = move_of(response, language=self._mind.language)
            if move is not None:
                return replace(move, spent=spent)
            half = said_in(response)
            said = half or said
            nudge = ModelRequest(parts=[UserPromptPart(self._say("agent.empty"))])
            told = [*told, *([ModelResponse(parts=[TextPart(half)])] if half else []), nudge]
        reasons = (self._say("agent.said_nothing"), *([said] if said else []))
        return GiveUp(reasons=reasons, spent=spent)

    async def _asked(
        self,
        choice: ModelChoice,
        told: list[ModelMessage],
        offered: ModelRequestParameters,
        *,
        hear: Callable[[str], None] | None = None,
        tool_choice: list[str] | None = None,
    ) -> ModelResponse:
        """Return one whole response, whose text is heard as it comes."""
        model = self._models.open(choice)
        settings = ModelSettings(max_tokens=_answer_tokens(choice), cache=True)
        if tool_choice is not None:
            settings["tool_choice"] = tool_choice
        loop, seconds = asyncio.get_running_loop(), self._mind.silent_seconds
        try:
            async with (
                asyncio.timeout(seconds) as patience,
                model_request_stream(
                    model, told, model_settings=settings, model_request_parameters=offered
                ) as stream,
            ):
                first = True  # heard even if it is no text, so that it can be timed
                async for event in stream:
                    patience.reschedule(loop.time() + seconds)
                    if hear is not None and ((said := _said(event)) or first):
                        hear(said)
                    first = False
                response = stream.get()
        except TimeoutError:
            raise DeskhandError(Code.MODEL_BUSY, choice.name) from None
        except (ModelAPIError, UnexpectedModelBehavior) as error:
            raise complaint(error, choice.name) from None
        return self._models.believed(response, choice)

    def _say(self, key: str) -> str:
        return text(key, language=self._mind.language)


def _answer_tokens(choice: ModelChoice) -> int:
    return min(ANSWER_TOKENS, (choice.context_tokens or CONTEXT_TOKENS) // 4)


async def _fitting(
    choice: ModelChoice, taken_bytes: int, within: Callable[[int], Awaitable[R]]
) -> R:
    """Return what comes of so many bytes of conversation, less with each time that it is too much."""
    tokens = (choice.context_tokens or CONTEXT_TOKENS) - _answer_tokens(choice)
    whole = tokens * BYTES_PER_TOKEN - taken_bytes
    for share in _SHARES:
        try:
            return await within(int(whole * share))
        except DeskhandError as error:
            if error.code is not Code.MODEL_CONTEXT:
                raise
    raise DeskhandError(Code.MODEL_CONTEXT, choice.name)


def _said(event: object) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=said)):
            return said
        case PartDeltaEvent(delta=TextPartDelta(content_delta=said)):
            return said
        case _:
            return ""


def _and(spent: Spent, response: ModelResponse) -> Spent:
    """Return what was spent with one more response; a price that is not known makes the whole unknown."""
    usd: str | None = None
    with suppress(LookupError, ValueError, AssertionError):
        usd = str(Decimal(spent.usd or "NaN") + response.cost().total_price)
    return Spent(
        model=response.model_name or spent.model,
        input_tokens=spent.input_tokens + response.usage.input_tokens,
        output_tokens=spent.output_tokens + response.usage.output_tokens,
        usd=usd if spent.usd is not None else None,
    )

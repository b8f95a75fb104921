"""Asks a language model, and makes of whatever it says a move or an honest end.

It refuses to believe that an empty answer is an answer, that half of one is whole, that a server of one's own costs
what the cloud's list says, and to wait for a model that has gone silent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from pydantic_ai import messages as chat
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from deskhand.agents.builtin.answers import OWN, move_of, said_in
from deskhand.agents.builtin.choosing import Offer
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
        ]
        self._offered = ModelRequestParameters(function_tools=[*tools, *OWN])
        told = [(one.description, one.parameters_json_schema) for one in [*tools, *OWN]]
        self._offered_bytes = len(json.dumps(told))

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
            response = await self._asked(choice, told, only, forced=True)
            checks = checks_of(response, criteria, evidence)
            return Judgement(checks=checks, spent=spent_on(choice, [response]))

        return await _fitting(choice, 0, within)

    async def close(self) -> None:
        """Close the connections to models."""
        await self._models.close()

    async def _answered(self, choice: Offer, told: list[chat.ModelMessage], brief: Brief) -> Move:
        """Ask until there is an answer in the answer."""
        said, responses = "", list[chat.ModelResponse]()
        hear, language = partial(self._mind.hear, brief), self._mind.language
        nudge = chat.UserPromptPart(text("agent.empty", language=language))
        for _ in range(TRIES):
            hear(None)
            responses.append(await self._asked(choice, told, self._offered, hear=hear))
            move = move_of(responses[-1], language=language)
            if move is not None:
                return replace(move, spent=spent_on(choice, responses))
            half = said_in(responses[-1])
            said = half or said
            begun = [chat.ModelResponse(parts=[chat.TextPart(half)])] if half else []
            told = [*told, *begun, chat.ModelRequest(parts=[nudge])]
        reasons = (text("agent.said_nothing", language=language),)
        return GiveUp(reasons=reasons, say=said, spent=spent_on(choice, responses))

    async def _asked(
        self,
        choice: Offer,
        told: list[chat.ModelMessage],
        offered: ModelRequestParameters,
        *,
        hear: Callable[[str], None] = lambda _: None,
        forced: bool = False,
    ) -> chat.ModelResponse:
        """Return one whole response, whose text is heard as it comes; ``forced``: it must be a call."""
        model = self._models.open(choice)
        settings = ModelSettings(max_tokens=_answer_tokens(choice), cache=True)
        if forced:
            settings["tool_choice"] = [one.name for one in offered.function_tools]
        loop, seconds = asyncio.get_running_loop(), self._mind.silent_seconds
        try:
            async with (
                asyncio.timeout(seconds) as patience,
                model_request_stream(
                    model, told, model_settings=settings, model_request_parameters=offered
                ) as stream,
            ):
                async for event in stream:
                    patience.reschedule(loop.time() + seconds)
                    hear(_said(event))
                response = stream.get()
        except TimeoutError:
            raise DeskhandError(Code.MODEL_BUSY, choice.name) from None
        except (ModelAPIError, UnexpectedModelBehavior) as error:
            raise complaint(error, choice.name) from None
        return self._models.believed(response, choice)


def spent_on(choice: Offer, responses: Sequence[chat.ModelResponse]) -> Spent:
    """Return what responses cost; one price that is not known makes the whole unknown.

    Prices are the cloud's: at an address of one's own, a name says nothing of what is paid there.
    """
    usd: str | None = None
    with suppress(LookupError, ValueError, AssertionError):
        if not choice.base_url:
            usd = str(sum(one.cost().total_price for one in responses))
    return Spent(
        model=responses[-1].model_name or choice.name,
        input_tokens=sum(one.usage.input_tokens for one in responses),
        output_tokens=sum(one.usage.output_tokens for one in responses),
        usd=usd,
    )


def _answer_tokens(choice: Offer) -> int:
    return min(ANSWER_TOKENS, (choice.context_tokens or CONTEXT_TOKENS) // 4)


async def _fitting(choice: Offer, taken_bytes: int, within: Callable[[int], Awaitable[R]]) -> R:
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
        case chat.PartStartEvent(part=chat.TextPart(content=said)):
            return said
        case chat.PartDeltaEvent(delta=chat.TextPartDelta(content_delta=said)):
            return said
        case _:
            return ""

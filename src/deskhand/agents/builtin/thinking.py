"""Asks a language model, and makes of whatever it says a move or an honest end.

Each provider is opened once; what it complains of becomes one of the closed list of errors. It refuses to believe
that an empty answer is an answer, that half of one is whole, and that a server of one's own costs what the cloud's list
says; to wait for a model that has gone silent; to log or repeat an API key; to let a provider's library retry behind
our back (waiting is the runner's, where it survives a restart); and to take a scripted program for a model outside the
demo and the tests.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic_ai import messages as chat
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior, UserError
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from deskhand.agents.builtin import talking
from deskhand.agents.builtin.agent import KNOWN, STAND_IN, BuiltInAgent, Offer
from deskhand.errors import Code, DeskhandError
from deskhand.limits import RETRY_AFTER_SECONDS_MAX
from deskhand.ports import Evidence, GiveUp, Judgement, Move, Spent, Turn
from deskhand.protocol.tasks import Brief
from deskhand.texts import text

R = TypeVar("R")
TRIES: Final = 3
"""How often a model is asked for one move: an empty answer is nudged twice."""
CONTEXT_TOKENS: Final = 32_000
"""Of a model about which nothing is known."""

_COMPLAINTS: Final = {name: Code(code) for name, code in KNOWN["complaints"].items()}


class Thinker:
    """Thinks and judges with the models that a mind chooses."""

    def __init__(self, mind: BuiltInAgent) -> None:
        """Keep what to think with; models are opened when they are first needed."""
        self._mind = mind
        # Making a provider anew for each turn costs 30 ms and never gives memory back.
        self._providers: dict[tuple[str, str | None, str | None], Provider[Any]] = {}
        self._clients: list[httpx2.AsyncClient] = []
        tools = [
            ToolDefinition(name=one.name, description=one.description, parameters_json_schema=dict(one.schema))
            for one in mind.tools
        ]
        self._offered = ModelRequestParameters(function_tools=[*tools, *talking.OWN])
        told = [(one.description, one.parameters_json_schema) for one in [*tools, *talking.OWN]]
        self._offered_bytes = len(json.dumps(told))

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move; see the agent."""
        choice, scene = await self._mind.choose(brief), self._mind.scene(brief)

        async def within(room: int) -> Move:
            told = talking.messages_of(brief, history, scene, bytes_max=room, language=self._mind.language)
            return await self._answered(choice, told, brief)

        return await _fitting(choice, self._offered_bytes, within)

    async def judge(self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        """Return one check for each criterion that could be judged; see the agent."""
        choice = await self._mind.choose(brief)

        async def within(room: int) -> Judgement:
            told = talking.question(criteria, evidence, bytes_max=room, language=self._mind.language)
            response = await self._asked(choice, told, forced=talking.REPORT)
            return Judgement(checks=talking.checks_of(response, criteria, evidence), spent=spent_on(choice, [response]))

        return await _fitting(choice, 0, within)

    async def close(self) -> None:
        """Close every connection; a model that is asked again opens new ones."""
        for provider in self._providers.values():
            async with provider:
                pass
        for client in self._clients:
            await client.aclose()
        self._providers, self._clients = {}, []

    async def _answered(self, choice: Offer, told: list[chat.ModelMessage], brief: Brief) -> Move:
        """Ask until there is an answer in the answer."""
        said, responses = "", list[chat.ModelResponse]()
        hear, language = partial(self._mind.hear, brief), self._mind.language
        nudge = chat.UserPromptPart(text("agent.empty", language=language))
        for _ in range(TRIES):
            hear(None)
            responses.append(await self._asked(choice, told, hear=hear))
            move = talking.move_of(responses[-1], language=language)
            if move is not None:
                return replace(move, spent=spent_on(choice, responses))
            half = talking.said_in(responses[-1])
            said = half or said
            begun = [chat.ModelResponse(parts=[chat.TextPart(half)])] if half else []
            told = [*told, *begun, chat.ModelRequest(parts=[nudge])]
        reasons = (text("agent.said_nothing", language=language),)
        return GiveUp(reasons=reasons, say=said, spent=spent_on(choice, responses))

    async def _asked(
        self,
        choice: Offer,
        told: list[chat.ModelMessage],
        *,
        hear: Callable[[str], None] = lambda _: None,
        forced: ToolDefinition | None = None,
    ) -> chat.ModelResponse:
        """Return one whole response, whose text is heard as it comes; ``forced``: the tool that it must call.

        Raises:
            DeskhandError: ``model_busy``, also for a stream that broke off before it was said why it ends: half an
                answer is none; ``model_unknown`` for a stand-in, which says by itself what it is.
        """
        model, offered = self._model(choice), self._offered
        settings = ModelSettings(max_tokens=_answer_tokens(choice), cache=True)
        if forced is not None:
            offered = ModelRequestParameters(function_tools=[forced])
            settings["tool_choice"] = [forced.name]
        loop, seconds = asyncio.get_running_loop(), self._mind.silent_seconds
        try:
            async with (
                asyncio.timeout(seconds) as patience,
                model_request_stream(model, told, model_settings=settings, model_request_parameters=offered) as stream,
            ):
                async for event in stream:
                    patience.reschedule(loop.time() + seconds)
                    hear(_said(event))
                response = stream.get()
        except TimeoutError:
            raise DeskhandError(Code.MODEL_BUSY, choice.name) from None
        except (ModelAPIError, UnexpectedModelBehavior) as error:
            raise complaint(error, choice.name) from None
        self._refuse_standin(response.model_name or "", choice)
        if not (response.provider_details or {}).get("finish_reason") and response.finish_reason != "content_filter":
            raise DeskhandError(Code.MODEL_BUSY, choice.name)
        return response

    def _model(self, choice: Offer) -> Model:
        """Return the model.

        Raises:
            DeskhandError: ``model_unknown`` for a name nobody provides, ``model_key`` where the key is missing.
        """
        called = choice.model or choice.name
        self._refuse_standin(called.partition(":")[2], choice)
        try:
            return infer_model(called, lambda provider: self._provider(provider, choice))
        except ImportError as missing:
            raise DeskhandError(Code.MODEL_UNKNOWN, str(missing)) from None
        except (UserError, ValueError) as wrong:
            code = Code.MODEL_KEY if "API_KEY" in str(wrong) else Code.MODEL_UNKNOWN
            raise DeskhandError(code, called.partition(":")[0]) from None

    def _refuse_standin(self, name: str, choice: Offer) -> None:
        if name.casefold().startswith(STAND_IN) and not self._mind.standin:
            raise DeskhandError(Code.MODEL_UNKNOWN, f"{choice.name}: stand-in")

    def _provider(self, name: str, choice: Offer) -> Provider[Any]:
        secret = choice.key.reveal() if choice.key else None
        key = (name, choice.base_url, secret)
        if key not in self._providers:
            given: dict[str, Any] = {"api_key": secret} if secret else {}
            if choice.base_url:
                # A server here may want no key, but its client library insists on one.
                given = {"base_url": choice.base_url, "api_key": secret or "none"}
                if urlsplit(choice.base_url).hostname in ("localhost", "127.0.0.1", "::1"):
                    # A proxy of the environment cannot reach it, and must not hear what is said to it.
                    # Whether a model went silent is watched elsewhere.
                    given["http_client"] = httpx2.AsyncClient(trust_env=False, timeout=600.0)
                    self._clients.append(given["http_client"])
            made = self._providers[key] = infer_provider_class(name)(**given)
            if hasattr(made.client, "max_retries"):
                made.client.max_retries = 0  # said with a request, it costs a copy of the client
        return self._providers[key]


def spent_on(choice: Offer, responses: Sequence[chat.ModelResponse]) -> Spent:
    """Return what responses cost; one price that is not known makes the whole unknown.

    Prices are the cloud's: at an address of one's own, a name says nothing of what is paid there.
    """
    usd: str | None = None
    with suppress(LookupError, ValueError, AssertionError):
        if not choice.base_url:
            usd = str(sum(one.cost().total_price for one in responses))
    model, used = responses[-1].model_name or choice.name, [one.usage for one in responses]
    read, said = sum(one.input_tokens for one in used), sum(one.output_tokens for one in used)
    return Spent(model=model, input_tokens=read, output_tokens=said, usd=usd)


def _answer_tokens(choice: Offer) -> int:
    return min(8_000, (choice.context_tokens or CONTEXT_TOKENS) // 4)


async def _fitting(choice: Offer, taken_bytes: int, within: Callable[[int], Awaitable[R]]) -> R:
    """Return what comes of so many bytes of conversation, less with each time that it is too much."""
    tokens = (choice.context_tokens or CONTEXT_TOKENS) - _answer_tokens(choice)
    # A careful guess: three letters of English, or one of Korean, are a token. When the model says no, less is sent.
    whole = tokens * 3 - taken_bytes
    for share in (1.0, 0.5, 0.25):
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


def complaint(error: Exception, model: str) -> DeskhandError:
    """Return what to tell of a provider's error; how long it asks to wait goes along."""
    kinds = (kind.__name__ for kind in type(error).__mro__)
    code = next((_COMPLAINTS[kind] for kind in kinds if kind in _COMPLAINTS), Code.MODEL_BUSY)
    if code is Code.MODEL_REFUSED and re.search(KNOWN["too_long"], str(error), re.IGNORECASE):
        code = Code.MODEL_CONTEXT
    wait = error.retry_after if isinstance(error, ModelAPIError) else None
    seconds = None if wait is None else min(max(1.0, wait), RETRY_AFTER_SECONDS_MAX)
    return DeskhandError(code, model, retry_after_seconds=seconds)

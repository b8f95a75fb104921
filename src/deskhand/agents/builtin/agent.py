"""The built-in agent: asks a language model for its next move, and makes of whatever it says a move or an honest end.

It keeps nothing between moves: the history is the conversation. It refuses to run a tool, to believe that an empty
answer is an answer, and to wait for a model that has gone silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

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
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from deskhand.agents.builtin.models import ModelChoice, Models, complaint
from deskhand.agents.builtin.telling import ASK, FINISH, GIVE_UP, Scene, messages_of
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, Done, GiveUp, Move, Spent, ToolCall, ToolInfo, Turn, Wishes
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text

SILENT_SECONDS: Final = 120.0
"""How long a model may say nothing, at its start or in between."""
EMPTY_TRIES: Final = 2
CHARS_PER_TOKEN: Final = 3.0
"""A careful guess over English and code; Korean has fewer, which the context error then catches."""
ANSWER_TOKENS: Final = 8_000
MOST_CALLS: Final = 20

_OWN: Final = (
    ToolDefinition(
        name=ASK,
        description="Ask the person a question when you cannot decide yourself. They may answer in days.",
        parameters_json_schema={
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "choices": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["text"],
        },
    ),
    ToolDefinition(
        name=FINISH,
        description="Say that the task is done. Name every file you made for the person in outputs.",
        parameters_json_schema={
            "type": "object",
            "properties": {
                "summary": {
                    "type": "string",
                    "description": "Two or three sentences for the person.",
                },
                "outputs": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["summary"],
        },
    ),
    ToolDefinition(
        name=GIVE_UP,
        description="Say honestly that the task cannot be done, and why.",
        parameters_json_schema={
            "type": "object",
            "properties": {"reasons": {"type": "array", "items": {"type": "string"}}},
            "required": ["reasons"],
        },
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mind:
    """What the agent thinks with: which model a task gets, how large its context is, and what it may wish for.

    ``hear`` gets the task's id and each piece of text as it comes.
    """

    choose: Callable[[Brief], ModelChoice]
    scene: Callable[[Brief], Scene]
    tools: tuple[ToolInfo, ...]
    context_tokens: int = 128_000
    hear: Callable[[str, str], None] = lambda _, __: None


class BuiltInAgent:
    """Thinks with a language model."""

    name = "builtin"

    def __init__(self, mind: Mind, *, models: Models | None = None) -> None:
        """Keep what it thinks with; models are opened when they are first needed."""
        self._mind = mind
        self._models = models or Models()
        functions = [_definition(tool) for tool in mind.tools]
        self._offered = ModelRequestParameters(function_tools=[*functions, *_OWN])

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move.

        Raises:
            DeskhandError: ``model_busy`` (try again, perhaps after a while), ``model_key``, ``model_unknown``,
                ``model_context`` when even the folded history does not fit, ``model_refused``.
        """
        choice = self._mind.choose(brief)
        model = self._models.open(choice)
        room = self._mind.context_tokens - ANSWER_TOKENS
        for share in (
            1.0,
            0.5,
            0.25,
        ):  # a guess of tokens can be wrong: less is sent when the model says so
            chars = int(room * share * CHARS_PER_TOKEN)
            told = messages_of(brief, history, self._mind.scene(brief), chars_max=chars)
            try:
                return await self._answered(model, told, brief.task)
            except DeskhandError as error:
                if error.code is not Code.MODEL_CONTEXT:
                    raise
        raise DeskhandError(Code.MODEL_CONTEXT, choice.name)

    async def _answered(self, model: Model, told: list[ModelMessage], task: str) -> Move:
        """Ask until there is an answer in the answer."""
        spent = Spent(model=model.model_name)
        for _ in range(EMPTY_TRIES):
            response = await self._asked(model, told, task)
            spent = Spent(
                model=response.model_name or spent.model,
                input_tokens=spent.input_tokens + response.usage.input_tokens,
                output_tokens=spent.output_tokens + response.usage.output_tokens,
            )
            move = move_of(response)
            if move is not None:
                return replace(move, spent=spent)
            nudge = ModelRequest(parts=[UserPromptPart(text("agent.empty"))])
            told = [*told, response, nudge] if response.parts else [*told, nudge]
        return GiveUp(reasons=(text("agent.said_nothing"),), spent=spent)

    async def _asked(self, model: Model, told: list[ModelMessage], task: str) -> ModelResponse:
        """Return one whole response, whose text is heard as it comes."""
        settings = ModelSettings(max_tokens=ANSWER_TOKENS, max_retries=0)
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout(SILENT_SECONDS) as patience,
                model_request_stream(
                    model, told, model_settings=settings, model_request_parameters=self._offered
                ) as stream,
            ):
                async for event in stream:
                    patience.reschedule(loop.time() + SILENT_SECONDS)
                    if said := _said(event):
                        self._mind.hear(task, said)
                response = stream.get()
        except TimeoutError:
            raise DeskhandError(Code.MODEL_BUSY, model.model_name) from None
        except (ModelAPIError, UnexpectedModelBehavior) as error:
            raise complaint(error) from None
        if not (response.provider_details or {}).get("finish_reason"):
            # The stream broke off before the provider said why it ends: half an answer is none.
            raise DeskhandError(Code.MODEL_BUSY, model.model_name)
        return response


def move_of(response: ModelResponse) -> Move | None:
    """Return the move that a response comes to; nothing when it says nothing."""
    said = "\n".join(part.content for part in response.parts if isinstance(part, TextPart)).strip()
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    if response.finish_reason == "content_filter":
        return GiveUp(reasons=(said or text("agent.refused"),))
    if not calls:
        cut = response.finish_reason == "length"
        return Done(summary=said) if said and not cut else None
    first = calls[0]
    match first.tool_name:
        case "ask_person":
            return _ask(_arguments(first), said)
        case "finish":
            return _done(_arguments(first), said)
        case "give_up":
            reasons = _strings(_arguments(first).get("reasons")) or ((said,) if said else ())
            return GiveUp(reasons=reasons or (text("agent.refused"),))
        case _:
            wanted = [call for call in calls if call.tool_name not in (ASK, FINISH, GIVE_UP)]
            return Wishes(calls=tuple(map(_wish, wanted[:MOST_CALLS])), say=said)


def _ask(arguments: JsonObject, said: str) -> Ask | None:
    question = str(arguments.get("text") or said)
    return Ask(text=question, choices=_strings(arguments.get("choices"))) if question else None


def _done(arguments: JsonObject, said: str) -> Done:
    summary = str(arguments.get("summary") or said)
    return Done(summary=summary, outputs=_strings(arguments.get("outputs")))


def _wish(call: ToolCallPart) -> ToolCall:
    arguments = _arguments(call)
    about = next((str(value) for value in arguments.values() if isinstance(value, str)), "")
    title = f"{call.tool_name.replace('_', ' ')} {about}".strip()
    return ToolCall(tool=call.tool_name, arguments=arguments, title=title[:200])


def _arguments(call: ToolCallPart) -> JsonObject:
    """Return the arguments; what is no JSON object goes on as it was said, for the tool to refuse by name."""
    try:
        return cast("JsonObject", call.args_as_dict(raise_if_invalid=True))
    except (ValueError, AssertionError):
        return {"malformed": str(call.args)[:1000]}


def _strings(value: object) -> tuple[str, ...]:
    return tuple(map(str, cast("list[object]", value))) if isinstance(value, list) else ()


def _said(event: object) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=said)):
            return said
        case PartDeltaEvent(delta=TextPartDelta(content_delta=said)):
            return said
        case _:
            return ""


def _definition(tool: ToolInfo) -> ToolDefinition:
    schema: dict[str, Any] = dict(tool.schema)
    return ToolDefinition(
        name=tool.name, description=tool.description, parameters_json_schema=schema
    )

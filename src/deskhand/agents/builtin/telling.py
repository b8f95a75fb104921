"""What a model is told: who it works for, what is asked, and what happened so far, within its context.

Pure: the same brief and history give the same messages, so that any process can go on with them. It refuses to send
more than fits: the oldest results are folded first, and a fold says how to see them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from deskhand.ports import Ask, Done, GiveUp, ToolResult, Turn, Wishes
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text

ASK: Final = "ask_person"
FINISH: Final = "finish"
GIVE_UP: Final = "give_up"
FOLDED_CHARS: Final = 160
"""What is left of a folded result: enough to know what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the model should know of where it works. ``today`` is a date with its weekday, at the person's place."""

    today: str
    computer: str
    root: str | None
    writable: bool


def messages_of(
    brief: Brief, history: Sequence[Turn], scene: Scene, *, chars_max: int
) -> list[ModelMessage]:
    """Return the conversation with a model, at most about ``chars_max`` characters long."""
    turns = [_said(number, turn) for number, turn in enumerate(history)]
    opening = _opening(brief, scene)
    left = chars_max - len(opening)
    folded: list[list[ModelMessage]] = []
    for said, turn in zip(reversed(turns), reversed(history), strict=True):
        size = sum(map(_size, said))
        fits = size <= left
        left -= size if fits else 0
        folded.append(said if fits else _folded(said, turn))
    told = [message for said in reversed(folded) for message in said]
    return [ModelRequest(parts=[UserPromptPart(opening)], instructions=text("agent.rules")), *told]


def call_id(turn: int, index: int) -> str:
    """Return the id under which a result goes back to the model; the same in every process."""
    return f"call_{turn}_{index}"


def _opening(brief: Brief, scene: Scene) -> str:
    """Return the first message: the scene, what was said before in the thread, and the task."""
    where = scene.root or text("agent.no_folder")
    lines = [
        text("agent.scene", today=scene.today, computer=scene.computer, where=where),
        text("agent.may_write" if scene.writable else "agent.read_only"),
    ]
    if brief.context:
        lines += ["", text("agent.before")]
        lines += [f"[{item.at[:16]} {item.role}] {item.text}" for item in brief.context]
    lines += ["", text("agent.task"), brief.text]
    lines += _listed("agent.files", (file.name for file in brief.files))
    lines += _listed("agent.criteria", brief.criteria)
    lines += _listed("agent.checks", brief.checks)
    return "\n".join(lines)


def _listed(title: str, items: Iterable[str]) -> list[str]:
    found = [f"- {item}" for item in items]
    return ["", text(title), *found] if found else []


def _said(number: int, turn: Turn) -> list[ModelMessage]:
    """Return one move and what came of it, as the two sides of a conversation."""
    move = turn.move
    answers: list[ModelRequestPart]
    match move:
        case Wishes():
            calls = [
                ToolCallPart(call.tool, call.arguments, tool_call_id=call_id(number, index))
                for index, call in enumerate(move.calls)
            ]
            spoken: list[ModelResponsePart] = [*([TextPart(move.say)] if move.say else []), *calls]
            answers = [
                ToolReturnPart(call.tool, told(result), tool_call_id=call_id(number, index))
                for index, (call, result) in enumerate(zip(move.calls, turn.results, strict=False))
            ]
        case Ask():
            asked: JsonObject = {"text": move.text, "choices": list(move.choices)}
            spoken = [ToolCallPart(ASK, asked, tool_call_id=call_id(number, 0))]
            answers = [ToolReturnPart(ASK, turn.answer or "", tool_call_id=call_id(number, 0))]
        case Done():
            claimed: JsonObject = {"summary": move.summary, "outputs": list(move.outputs)}
            spoken = [ToolCallPart(FINISH, claimed, tool_call_id=call_id(number, 0))]
            failed = "\n".join(f"- {one.value.get('check')}: {one.text}" for one in turn.results)
            refused = text("agent.not_yet", failed=failed)
            answers = [ToolReturnPart(FINISH, refused, tool_call_id=call_id(number, 0))]
        case GiveUp():
            spoken, answers = [TextPart("\n".join(move.reasons))], []
        case _:  # pragma: no cover - the type checker proves it
            assert_never(move)
    answers += [UserPromptPart(text("agent.steering", said=said)) for said in turn.steering]
    return [ModelResponse(parts=spoken), ModelRequest(parts=answers)]


def told(result: ToolResult) -> str:
    """Return a result as a model reads it; what is not a success says so first."""
    said = result.text or json.dumps(result.value, ensure_ascii=False)
    return said if result.outcome == "ok" else f"[{result.outcome}] {said}"


def _folded(said: Sequence[ModelMessage], turn: Turn) -> list[ModelMessage]:
    """Return a turn with its results cut to their beginnings."""
    response, request = said
    if not isinstance(request, ModelRequest):
        return list(said)
    parts = [
        ToolReturnPart(part.tool_name, _short(str(part.content)), tool_call_id=part.tool_call_id)
        if isinstance(part, ToolReturnPart) and isinstance(turn.move, Wishes)
        else part
        for part in request.parts
    ]
    return [_light(response), ModelRequest(parts=parts)]


def _light(response: ModelMessage) -> ModelMessage:
    """Return a response whose arguments (a written file's content) are cut as results are."""
    if not isinstance(response, ModelResponse):
        return response
    parts = [
        ToolCallPart(part.tool_name, _short_arguments(part.args_as_dict()), part.tool_call_id)
        if isinstance(part, ToolCallPart)
        else part
        for part in response.parts
    ]
    return ModelResponse(parts=parts)


def _short_arguments(arguments: JsonObject) -> JsonObject:
    return {
        name: _short(value) if isinstance(value, str) else value
        for name, value in arguments.items()
    }


def _short(said: str) -> str:
    if len(said) <= FOLDED_CHARS:
        return said
    return said[:FOLDED_CHARS] + text("agent.folded", count=len(said) - FOLDED_CHARS)


def _size(message: ModelMessage) -> int:
    if isinstance(message, ModelResponse):
        return sum(
            len(part.args_as_json_str()) if isinstance(part, ToolCallPart) else len(str(part))
            for part in message.parts
        )
    return sum(len(str(getattr(part, "content", ""))) for part in message.parts)

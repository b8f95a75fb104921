"""What a model may say to us: the tools that are ours alone, and the move that its answer comes to.

Pure. It refuses to lose a word: whatever a model says beside its calls goes to the person with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeVar, cast

from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.tools import ToolDefinition

from deskhand.errors import DeskhandError
from deskhand.ports import Ask, Done, GiveUp, Move, ToolCall, Wishes
from deskhand.protocol import moves
from deskhand.protocol.wire import JsonObject, Wire
from deskhand.texts import text

ASK: Final = "ask_person"
FINISH: Final = "finish"
GIVE_UP: Final = "give_up"
PLAN: Final = "set_plan"
MALFORMED: Final = "malformed"
"""The one argument of a call whose arguments were no JSON object; every tool refuses it by its name."""
CALLS_MAX: Final = 20
_ABOUT: Final = ("path", "argv", "query", "sql", "url", "paths", "text")
"""The argument that says what a call is about, for its title."""


def tool_of(name: str, wish: type[Wire]) -> ToolDefinition:
    """Return a tool of ours as a model is told of it."""
    said, schema = inspect.cleandoc(wish.__doc__ or ""), wish.model_json_schema()
    return ToolDefinition(name=name, description=said, parameters_json_schema=schema)


OWN: Final = (
    tool_of(PLAN, moves.SetPlan),
    tool_of(ASK, moves.AskPerson),
    tool_of(FINISH, moves.Finish),
    tool_of(GIVE_UP, moves.Surrender),
)
_NAMES: Final = [tool.name for tool in OWN]
W = TypeVar("W", bound=Wire)


def move_of(response: ModelResponse, *, language: str = "en") -> Move | None:
    """Return the move that a response comes to; nothing when it says nothing, or only half of it.

    Wishes for tools come before everything else in it: what they bring may change the rest.
    """
    said = said_in(response)
    if response.finish_reason == "content_filter":
        return GiveUp(reasons=(text("agent.refused", language=language),), say=said)
    if response.finish_reason == "length":
        return None
    own = {call.tool_name: call for call in reversed(response.tool_calls)}
    wanted = [one for one in response.tool_calls if one.tool_name not in _NAMES]
    planned = read(moves.SetPlan, own.get(PLAN))
    plan, criteria = (planned.steps, planned.criteria) if planned else (None, ())
    ending = None if wanted else _ending(own, said, language)
    if ending is not None:
        return replace(ending, plan=plan) if isinstance(ending, Done) else ending
    if not wanted and plan is None:
        return None
    wishes = tuple(map(_wish, wanted[:CALLS_MAX]))
    return Wishes(calls=wishes, say=said, plan=plan, criteria=criteria)


def _ending(own: Mapping[str, ToolCallPart], said: str, language: str) -> Move | None:
    """Return what a response comes to that wishes for nothing; what it needs and lacks may be in its text."""
    if ASK in own:
        asked = read(moves.AskPerson, own[ASK]) or moves.AskPerson(text="")
        question = Ask(text=asked.text, choices=asked.choices, say=said)
        return question if asked.text else replace(question, text=said, say="") if said else None
    if GIVE_UP in own:
        surrender = read(moves.Surrender, own[GIVE_UP])
        reasons = surrender.reasons if surrender else ()
        return GiveUp(reasons=reasons or (text("agent.no_reason", language=language),), say=said)
    done = read(moves.Finish, own.get(FINISH)) or moves.Finish(summary="")
    if done.summary:
        return Done(summary=done.summary, outputs=done.outputs, say=said)
    answered = said and (FINISH in own or not own)
    return Done(summary=said, outputs=done.outputs) if answered else None


def said_in(response: ModelResponse) -> str:
    """Return the text of a response."""
    return (response.text or "").strip()


def read(wish: type[W], call: ToolCallPart | None) -> W | None:
    """Return what a call of ours says, if it was made and can be understood."""
    try:
        return wish.from_json(arguments_of(call)) if call else None
    except DeskhandError:
        return None


def _wish(call: ToolCallPart) -> ToolCall:
    arguments = arguments_of(call)
    about = next((arguments[name] for name in _ABOUT if arguments.get(name) not in (None, ".")), "")
    said = " ".join(map(str, about)) if isinstance(about, list) else str(about)
    title = f"{call.tool_name.replace('_', ' ')} {said}".strip()
    return ToolCall(tool=call.tool_name, arguments=arguments, title=title[:200])


def arguments_of(call: ToolCallPart) -> JsonObject:
    """Return the arguments; what is no JSON object goes on as it was said, for the tool to refuse by name."""
    try:
        return cast("JsonObject", call.args_as_dict(raise_if_invalid=True))
    except (ValueError, AssertionError):
        return {MALFORMED: str(call.args)[:1000]}

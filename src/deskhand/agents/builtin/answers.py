"""What a model may say to us: the tools that are ours alone, and the move that its answer comes to.

Pure. It refuses to lose a word: whatever a model says beside its calls goes to the person with them.
"""

from __future__ import annotations

from typing import Final, cast

from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.tools import ToolDefinition

from deskhand.ports import Ask, Done, GiveUp, Move, ToolCall, Wishes
from deskhand.protocol.tasks import PlanItem
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import text

ASK: Final = "ask_person"
FINISH: Final = "finish"
GIVE_UP: Final = "give_up"
PLAN: Final = "set_plan"
MALFORMED: Final = "malformed"
"""The one argument of a call whose arguments were no JSON object; every tool refuses it by its name."""
CALLS_MAX: Final = 20
_LINES_MAX: Final = 20
_ABOUT: Final = ("path", "argv", "query", "sql", "url", "paths", "text")
"""The argument that says what a call is about, for its title."""


def _own(
    name: str, description: str, required: tuple[str, ...], **fields: JsonObject
) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=description,
        parameters_json_schema={
            "type": "object",
            "properties": fields,
            "required": list(required),
        },
    )


_TEXT: Final[JsonObject] = {"type": "string"}
_TEXTS: Final[JsonObject] = {"type": "array", "items": {"type": "string"}}
OWN: Final = (
    _own(
        PLAN,
        "Show the person what must be true at the end and the steps there. Call it together with your first look "
        "when the work has more than three steps, and again with steps ticked off; never alone when another call "
        "could go along.",
        ("steps",),
        criteria={
            **_TEXTS,
            "description": "The task restated: each a sentence that somebody else could check on the result.",
        },
        steps={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": _TEXT, "done": {"type": "boolean"}},
                "required": ["text", "done"],
            },
        },
    ),
    _own(
        ASK,
        "Ask the person one question, when a choice matters that they did not make and you cannot find out. They "
        "may answer in days, so do first whatever does not depend on it.",
        ("text",),
        text=_TEXT,
        choices={
            **_TEXTS,
            "description": "Two to four likely answers; they may also answer freely.",
        },
    ),
    _own(
        FINISH,
        "Say that the task is done. We then look for every output and run the checks.",
        ("summary",),
        summary={
            **_TEXT,
            "description": "Two or three sentences for the person: the result first, then what is uncertain.",
        },
        outputs={**_TEXTS, "description": "The path of every file you made for the person."},
    ),
    _own(
        GIVE_UP,
        "Say honestly that the task cannot be done.",
        ("reasons",),
        reasons={**_TEXTS, "description": "What you tried, and what is missing; a sentence each."},
    ),
)


def move_of(response: ModelResponse, *, language: str = "en") -> Move | None:
    """Return the move that a response comes to; nothing when it says nothing, or only half of it.

    Wishes for tools come before everything else in it: what they bring may change the rest.
    """
    said = said_in(response)
    if response.finish_reason == "content_filter":
        return GiveUp(reasons=(text("agent.refused", language=language),), say=said)
    if response.finish_reason == "length":
        return None
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    own = {call.tool_name: arguments_of(call) for call in reversed(calls)}
    wanted = [call for call in calls if call.tool_name not in (PLAN, ASK, FINISH, GIVE_UP)]
    plan = _plan(own[PLAN]) if PLAN in own else None
    criteria = strings(own.get(PLAN, {}).get("criteria"))
    move: Move | None = None
    if wanted:
        wishes = tuple(map(_wish, wanted[:CALLS_MAX]))
        move = Wishes(calls=wishes, say=said, plan=plan, criteria=criteria)
    elif ASK in own:
        asked = str(own[ASK].get("text") or "")
        choices = strings(own[ASK].get("choices"))
        move = Ask(text=asked or said, choices=choices, say=said if asked else "")
    elif GIVE_UP in own:
        reasons = strings(own[GIVE_UP].get("reasons"))
        move = GiveUp(reasons=reasons or (text("agent.no_reason", language=language),), say=said)
    elif FINISH in own:
        summary = str(own[FINISH].get("summary") or "")
        outputs = strings(own[FINISH].get("outputs"))
        move = Done(
            summary=summary or said, outputs=outputs, plan=plan, say=said if summary else ""
        )
    elif plan is not None:
        move = Wishes(calls=(), say=said, plan=plan, criteria=criteria)
    elif said:
        move = Done(summary=said)
    return None if isinstance(move, Ask) and not move.text else move


def said_in(response: ModelResponse) -> str:
    """Return the text of a response."""
    texts = (part.content for part in response.parts if isinstance(part, TextPart))
    return "\n".join(texts).strip()


def strings(value: Json) -> tuple[str, ...]:
    """Return a list of texts; one text alone is a list of one."""
    found = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return tuple(str(one) for one in found if one)[:_LINES_MAX]


def _plan(arguments: JsonObject) -> tuple[PlanItem, ...] | None:
    """Return the checklist; a step may be an object or just its text."""
    steps = arguments.get("steps")
    items: list[PlanItem] = []
    for step in steps[:_LINES_MAX] if isinstance(steps, list) else ():
        match step:
            case {"text": str(said), **rest}:
                items.append(PlanItem(text=said, done=rest.get("done") is True))
            case str(said):
                items.append(PlanItem(text=said))
            case _:
                pass
    return tuple(items) or None


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

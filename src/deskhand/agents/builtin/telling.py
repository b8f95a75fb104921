"""What a model is told: who it works for, what is asked, and what happened so far, within its context.

Pure: the same brief and history give the same messages, so that any process can go on with them. It refuses to send
more than fits, and to part a call from its result: the oldest turns are folded first, then left out whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final, TypeVar, assert_never

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

from deskhand.agents.builtin.answers import ASK, FINISH, PLAN
from deskhand.agents.builtin.mind import Scene
from deskhand.clock import unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, Done, GiveUp, ToolResult, Turn, Wishes
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import text

FOLDED_BYTES: Final = 160
"""What is left of a folded text: enough to know what it was."""
STRIDES: Final = 8
"""An eighth of the turns is folded at a time: what comes before stays the same, and a provider's cache of it valid."""
ROOM_BYTES_MIN: Final = 3_000
"""Beside the rules; a model with less context cannot work."""
_PART_BYTES: Final = 60
"""What the spelling of one part costs beside its content."""
P = TypeVar("P", ModelResponsePart, ModelRequestPart)
Said = tuple[ModelResponse, ModelRequest]
"""One turn: what the model said, and what came of it."""


def messages_of(
    brief: Brief, history: Sequence[Turn], scene: Scene, *, bytes_max: int, language: str = "en"
) -> list[ModelMessage]:
    """Return the conversation with a model in at most ``bytes_max`` bytes, with the opening and the last turn in it.

    Raises:
        DeskhandError: ``model_context`` when so little cannot hold a task.
    """
    rules = text("agent.rules", language=language)
    room = bytes_max - len(rules.encode()) - 2 * _PART_BYTES
    if room < ROOM_BYTES_MIN:
        raise DeskhandError(Code.MODEL_CONTEXT)
    opening = cut(_opening(brief, scene, language), room // 2, language=language)
    left = room - len(opening.encode()) - room // 8
    turns = [_said(number, turn, language) for number, turn in enumerate(history)]
    kept = _bounded(turns, left, language)
    gone = history[: len(history) - len(kept)]
    if gone:
        heard = "\n".join(f"- {said}" for turn in gone for said in _heard(turn))
        note = text("agent.left_out", count=len(gone), heard=heard, language=language)
        opening += "\n\n" + cut(note, room // 8 - 2, language=language)
    told = [message for said in kept for message in said]
    return [ModelRequest(parts=[UserPromptPart(opening)], instructions=rules), *told]


def size_of(message: ModelMessage) -> int:
    """Return about how many bytes a message takes."""
    return sum(
        _PART_BYTES
        + len(
            (part.args_as_json_str() if isinstance(part, ToolCallPart) else _content(part)).encode()
        )
        for part in message.parts
    )


def cut(said: str, bytes_max: int, *, language: str = "en") -> str:
    """Return a text in at most so many bytes; what was cut is said, and how to see it."""
    whole = said.encode()
    if len(whole) <= bytes_max:
        return said
    marker = text("agent.folded", count=len(said), language=language)
    kept = whole[: max(0, bytes_max - len(marker.encode()))].decode(errors="ignore")
    return kept + text("agent.folded", count=len(said) - len(kept), language=language)


def fence(name: str, content: str) -> str:
    """Return a text between marks that it cannot contain."""
    longest = max(map(len, re.findall("`+", content)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{name}\n{marks}\n{content}\n{marks}"


def _bounded(turns: list[Said], left: int, language: str) -> list[Said]:
    """Return the turns that are sent: ever more of them folded until they fit, then the oldest left out."""
    if not turns:
        return []
    last = _within(turns[-1], left * 3 // 4, language)
    left -= _size(last)
    if left < 0:
        return []
    earlier = turns[:-1]
    folded = [_folded(said, FOLDED_BYTES, language) for said in earlier]
    small = [0, *accumulate(map(_size, folded))]
    whole = [0, *accumulate(map(_size, earlier))]
    counts = [*range(0, len(earlier), 1 + len(earlier) // STRIDES), len(earlier)]
    for count in counts:
        if small[count] + whole[-1] - whole[count] <= left:
            return [*folded[:count], *earlier[count:], last]
    gone = next(count for count in counts if small[-1] - small[count] <= left)
    return [*folded[gone:], last]


def _within(said: Said, room: int, language: str) -> Said:
    """Return the last turn, its texts cut only as far as they must be."""
    share = room
    while _size(said) > room and share > 1:
        share //= 2
        said = _folded(said, share, language)
    return said


def _opening(brief: Brief, scene: Scene, language: str) -> str:
    """Return the first message: the scene, what was said before in the thread, and the task."""

    def say(key: str, **values: object) -> str:
        return text(key, language=language, **values)

    now = scene.now
    week = now - timedelta(days=now.weekday())
    values = {"now": _day(now, language), "zone": f"{now:%Z %z}", "computer": scene.computer}
    days = {
        "yesterday": _day(now - timedelta(days=1), language),
        "from": f"{week - timedelta(days=7):%Y-%m-%d}",
        "to": f"{week - timedelta(days=1):%Y-%m-%d}",
    }
    lines = [say("agent.scene", **values), say("agent.days", **days)]
    written = unstamp(brief.created_at).astimezone(now.tzinfo)
    if written.date() != now.date():
        lines.append(say("agent.written", day=_day(written, language)))
    lines += [
        say("agent.folder", root=scene.root) if scene.root else say("agent.no_folder"),
        say(f"agent.mode.{scene.mode}" if scene.root and scene.mode else "agent.mode.none"),
    ]
    if brief.instructions:
        name = say("agent.instructions", name=brief.instructions.name)
        lines += ["", fence(name, brief.instructions.text)]
    if brief.context:
        lines += ["", say("agent.before")]
        lines += [f"[{item.at[:16]} {item.role}] {item.text}" for item in brief.context]
    lines += _listed(say("agent.files"), (file.name for file in brief.files))
    lines += _listed(say("agent.criteria"), brief.criteria)
    lines += _listed(say("agent.checks"), brief.checks)
    return "\n".join([*lines, "", say("agent.task"), brief.text])


def _day(moment: datetime, language: str) -> str:
    names = text("agent.weekdays", language=language).split()
    return f"{names[moment.weekday()]}, {moment:%Y-%m-%d}"


def _listed(title: str, items: Iterable[str]) -> list[str]:
    found = [f"- {item}" for item in items]
    return ["", title, *found] if found else []


def _said(number: int, turn: Turn, language: str) -> Said:
    """Return one move and what came of it, as the two sides of a conversation."""
    move = turn.move
    spoken: list[ModelResponsePart] = []
    answers: list[ModelRequestPart] = []

    def exchange(name: str, arguments: JsonObject, result: str) -> None:
        call_id = f"call_{number}_{len(answers)}"  # the same in every process
        spoken.append(ToolCallPart(name, arguments, tool_call_id=call_id))
        answers.append(ToolReturnPart(name, result, tool_call_id=call_id))

    if move.say:
        spoken.append(TextPart(move.say))
    match move:
        case Wishes():
            if move.plan is not None:
                steps: list[Json] = [item.to_json() for item in move.plan]
                planned: JsonObject = {"criteria": list(move.criteria), "steps": steps}
                exchange(PLAN, planned, text("agent.planned", language=language))
            for call, result in zip(move.calls, turn.results, strict=False):
                exchange(call.tool, call.arguments, told(result))
        case Ask():
            asked: JsonObject = {"text": move.text, "choices": list(move.choices)}
            exchange(ASK, asked, turn.answer or "")
        case Done():
            claimed: JsonObject = {"summary": move.summary, "outputs": list(move.outputs)}
            failed = "\n".join(f"- {one.value.get('check')}: {one.text}" for one in turn.results)
            key = "agent.not_yet" if failed else "agent.not_ended"
            exchange(FINISH, claimed, text(key, failed=failed, language=language))
        case GiveUp():
            spoken.append(TextPart("\n".join(move.reasons)))
        case _:  # pragma: no cover - the type checker proves it
            assert_never(move)
    answers += [
        UserPromptPart(text("agent.steering", said=said, language=language))
        for said in turn.steering
    ]
    return ModelResponse(parts=spoken), ModelRequest(parts=answers)


def told(result: ToolResult) -> str:
    """Return a result as a model reads it; what is not a success says so first."""
    said = result.text or json.dumps(result.value, ensure_ascii=False)
    return said if result.outcome == "ok" else f"[{result.outcome}] {said}"


def _heard(turn: Turn) -> Iterable[str]:
    """Yield what a person said in a turn."""
    if isinstance(turn.move, Ask) and turn.answer:
        yield f"{turn.move.text} → {turn.answer}"
    yield from turn.steering


def _folded(said: Said, room: int, language: str) -> Said:
    """Return a turn whose results and arguments (a written file's content) are cut to their beginnings."""

    def short(part: P) -> P:
        if isinstance(part, ToolCallPart):
            return replace(part, args=_short(part.args_as_dict(), room, language))
        return replace(part, content=cut(_content(part), room, language=language))

    response, request = said
    spoken, answers = list(map(short, response.parts)), list(map(short, request.parts))
    return ModelResponse(parts=spoken), ModelRequest(parts=answers)


def _short(arguments: JsonObject, room: int, language: str) -> JsonObject:
    """Return arguments of which each is cut to a part of the room; a long list becomes the text it was."""
    share = max(1, room // max(1, len(arguments)))
    short: JsonObject = {}
    for name, value in arguments.items():
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        kept = cut(said, share, language=language)
        short[name] = value if kept == said else kept
    return short


def _size(said: Said) -> int:
    return sum(map(size_of, said))


def _content(part: object) -> str:
    return str(getattr(part, "content", ""))

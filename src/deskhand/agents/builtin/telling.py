"""What a model is told: who it works for, what is asked, and what happened so far, within its context.

Pure: the same brief and history give the same messages, so that any process can go on with them. It refuses to send
more than fits, and to part a call from its result: the oldest turns are folded first, then left out whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate
from typing import Final, assert_never

from pydantic_ai import messages as chat

from deskhand.agents.builtin.answers import ASK, FINISH, PLAN
from deskhand.agents.builtin.mind import Scene
from deskhand.clock import unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, Done, GiveUp, ToolResult, Turn, Wishes
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text

FOLDED_BYTES: Final = 160
"""What is left of a folded text: enough to know what it was."""
STRIDES: Final = 8
"""An eighth of the turns is folded at a time: what comes before stays the same, and a provider's cache of it valid."""
ROOM_BYTES_MIN: Final = 3_000
"""Beside the rules; a model with less context cannot work."""
_PART_BYTES: Final = 60
"""What the spelling of one part costs beside its content."""
_WHOLE: Final = 1 << 40
"""Room for any text."""
Said = tuple[chat.ModelMessage, ...]
"""One turn: what the model said, and what came of it."""


def messages_of(
    brief: Brief, history: Sequence[Turn], scene: Scene, *, bytes_max: int, language: str = "en"
) -> list[chat.ModelMessage]:
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
    kept = _bounded(history, left, language)
    gone = history[: len(history) - len(kept)]
    if gone:
        heard = "\n".join(f"- {said}" for turn in gone for said in _heard(turn))
        note = text("agent.left_out", count=len(gone), heard=heard, language=language)
        opening += "\n\n" + cut(note, room // 8 - 2, language=language)
    told = [message for said in kept for message in said]
    return [chat.ModelRequest(parts=[chat.UserPromptPart(opening)], instructions=rules), *told]


def size_of(message: chat.ModelMessage) -> int:
    """Return about how many bytes a message takes."""
    return sum(_PART_BYTES + len(_spelled(part).encode()) for part in message.parts)


def _spelled(part: object) -> str:
    if isinstance(part, chat.ToolCallPart):
        return part.args_as_json_str()
    return str(getattr(part, "content", ""))


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


def _bounded(history: Sequence[Turn], left: int, language: str) -> list[Said]:
    """Return the turns that are sent: ever more of them folded until they fit, then the oldest left out."""
    if not history:
        return []
    *earlier, newest = enumerate(history)
    room = share = left * 3 // 4
    last = _said(*newest, language, share)
    while _size(last) > room and share > 1:
        share //= 2
        last = _said(*newest, language, share)
    left -= _size(last)
    if left < 0:
        return []
    whole = [_said(*one, language, _WHOLE) for one in earlier]
    small = [_said(*one, language, FOLDED_BYTES) for one in earlier]
    large, little = ([0, *accumulate(map(_size, said))] for said in (whole, small))
    counts = [*range(0, len(earlier), 1 + len(earlier) // STRIDES), len(earlier)]
    for count in counts:
        if little[count] + large[-1] - large[count] <= left:
            return [*small[:count], *whole[count:], last]
    gone = next(count for count in counts if little[-1] - little[count] <= left)
    return [*small[gone:], last]


def _size(said: Said) -> int:
    return sum(map(size_of, said))


def _opening(brief: Brief, scene: Scene, language: str) -> str:
    """Return the first message: the scene, what was said before in the thread, and the task."""

    def say(key: str, **values: object) -> str:
        return text(key, language=language, **values)

    def day(moment: datetime) -> str:
        return f"{say('agent.weekdays').split()[moment.weekday()]}, {moment:%Y-%m-%d}"

    now, one = scene.now, timedelta(days=1)
    monday = now - now.weekday() * one
    values = {"now": day(now), "zone": f"{now:%Z %z}", "computer": scene.computer}
    values |= {"first": f"{monday - 7 * one:%Y-%m-%d}", "last": f"{monday - one:%Y-%m-%d}"}
    lines = [say("agent.scene", yesterday=day(now - one), **values)]
    written = unstamp(brief.created_at).astimezone(now.tzinfo)
    if written.date() != now.date():
        lines.append(say("agent.written", day=day(written)))
    lines += [
        say("agent.folder", root=scene.root) if scene.root else say("agent.no_folder"),
        say(f"agent.mode.{scene.mode}" if scene.root and scene.mode else "agent.mode.none"),
    ]
    if brief.instructions:
        name = say("agent.instructions", name=brief.instructions.name)
        lines += ["", fence(name, brief.instructions.text)]
    blocks = {
        "before": [f"[{item.at[:16]} {item.role}] {item.text}" for item in brief.context],
        "files": [f"- {file.name}" for file in brief.files],
        "criteria": [f"- {criterion}" for criterion in brief.criteria],
        "checks": [f"- {check}" for check in brief.checks],
    }
    for title, items in blocks.items():
        lines += ["", say(f"agent.{title}"), *items] if items else []
    return "\n".join([*lines, "", say("agent.task"), brief.text])


def _said(number: int, turn: Turn, language: str, room: int) -> Said:
    """Return one move and what came of it, as the two sides of a conversation, each text cut to its room."""
    move, said = turn.move, [turn.move.say]
    exchanges: list[tuple[str, JsonObject, str]] = []
    match move:
        case Wishes():
            if move.plan is not None:
                planned: JsonObject = {"criteria": list(move.criteria)}
                planned["steps"] = [item.to_json() for item in move.plan]
                exchanges.append((PLAN, planned, text("agent.planned", language=language)))
            for call, result in zip(move.calls, turn.results, strict=False):
                exchanges.append((call.tool, call.arguments, told(result)))
        case Ask():
            asked: JsonObject = {"text": move.text, "choices": list(move.choices)}
            exchanges.append((ASK, asked, turn.answer or ""))
        case Done():
            claimed: JsonObject = {"summary": move.summary, "outputs": list(move.outputs)}
            failed = "\n".join(f"- {one.value.get('check')}: {one.text}" for one in turn.results)
            key = "agent.not_yet" if failed else "agent.not_ended"
            exchanges.append((FINISH, claimed, text(key, failed=failed, language=language)))
        case GiveUp():
            said += move.reasons
        case _:  # pragma: no cover - the type checker proves it
            assert_never(move)
    short = partial(cut, bytes_max=room, language=language)
    spoken: list[chat.ModelResponsePart] = [chat.TextPart(short(one)) for one in said if one]
    answers: list[chat.ModelRequestPart] = []
    for position, (name, arguments, result) in enumerate(exchanges):
        at = f"call_{number}_{position}"  # the same in every process
        shown = _short(arguments, room, language)
        spoken.append(chat.ToolCallPart(name, shown, tool_call_id=at))
        answers.append(chat.ToolReturnPart(name, short(result), tool_call_id=at))
    heard = (text("agent.steering", said=one, language=language) for one in turn.steering)
    answers += [chat.UserPromptPart(short(one)) for one in heard]
    return chat.ModelResponse(parts=spoken), chat.ModelRequest(parts=answers)


def told(result: ToolResult) -> str:
    """Return a result as a model reads it; what is not a success says so first."""
    said = result.text or json.dumps(result.value, ensure_ascii=False)
    return said if result.outcome == "ok" else f"[{result.outcome}] {said}"


def _heard(turn: Turn) -> Iterable[str]:
    """Yield what a person said in a turn."""
    if isinstance(turn.move, Ask) and turn.answer:
        yield f"{turn.move.text} → {turn.answer}"
    yield from turn.steering


def _short(arguments: JsonObject, room: int, language: str) -> JsonObject:
    """Return arguments of which each is cut to a part of the room; a long list becomes the text it was."""
    share = max(1, room // max(1, len(arguments)))
    short: JsonObject = {}
    for name, value in arguments.items():
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        kept = cut(said, share, language=language)
        short[name] = value if kept == said else kept
    return short

"""The conversation with a model: what it is told, within its context, and the move or judgement its answer comes to.

Pure: the same brief and history give the same messages, so that any process can go on with them. It refuses to send
more than fits, and to part a call from its result: the oldest turns are folded first, then left out whole. It refuses
to lose a word: whatever a model says beside its calls goes to the person with them. A verifier sees criteria and
results, never the story of the work; silence, a malformed answer, or a quote that does not stand in the results, is no
judgement.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Final, TypeVar, assert_never, cast

from pydantic_ai import messages as chat
from pydantic_ai.tools import ToolDefinition

from deskhand.agents.builtin.agent import Scene
from deskhand.clock import unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.limits import EVIDENCE_CHARS_MAX
from deskhand.ports import Ask, Done, Evidence, GiveUp, Move, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol import moves
from deskhand.protocol.tasks import Brief, Check
from deskhand.protocol.wire import JsonObject, Wire
from deskhand.texts import text

ASK: Final = "ask_person"
FINISH: Final = "finish"
GIVE_UP: Final = "give_up"
PLAN: Final = "set_plan"
CALLS_MAX: Final = 20
_ABOUT: Final = ("path", "argv", "query", "sql", "url", "paths", "text")
"""The argument that says what a call is about, for its title."""


def tool_of(name: str, wish: type[Wire]) -> ToolDefinition:
    """Return a tool of ours as a model is told of it."""
    said, schema = inspect.cleandoc(wish.__doc__ or ""), wish.model_json_schema()
    return ToolDefinition(name=name, description=said, parameters_json_schema=schema)


_WISHES: Final = {PLAN: moves.SetPlan, ASK: moves.AskPerson, FINISH: moves.Finish, GIVE_UP: moves.Surrender}
OWN: Final = tuple(map(tool_of, _WISHES, _WISHES.values()))
W = TypeVar("W", bound=Wire)


def move_of(response: chat.ModelResponse, *, language: str = "en") -> Move | None:
    """Return the move that a response comes to; nothing when it says nothing, or only half of it.

    Wishes for tools come before everything else in it: what they bring may change the rest.
    """
    said = said_in(response)
    if response.finish_reason == "content_filter":
        return GiveUp(reasons=(text("agent.refused", language=language),), say=said)
    if response.finish_reason == "length":
        return None
    own = {call.tool_name: call for call in reversed(response.tool_calls)}
    wanted = [one for one in response.tool_calls if one.tool_name not in _WISHES]
    planned = read(moves.SetPlan, own.get(PLAN))
    plan, criteria = (planned.steps, planned.criteria) if planned else (None, ())
    ending = None if wanted else _ending(own, said, language)
    if ending is not None:
        return replace(ending, plan=plan) if isinstance(ending, Done) else ending
    if not wanted and plan is None:
        return None
    return Wishes(calls=tuple(map(_wish, wanted[:CALLS_MAX])), say=said, plan=plan, criteria=criteria)


def _ending(own: Mapping[str, chat.ToolCallPart], said: str, language: str) -> Move | None:
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
    return Done(summary=said, outputs=done.outputs) if said and (FINISH in own or not own) else None


def said_in(response: chat.ModelResponse) -> str:
    """Return the text of a response."""
    return (response.text or "").strip()


def read(wish: type[W], call: chat.ToolCallPart | None) -> W | None:
    """Return what a call of ours says, if it was made and can be understood."""
    try:
        return wish.from_json(arguments_of(call)) if call else None
    except DeskhandError:
        return None


def _wish(call: chat.ToolCallPart) -> ToolCall:
    arguments = arguments_of(call)
    about = next((arguments[name] for name in _ABOUT if arguments.get(name) not in (None, ".")), "")
    said = " ".join(map(str, about)) if isinstance(about, list) else str(about)
    title = f"{call.tool_name.replace('_', ' ')} {said}".strip()
    return ToolCall(tool=call.tool_name, arguments=arguments, title=title[:200])


def arguments_of(call: chat.ToolCallPart) -> JsonObject:
    """Return the arguments; what is no JSON object goes on as one that no tool has, for each to refuse by its name."""
    try:
        return cast("JsonObject", call.args_as_dict(raise_if_invalid=True))
    except (ValueError, AssertionError):
        return {"malformed": str(call.args)[:1000]}


# --- what it is told


ROOM_BYTES_MIN: Final = 3_000
"""Beside the rules; a model with less context cannot work."""
_PART_BYTES: Final = 60
"""What the spelling of one part costs beside its content."""
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
    kept = _bounded(history, room - len(opening.encode()) - room // 8, language)
    gone = history[: len(history) - len(kept)]
    if gone:
        heard = "\n".join(f"- {said}" for turn in gone for said in _heard(turn))
        note = text("agent.left_out", count=len(gone), heard=heard, language=language)
        opening += "\n\n" + cut(note, room // 8 - 2, language=language)
    told = [message for said in kept for message in said]
    return [chat.ModelRequest(parts=[chat.UserPromptPart(opening)], instructions=rules), *told]


def size_of(*messages: chat.ModelMessage) -> int:
    """Return about how many bytes messages take."""
    parts = [part for message in messages for part in message.parts]
    calls = (part.args_as_json_str() for part in parts if isinstance(part, chat.ToolCallPart))
    said = "".join((*calls, *(str(getattr(part, "content", "")) for part in parts)))
    return len(parts) * _PART_BYTES + len(said.encode())


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
    marks = "`" * max(3, max(map(len, re.findall("`+", content)), default=0) + 1)
    return f"{name}\n{marks}\n{content}\n{marks}"


def _bounded(history: Sequence[Turn], left: int, language: str) -> list[Said]:
    """Return the turns that are sent: ever more of them folded until they fit, then the oldest left out."""
    if not history:
        return []
    *earlier, newest = enumerate(history)
    room = share = left * 3 // 4
    last = _said(*newest, language, share)
    while size_of(*last) > room and share > 1:
        share //= 2
        last = _said(*newest, language, share)
    left -= size_of(*last)
    if left < 0:
        return []
    whole = [_said(*one, language, 1 << 40) for one in earlier]
    # Enough to know what it was.
    small = [_said(*one, language, 160) for one in earlier]
    # An eighth is folded at a time: what comes before stays the same, and a provider's cache of it valid.
    counts = [*range(0, len(earlier), 1 + len(earlier) // 8), len(earlier)]
    ways = chain((small[:n] + whole[n:] for n in counts), (small[n:] for n in counts))
    return [*next(way for way in ways if size_of(*chain(*way)) <= left), last]


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
        lines += ["", fence(say("agent.instructions", name=brief.instructions.name), brief.instructions.text)]
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
                steps = [item.to_json() for item in move.plan]
                planned: JsonObject = {"criteria": list(move.criteria), "steps": [*steps]}
                exchanges.append((PLAN, planned, text("agent.planned", language=language)))
            for call, result in zip(move.calls, turn.results, strict=False):
                exchanges.append((call.tool, call.arguments, told(result)))
        case Ask():
            exchanges.append((ASK, {"text": move.text, "choices": list(move.choices)}, turn.answer or ""))
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
        spoken.append(chat.ToolCallPart(name, _short(arguments, room, language), tool_call_id=at))
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
    short: JsonObject = {}
    for name, value in arguments.items():
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        kept = cut(said, room // len(arguments) or 1, language=language)
        short[name] = value if kept == said else kept
    return short


# --- judging


REPORT: Final = tool_of("report", moves.Report)


def question(
    criteria: Sequence[str], evidence: Sequence[Evidence], *, bytes_max: int, language: str
) -> list[chat.ModelMessage]:
    """Return what a verifier is asked; results share the room evenly, and a cut one says so."""
    rules = text("agent.judge", language=language)
    listed = [f"{number}. {one}" for number, one in enumerate(criteria, start=1)]
    asked = "\n".join([text("agent.judge.criteria", language=language), *listed])
    share = max(0, (bytes_max - len(f"{rules}{asked}".encode())) // max(1, len(evidence)) - 200)
    shown = [fence(one.name, cut(one.text, share, language=language)) for one in evidence]
    return [chat.ModelRequest(parts=[chat.UserPromptPart("\n\n".join([asked, *shown]))], instructions=rules)]


def checks_of(response: chat.ModelResponse, criteria: Sequence[str], evidence: Sequence[Evidence]) -> tuple[Check, ...]:
    """Return a check for each criterion that was really judged, in their order."""
    found: dict[int, Check] = {}
    # Results come as numbered lines; a quote may be over several.
    there = [_plain(said) for one in evidence for said in (one.text, re.sub(r"(?m)^\d+: ?", "", one.text))]
    calls = (one for one in response.tool_calls if one.tool_name == REPORT.name)
    reports = (report for call in calls if (report := read(moves.Report, call)))
    for said in (judgement for report in reports for judgement in report.judgements):
        quote, number = _plain(said.quote), said.criterion
        made_up = bool(quote) and not any(quote in one for one in there)
        if made_up or number in found or not 1 <= number <= len(criteria):
            continue
        told = f"“{quote}” {said.reason}".strip() if quote else said.reason
        name, told = criteria[number - 1][:200], told[:EVIDENCE_CHARS_MAX]
        found[number] = Check(name=name, passed=said.passed, evidence=told, ran_by="verifier")
    return tuple(found[number] for number in sorted(found))


def _plain(said: str) -> str:
    return " ".join(said.split())

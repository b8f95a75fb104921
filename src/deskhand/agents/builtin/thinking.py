"""Asks a language model, and makes of whatever it says a move or an honest end.

Each provider is opened once; what it complains of becomes one of the closed list of errors. It refuses to believe
that an empty answer is an answer, that half of one is whole, and that a server of one's own costs what the cloud's list
says; to wait for a model that has gone silent; to log or repeat an API key; to let a provider's library retry behind
our back (waiting is the runner's, where it survives a restart); and to take a scripted program for a model outside the
demo and the tests.

The conversation is pure, and stands apart from the asking: the same brief and history give the same messages, so that
any process can go on with them, and an answer comes to the same move or judgement. It refuses to send
more than fits, and to part a call from its result: the oldest turns are folded first, then left out whole. It refuses
to lose a word: whatever a model says beside its calls goes to the person with them. A verifier sees criteria and
results, never the story of the work; silence, a malformed answer, or a quote that does not stand in the results, is no
judgement.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, Final, TypeVar, assert_never, cast
from urllib.parse import urlsplit

import httpx2
from pydantic_ai import messages as chat
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior, UserError
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from deskhand.agents.builtin.agent import KNOWN, STAND_IN, BuiltInAgent, Offer, Scene
from deskhand.clock import unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.limits import EVIDENCE_CHARS_MAX, RETRY_AFTER_SECONDS_MAX
from deskhand.ports import Ask, Done, Evidence, GiveUp, Judgement, Move, Spent, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol import wishes
from deskhand.protocol.tasks import Brief, Check
from deskhand.protocol.wire import JsonObject, Wire
from deskhand.texts import text

R = TypeVar("R")
W = TypeVar("W", bound=Wire)

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


_WISHES: Final = {PLAN: wishes.SetPlan, ASK: wishes.AskPerson, FINISH: wishes.Finish, GIVE_UP: wishes.Surrender}
OWN: Final = tuple(map(tool_of, _WISHES, _WISHES.values()))


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
    planned = read(wishes.SetPlan, own.get(PLAN))
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
        asked = read(wishes.AskPerson, own[ASK]) or wishes.AskPerson(text="")
        question = Ask(text=asked.text, choices=asked.choices, say=said)
        return question if asked.text else replace(question, text=said, say="") if said else None
    if GIVE_UP in own:
        surrender = read(wishes.Surrender, own[GIVE_UP])
        reasons = surrender.reasons if surrender else ()
        return GiveUp(reasons=reasons or (text("agent.no_reason", language=language),), say=said)
    done = read(wishes.Finish, own.get(FINISH)) or wishes.Finish(summary="")
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


REPORT: Final = tool_of("report", wishes.Report)


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
    reports = (report for call in calls if (report := read(wishes.Report, call)))
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


# --- asking


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
        self._offered = ModelRequestParameters(function_tools=[*tools, *OWN])
        told = [(one.description, one.parameters_json_schema) for one in [*tools, *OWN]]
        self._offered_bytes = len(json.dumps(told))

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move; see the agent."""
        choice, scene = await self._mind.choose(brief), self._mind.scene(brief)

        async def within(room: int) -> Move:
            told = messages_of(brief, history, scene, bytes_max=room, language=self._mind.language)
            return await self._answered(choice, told, brief)

        return await _fitting(choice, self._offered_bytes, within)

    async def judge(self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        """Return one check for each criterion that could be judged; see the agent."""
        choice = await self._mind.choose(brief)

        async def within(room: int) -> Judgement:
            told = question(criteria, evidence, bytes_max=room, language=self._mind.language)
            response = await self._asked(choice, told, forced=REPORT)
            return Judgement(checks=checks_of(response, criteria, evidence), spent=spent_on(choice, [response]))

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
                    hear(_piece(event))
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


def _piece(event: object) -> str:
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

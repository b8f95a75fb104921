"""What this computer can think with: the settings, the keys that were kept, what is found by looking, how it does.

A key is in the environment or in the safe. It refuses to put a key anywhere else, and to call a model good that did not call a tool through the very path that tasks take.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from deskhand.agents.builtin.agent import SERVERS, BuiltInAgent, Findings, Offer, Scene, Wanted
from deskhand.agents.builtin.installing import offers
from deskhand.agents.builtin.supply import Embedded, Supply, look
from deskhand.cli.client import home
from deskhand.cli.closing import HELD
from deskhand.cli.screen import Obj, speak
from deskhand.cli.values import setting
from deskhand.clock import Clock, SystemClock, stamp
from deskhand.errors import DeskhandError
from deskhand.ids import Ids
from deskhand.ports import ToolInfo, Wishes
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import Ceiling
from deskhand.store.private import Safe
from deskhand.texts import text

STAND_IN_VARIABLE: Final = "DESKHAND_STAND_IN"
"""Lets a scripted program pass for a model; the demo and the tests set it."""
CONTEXT_MIN = 16_000
"""Below this a task of some files does not fit."""
SECONDS = 120.0
"""What takes longer for one tool call cannot do the work."""
_FIELDS: JsonObject = {"number": {"type": "integer"}}
_NUMBER: JsonObject = {"type": "object", "properties": _FIELDS, "required": ["number"]}
_TOOL = ToolInfo(name="keep_number", description="Keep a number for the person.", schema=_NUMBER)


def wanted() -> Wanted:
    """Return what the settings say of models now.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    names = ("name", "base_url", "api_key_env", "context_tokens")
    name, url, variable, tokens = (setting(f"model.{one}").value for one in names)
    return Wanted(name=name, base_url=url, key_variable=variable, context_tokens=tokens)


def found(said: Wanted | None = None) -> Findings:
    """Look for everything.

    Raises:
        DeskhandError: ``config_invalid``; ``home_unsafe`` when others can read the keys.
    """
    kept = {name: secret for name, (_, secret) in Safe(home()).all().items() if secret}
    return look(said or wanted(), kept=kept | HELD, installed=offers(models_folder()))


def models_folder() -> Path:
    """Return where models of our own lie."""
    return home() / "models"


def looked_line(found: Findings) -> str:
    """Say what was looked for and what of it was there, keys by the names of their variables."""
    said: list[str] = []
    for place, names in found.looked.items():
        there = ", ".join(names) or speak.say("model.no" if place in SERVERS else "model.nothing")
        later = speak.say("model.later") if place == "agents" and names else ""
        said.append(f"{speak.say(f'model.place.{place}')} {there}{later}")
    return speak.say("model.looked", places=" · ".join(said))


def standing(found: Findings) -> str:
    """Say which model is used and why, or why none is."""
    first = found.used
    if first is None:
        small = next((one.name for one in found.offers if one.label and not one.lacks), None)
        key = "model.off" if found.wanted.name else "model.small" if small else "model.none"
        return speak.say(key, name=small)
    if first.lacks is not None:
        why = DeskhandError(first.lacks, first.where).sentence(speak.language)
        return speak.say("model.lacks", name=first.name, why=why)
    source = "config" if found.wanted.name else first.source
    why = speak.say(f"model.why.{source}", where=first.where)
    return speak.say("model.used", name=first.name, label=speak.label(first.label), why=why)


def standing_line(found: Findings) -> str:
    """Say the same under the word for a model."""
    return f"{speak.say('doctor.model')}: {standing(found)}"


def model_lines() -> list[str]:
    """Say which model is used and why; or why none is, and where one was looked for."""
    said = found()
    return [standing_line(said), *([] if said.used else [looked_line(said)])]


@asynccontextmanager
async def builtin_agent(
    path: Path,
    *,
    computer: str,
    tools: tuple[ToolInfo, ...],
    clock: Clock,
    language: str,
    hear: Callable[[Brief, str | None], None] = lambda _, __: None,
) -> AsyncGenerator[tuple[BuiltInAgent, Supply]]:
    """Hold the built-in agent of this computer, and what it thinks with."""
    own, ceiling = Embedded(Ids(clock)), Ceiling(path)
    supply = Supply(wanted=wanted, look=found, own=own, clock=clock)

    def scene(brief: Brief) -> Scene:
        root = next((one.root for one in ceiling.entries() if one.id == brief.folder), None)
        return Scene(now=clock.now().astimezone(), computer=computer, root=root, mode=brief.mode)

    agent = BuiltInAgent(
        choose=supply.choose,
        scene=scene,
        tools=tools,
        offload=asyncio.to_thread,
        language=language,
        hear=hear,
        standin=os.environ.get(STAND_IN_VARIABLE) == "1",
    )
    try:
        yield agent, supply
    finally:
        await agent.close()
        await own.close()


def told(offer: Offer) -> Obj:
    """Return what people may know of an offer: never its key."""
    lacks: Obj | None = None
    if offer.lacks is not None:
        said = DeskhandError(offer.lacks, offer.where).sentence(speak.language)
        lacks = {"code": offer.lacks, "message": said}
    return {**offer.info.to_json(), "label": offer.label, "where": offer.where, "lacks": lacks}


def tried(name: str | None) -> Obj:
    """Return how a model did, the one in use unless another is named.

    Raises:
        DeskhandError: ``model_unknown``, ``model_key``, ``model_busy`` and what else a provider says.
    """
    said = found()
    offer = said.named(name or (said.used.name if said.used else ""))
    return {"name": offer.name, "label": offer.label, **asyncio.run(_tried(offer.name))}


def judged(row: Obj) -> tuple[Literal["good", "ask", "bad"], str]:
    """Return how good that is, in words; a context that is too short with what helps there."""
    context: int | None = row["context_tokens"]
    shown = speak.say("model.unknown_context") if context is None else f"{context:,}"
    figures = {"first": row["first_s"], "total": row["total_s"], "context": shown}
    key = "model.ok" if row["ok"] else "model.no_tool"
    said = speak.say(key, name=f"{row['name']}{speak.label(row['label'])}", **figures)
    short = context is not None and context < CONTEXT_MIN
    if short:
        kind = str(row["name"]).partition(":")[0]
        cure = speak.say(f"model.cure.{kind if kind in SERVERS else 'other'}")
        said += f"\n  {speak.say('model.short', context=shown, cure=cure)}"
    return ("bad" if not row["ok"] else "ask" if short else "good"), said


async def _tried(name: str) -> Obj:
    clock, language = SystemClock(), speak.language
    ids, began, heard = Ids(clock), clock.monotonic(), list[float]()

    def hear(_: Brief, piece: str | None) -> None:
        heard.extend([] if piece is None else [clock.monotonic() - began])

    held = builtin_agent(home(), computer="", language=language, tools=(_TOOL,), clock=clock, hear=hear)
    number = int(ids.digits(4))
    brief = Brief(
        task=ids.new("tsk"),
        thread=ids.new("thr"),
        epoch=1,
        title="",
        text=text("model.test.ask", language=language, number=number),
        agent=BuiltInAgent.name,
        model=name,
        origin=Origin(surface="cli"),
        trust=Trust.OWNER,
        created_at=stamp(clock.now()),
    )
    move = None
    async with held as (agent, supply):
        await agent.warm()
        began = clock.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                move = await agent.move(brief, ())
        total, choice = clock.monotonic() - began, await supply.choose(brief)
    calls = move.calls if isinstance(move, Wishes) else ()
    return {
        "ok": any((one.tool, one.arguments) == (_TOOL.name, {"number": number}) for one in calls),
        "first_s": round(heard[0], 2) if heard else None,
        "total_s": round(total, 2),
        "context_tokens": choice.context_tokens,
    }

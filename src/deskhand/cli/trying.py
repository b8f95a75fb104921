"""Tries a model for real: one tool call through the very path that tasks take, streamed and measured."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from deskhand.agents.builtin.agent import BuiltInAgent
from deskhand.agents.builtin.choosing import SERVERS, chosen, named
from deskhand.cli import minds
from deskhand.cli.home import home
from deskhand.cli.screen import Obj, speak
from deskhand.clock import SystemClock, stamp
from deskhand.ids import Ids
from deskhand.ports import ToolInfo, Wishes
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text

CONTEXT_MIN = 16_000
"""Below this a task of some files does not fit."""
SECONDS = 120.0
"""What takes longer for one tool call cannot do the work."""
_NUMBER: JsonObject = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
}
_TOOL = ToolInfo(name="keep_number", description="Keep a number for the person.", schema=_NUMBER)


def tried(name: str | None) -> Obj:
    """Return how a model did, the one in use unless another is named.

    Raises:
        DeskhandError: ``model_unknown``, ``model_key``, ``model_busy`` and what else a provider says.
    """
    found = minds.found()
    used = chosen(found)
    offer = named(found, name or (used.name if used else ""))
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

    held = minds.builtin_agent(
        home(), computer="", tools=(_TOOL,), clock=clock, hear=hear, language=language
    )
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
        total, choice = clock.monotonic() - began, supply.choose(brief)
    calls = move.calls if isinstance(move, Wishes) else ()
    return {
        "ok": any((one.tool, one.arguments) == (_TOOL.name, {"number": number}) for one in calls),
        "first_s": round(heard[0], 2) if heard else None,
        "total_s": round(total, 2),
        "context_tokens": choice.context_tokens,
    }

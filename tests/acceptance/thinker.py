"""A scripted computer with and without a model: a test says step by step what its agent does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from typing_extensions import override

from deskhand.protocol import events as ev
from deskhand.protocol.events import Event
from deskhand.protocol.objects import (
    CommandInfo,
    Folder,
    FolderInstructions,
    ModelInfo,
    OptionInfo,
    Origin,
    Runner,
    Trust,
)
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, Question, Suggestion
from deskhand.protocol.wire import Json
from tests.acceptance.stage import Computer

STAND_IN = ModelInfo(name="stand-in", source="config", label="stand_in", context_tokens=32_000)
BRIEF = CommandInfo(
    name="brief",
    summary="Makes a short briefing of notes.",
    summary_ko="메모로 짧은 브리핑을 만듭니다.",
    usage="/brief PATH... [--pages N] [--out NAME]",
    examples=("Brief me on the notes", "회의록을 요약해 줘"),
    options=(OptionInfo(name="pages", metavar="N", most=20), OptionInfo(name="out", metavar="NAME")),
)
FIND = CommandInfo(name="find", summary="Finds files.", usage="/find WORDS...", takes="words")


async def until(computer: Computer, holds: Callable[[], bool]) -> None:
    """Wait for a state."""
    async with asyncio.timeout(10):
        while not holds():
            await computer.rim.hub.clock.sleep(0.02)


@dataclass(kw_only=True)
class Thinker(Computer):
    """Keeps what it was given; ``model`` is what it thinks with from its next word on."""

    model: ModelInfo | None = None
    models: tuple[str, ...] = ()
    briefs: list[Brief] = field(default_factory=list[Brief])
    watched: set[str] = field(default_factory=set[str])

    @override
    def described(self) -> Runner:
        agents = ("commands", "builtin") if self.model else ("commands",)
        return super().described().but(commands=(BRIEF, FIND), model=self.model, models=self.models, agents=agents)

    @override
    def lent(self) -> tuple[Folder, ...]:
        said = FolderInstructions(name="AGENTS.md", chars=1840, sha256="0" * 64)
        return tuple(one.but(instructions=said) for one in super().lent())

    async def connect(self, *models: str) -> None:
        """Have the stand-in from now on, and these besides."""
        self.model, self.models = STAND_IN, (STAND_IN.name, *models)
        await self.advertise()

    @override
    async def run(self) -> None:
        async with aclosing(self.link.stream(after=self.cursor)) as frames:
            async for frame in frames:
                if frame.kind == "watch" and frame.data:
                    thread = str(frame.data["thread"])
                    (self.watched.add if frame.data["on"] else self.watched.discard)(thread)
                if frame.event is not None:
                    self.cursor = frame.event.seq
                    await self.hear(frame.event)

    @override
    async def hear(self, event: Event) -> None:
        if event.kind == "task.queued" and "brief" in event.body:
            await self.suggest(Brief.from_json(event.body["brief"]))
        elif event.kind == "task.assigned":
            brief = Brief.from_json(event.body["brief"])
            await self.op("task.accept", {"epoch": brief.epoch}, task=brief.task)
            if brief.agent == "commands":
                await self.deliver(brief)
            else:
                self.briefs.append(brief)

    async def suggest(self, brief: Brief) -> None:
        """Offer two commands; the first one would leave words out."""
        first = Suggestion(
            id="1",
            command="/brief notes/ --pages 1",
            preview="Makes briefing.md of 3 notes. Nothing else is changed.",
            not_honored=("and send them to the team",),
            runner=self.id,
            folder=brief.folder,
        )
        second = first.but(id="2", command="/find meeting", preview="Finds files.", not_honored=())
        said: list[Json] = [one.bound.to_json() for one in (first, second)]
        await self.op("task.suggest", {"suggestions": said}, task=brief.task)

    async def given(self, *, watched: bool = False) -> Brief:
        """Wait for the newest task (and until somebody looks at its thread)."""
        await until(self, lambda: bool(self.briefs) and (not watched or self.briefs[-1].thread in self.watched))
        return self.briefs[-1]

    async def type(self, brief: Brief, text: str, *, offset: int = 0) -> None:
        """Say a piece of a message that is not whole yet."""
        op = Op(
            op_id=self.rim.ids.new("op"),
            kind="draft.say",
            thread=brief.thread,
            task=brief.task,
            body={"epoch": brief.epoch, "message": "msg_live", "offset": offset, "text": text},
        )
        (result,) = await self.link.send([op])
        assert result.status == "ok", result

    async def tell(self, brief: Brief, text: str) -> None:
        """Say a whole message; it replaces what was typed."""
        said = ev.MessagePosted(
            message="msg_live",
            role="agent",
            text=text,
            origin=Origin(surface="agent", device=self.id),
            trust=Trust.UNTRUSTED,
            epoch=brief.epoch,
        )
        await self.about(brief, said)

    async def ask(self, brief: Brief, text: str, *choices: str) -> None:
        """Want to know something."""
        question = Question(
            id=self.rim.ids.new("qst"),
            task=brief.task,
            thread=brief.thread,
            text=text,
            choices=choices,
            asked_at=self.now(),
        )
        await self.about(brief, ev.QuestionAsked(epoch=brief.epoch, question=question))

"""The scripted person of an exercise: says the sentences, answers questions, and says yes only to what is in the folder.

It knows no more than a person would: what it is asked, and what would run. It never helps beyond that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.evals.exercise import Case
from deskhand.protocol.events import Event
from deskhand.protocol.tasks import Approval, Question, Task
from deskhand.protocol.wire import JsonObject
from deskhand.testing.household import ACCOUNT, OWNER, Household
from deskhand.texts import text

_READ: Final = 500
_LISTEN_SECONDS: Final = 1.0
_ARRIVE_SECONDS: Final = 60.0
_CANCEL_SECONDS: Final = 20.0
_OWN_WAY: Final = "I cannot say more than that. Decide as you think best."


@dataclass(slots=True, kw_only=True)
class Person:
    """What the person heard and did so far; ``overran`` says that the time of the exercise was over."""

    house: Household
    case: Case
    root: Path
    wall: str
    agent: str
    model: str | None
    clock: Clock
    seconds: float = 0.0
    said: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])
    allowed: int = 0
    denied: int = 0
    overran: bool = False
    _thread: str | None = None
    _cursor: int = 0
    _folder: str = ""
    _over: set[str] = field(default_factory=set[str])

    async def arrive(self) -> None:
        """Wait until the computer has told what it can do and which folder it has.

        Raises:
            DeskhandError: ``timeout`` when it never does.
        """
        try:
            async with asyncio.timeout(_ARRIVE_SECONDS):
                while not self._folder:
                    await self._listen()
        except TimeoutError:
            raise DeskhandError(Code.TIMEOUT) from None

    async def delegate(self, sentence: str, *, within: float) -> Task:
        """Say a sentence in the one thread there is, and stay until its task is over or the time of all of them.

        Raises:
            DeskhandError: what the hub says to it.
        """
        body: JsonObject = {"text": sentence, "as": "task", "agent": self.agent}
        body |= {"folder": self._folder, **({"model": self.model} if self.model else {})}
        about = {"thread": self._thread} if self._thread else {}
        began = self.clock.monotonic()
        result = await self.house.op("message.post", body, **about)
        if result.error is not None:
            raise DeskhandError(Code.INVALID, result.error.message)
        name = str(result.task)
        try:
            async with asyncio.timeout(max(0.0, within - self.seconds)):
                await self._until_over(name)
        except TimeoutError:
            self.overran = True
            await self.house.op("task.cancel", {}, task=name)
            async with asyncio.timeout(_CANCEL_SECONDS):
                await self._until_over(name)
        self.seconds += self.clock.monotonic() - began
        task = await self.house.hub.store.get(ACCOUNT, Task, name)
        if task is None:
            raise DeskhandError(Code.NOT_FOUND, name)
        self._thread = task.thread
        self.said += [*([task.summary] if task.summary else []), *task.not_done_because]
        return task

    def asked_by(self, task: Task) -> bool:
        """Return whether a task ended with the question that the exercise wants, in plain words."""
        said = self.said[-1] if self.said else ""
        question = task.answer and bool(self.case.reply) and not self.asked and "?" in said
        self.asked += [said] if question else []
        return question

    async def _until_over(self, task: str) -> None:
        while task not in self._over:
            await self._listen()

    async def _listen(self) -> None:
        """Hear what happened since, and answer what waits."""
        hub = self.house.hub
        page = await hub.sync(OWNER, after=self._cursor, limit=_READ, wait=_LISTEN_SECONDS)
        self._cursor = page.looked_at
        for event in page.events:
            await self._hear(event)

    async def _hear(self, event: Event) -> None:
        body = event.body
        match event.kind:
            case "runner.advertised":
                folders = cast("list[JsonObject]", body.get("folders") or [])
                self._folder = str(folders[0]["id"]) if folders else ""
            case "message.posted" if body.get("role") == "agent":
                self.said.append(str(body["text"]))
            case "question.asked":
                await self._answer(Question.from_json(body["question"]))
            case "approval.requested":
                await self._decide(Approval.from_json(body["approval"]))
            case "task.finished":
                self._over.add(str(event.task))
            case _:
                pass

    async def _answer(self, question: Question) -> None:
        """Say what the exercise knows, once; stop at a limit; else leave it to the agent."""
        stop = text("budget.stop")
        if stop in question.choices:
            reply = stop
        else:
            reply = self.case.reply if self.case.reply and not self.asked else _OWN_WAY
            self.asked.append(question.text)
        await self.house.op("question.answer", {"question": question.id, "answer": reply})

    async def _decide(self, approval: Approval) -> None:
        """Say yes to what stays in the folder; to a command only where a wall holds it."""
        action = approval.action
        targets = [Path(one) for one in (action.target or "").splitlines()]
        inside = bool(targets) and all(one.is_relative_to(self.root) for one in targets)
        yes = self.wall == "full" if action.argv else inside
        self.allowed += yes
        self.denied += not yes
        body: JsonObject = {
            "approval": approval.id,
            "decision": "allow" if yes else "deny",
            "action_sha256": approval.action_sha256,
        }
        await self.house.op("approval.decide", body)

"""The people of a world: what they ask for, how they answer, and how they meddle.

They only know what their phone shows and only do what can be tapped. They refuse to do anything while it is off.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Final

from deskhand.clock import stamp
from deskhand.protocol.objects import Thread
from deskhand.protocol.signing import APPROVAL, approval_statement, sign
from deskhand.protocol.tasks import Approval, Question, Task, TaskState
from deskhand.protocol.wire import Json, JsonObject
from deskhand.testing.world.hub import ACCOUNT
from deskhand.testing.world.laptops import AGENT, GRANTS, Laptop
from deskhand.testing.world.phones import Phone

_WORDS: Final = ("idem", "idem", "once", "once", "probe", "look", "both", "again", "ask")
_SETTINGS: Final[tuple[tuple[str, Json], ...]] = (
    ("lease_seconds", 60),
    ("lease_seconds", 300),
    ("tasks_per_thread", 1),
    ("tasks_per_thread", 5),
    ("language", "ko"),
)


class Person:
    """Holds one phone."""

    def __init__(self, phone: Phone, rng: Random) -> None:
        """Have done nothing yet."""
        self.phone = phone
        self.settling = False
        self._rng = rng
        self._done: dict[str, bool] = {}
        self._posted = 0

    async def live(self) -> None:
        """Look at the phone every now and then, for ever."""
        pace = self.phone.chaos.pace
        while True:
            await self.phone.clock.sleep(self._rng.uniform(2, 20 if self.settling else 90 * pace))
            if self.phone.up and not self.phone.gone:
                self._answer()
                if self.settling:
                    self._let_go_on()
                elif self._rng.random() < 0.15:  # noqa: PLR2004 - how often people meddle
                    self._meddle()

    def post(self, laptop: Laptop) -> None:
        """Ask for some work on a computer, sometimes in a thread that is there already."""
        rng, self._posted = self._rng, self._posted + 1
        words = [rng.choice(_WORDS) for _ in range(rng.randint(0, round(4 * self.phone.chaos.pace)))]
        words += ["stop"] if rng.random() < 0.05 else []  # noqa: PLR2004 - some work cannot be done
        words += ["again", "again"] if rng.random() < 0.2 else []  # noqa: PLR2004 - the same wish twice
        threads = self.phone.account.find(Thread)
        thread = rng.choice(threads).id if threads and rng.random() < 0.5 else None  # noqa: PLR2004 - half of it
        text = " ".join([f"{self.phone.name}-{self._posted}", *words])
        body: JsonObject = {"text": text, "agent": AGENT}
        kind = rng.choices(("here", "anywhere", "later", "with a file"), (17, 3, 2, 2))[0]
        if kind != "anywhere":
            body["folder"] = laptop.folder(rng.choice(list(GRANTS)))
        if kind == "later":
            clock = self.phone.clock
            at = clock.now() - clock.ahead + timedelta(seconds=rng.uniform(0, 900))
            body["not_before"] = stamp(at)
        if kind == "with a file":
            self.phone.attach(body, thread=thread)
        else:
            self.phone.want("message.post", body, thread=thread)

    def _answer(self) -> None:
        """Decide what is open, later or never unless it is time to settle."""
        for approval in self.phone.account.find(Approval, states=["open"]):
            if self._now(approval.id):
                self._decide(approval)
        for question in self.phone.account.find(Question, states=["open"]):
            if self._now(question.id):
                self.phone.want("question.answer", {"question": question.id, "answer": "this"})

    def _now(self, name: str) -> bool:
        if name in self._done or not (self.settling or self._rng.random() < 0.6):  # noqa: PLR2004 - most of the time
            return False
        self._done[name] = True
        return True

    def _decide(self, approval: Approval) -> None:
        allow = self._rng.random() < 0.8  # noqa: PLR2004 - mostly yes
        body: JsonObject = {
            "approval": approval.id,
            "decision": "allow" if allow else "deny",
            "scope": "task" if allow and self._rng.random() < 0.1 else "once",  # noqa: PLR2004 - seldom
            "action_sha256": approval.action_sha256,
        }
        if allow and self.phone.pem:
            about = {"account": ACCOUNT, "device": self.phone.name, "scope": str(body["scope"])}
            told = approval_statement(approval.to_json(), decision="allow", **about)
            body |= sign(APPROVAL, told, self.phone.pem).to_json()
        self.phone.want("approval.decide", body)

    def _let_go_on(self) -> None:
        for task in self.phone.account.find(Task, states=[TaskState.PAUSED]):
            if self._now(f"resume {task.id}"):
                self.phone.want("task.resume", {}, task=task.id)

    def _meddle(self) -> None:
        """Do what people do to work that is under way."""
        rng = self._rng
        tasks = self.phone.account.find(Task)
        if not tasks:
            return
        task = rng.choice(tasks)
        kinds = ("cancel", "pause", "resume", "retry", "archive", "edit", "steer", "read", "rare")
        kind = rng.choice(kinds)
        if kind == "rare":
            self._rarely(task)
        elif kind == "steer":
            body: JsonObject = {"text": "a bit faster", "as": "steer", "to": task.id}
            self.phone.want("message.post", body, thread=task.thread)
        elif kind == "read":
            body = {"seq": self.phone.cursor}
            self.phone.want("read.mark", body, thread=task.thread)
        else:
            body = {"title": "another name"} if kind == "edit" else {}
            self.phone.want(f"task.{kind}", body, task=task.id)

    def _rarely(self, task: Task) -> None:
        """Erase a conversation, or change a setting."""
        rng = self._rng
        if rng.random() < 0.8:  # noqa: PLR2004 - mostly
            self.phone.want("thread.erase", {}, thread=task.thread)
        else:
            name, value = rng.choice(_SETTINGS)
            self.phone.want("settings.put", {"name": name, "value": value})

"""Act two: the real built-in agent over real HTTP, a check that fails once, a yes from the phone, and a kill -9.

The model is the stand-in unless one is configured; it is called what it is on every line. The program is killed while
the approved command runs; nobody helps it afterwards.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, cast

from deskhand.clock import SystemClock, stamp, unstamp
from deskhand.protocol.events import Event
from deskhand.protocol.tasks import Approval
from deskhand.protocol.wire import JsonObject
from deskhand.testing.demo.stage import LINE, WORK_SECONDS, DemoFailedError, Stage, end, items, up, verified
from deskhand.testing.phone import Phone
from deskhand.testing.push.service import FakePushService

SENTENCE: Final = "Summarise yesterday's three meeting notes into a one-page briefing and save it"
CHECK: Final = "python3 checks/every_action_item.py briefing-agent.md"
CHECK_SAYS: Final = "every action item is in the briefing"
_STANDIN: Final = "a scripted program, not a language model"
_KILLED: Final = "run_command"


@dataclass(slots=True)
class _Act:
    """What was seen of the task so far; ``steps`` are the titles since the last line, ``killed`` when and in which."""

    stage: Stage
    phone: Phone
    pushes: FakePushService
    task: str
    steps: list[str] = field(default_factory=list[str])
    tries: int = 1
    approvals: int = 0
    killed: tuple[Event, str, float] | None = None

    def show_steps(self) -> None:
        """Print the steps that were not printed yet."""
        if self.steps:
            self.stage.say(f"{LINE}{'  ·  '.join(self.steps)}")
        self.steps = []

    async def see(self, event: Event) -> bool:
        """Show one event, do what a person or a power cut would; return whether the task is over."""
        match event.kind:
            case "step.started":
                await self._begins(event)
            case "step.finished" if self.killed:
                self._went_on(event)
            case "check.finished":
                self._checked(cast("JsonObject", event.body["check"]))
            case "approval.requested":
                await self._asked(Approval.from_json(cast("JsonObject", event.body["approval"])))
            case "task.finished":
                return True
            case _:
                pass
        return False

    async def _begins(self, event: Event) -> None:
        self.steps.append(f"step {event.body['step']} {event.body['title']}")
        if event.body["tool"] != _KILLED or self.killed:
            return
        self.show_steps()
        await end(self.stage, signal.SIGKILL)
        dead = stamp(SystemClock().now())
        await up(self.stage, port=self.stage.url.rpartition(":")[2])
        self.killed = event, dead, SystemClock().monotonic()

    def _went_on(self, event: Event) -> None:
        assert self.killed is not None  # noqa: S101 - the case asked
        began, dead, ready = self.killed
        if event.body["step"] != began.body["step"]:
            return
        if event.at < dead:
            raise DemoFailedError("the step had ended before the program could be killed in it")
        after = SystemClock().monotonic() - ready
        took = (unstamp(event.at) - unstamp(began.at)).total_seconds()
        self.stage.say(
            f"{LINE}✂ killed the program (kill -9) in that step, which ended {took:.1f} s after it began;"
            f" started again, it went on {after:.1f} s after it was ready"
        )

    def _checked(self, check: JsonObject) -> None:
        self.show_steps()
        if check["passed"]:
            return
        self.tries += 1
        name = CHECK_SAYS if check["name"] == CHECK else check["name"]
        evidence = str(check["evidence"]).partition("\n")[0]
        self.stage.say(f"{LINE}✗ check “{name}”: {evidence} → try {self.tries} of 3")

    async def _asked(self, approval: Approval) -> None:
        """Answer as the phone's owner: writing in this folder for this task, a command once."""
        self.show_steps()
        self.approvals += 1
        scope = "once" if approval.action.tool == _KILLED else "task"
        asked = SystemClock().monotonic()
        already = len(self.stage.tasks) + self.approvals
        async with asyncio.timeout(WORK_SECONDS):
            push = (await self.pushes.received(already))[-1]
        await self.phone.show(push.payload)
        await self.phone.approve(approval, scope=scope)
        words = {"once": "Approve once", "task": "Approve for this task"}[scope]
        self.stage.say(f"{LINE}? needs you  {approval.sentence}")
        self.stage.say(
            f"{LINE}  push to the phone: accepted, shown · phone: {words} · {SystemClock().monotonic() - asked:.1f} s"
        )


async def agent_path(stage: Stage, phone: Phone, pushes: FakePushService) -> None:
    """Send the sentence, answer what is asked, pull the plug in between, and show how it ends."""
    before = cast("int", (await phone.get("/v1/snapshot"))["cursor"])
    folders = {str(one["root"]): one["id"] for one in await items(phone, "/v1/folders")}
    folder = folders[str(stage.folders["Meetings"])]
    wish: JsonObject = {"text": SENTENCE, "folder": folder, "mode": "ask", "checks": [CHECK]}
    about = stage.tasks[0].thread
    sent = await phone.op("message.post", wish, thread=about)
    act = _Act(stage, phone, pushes, str(sent["task"]))
    (runner,) = await items(phone, "/v1/runners")
    model = cast("JsonObject", runner.get("model") or {})
    standin = model.get("label") == "stand_in"
    stage.say(
        f"\n② The agent path{' ' * 21}model: {f'STAND-IN – {_STANDIN}' if standin else model.get('name', 'none')}"
    )
    stage.say(f"{LINE}phone → Meetings   “{SENTENCE}”")
    async with asyncio.timeout(2 * WORK_SECONDS):
        while not await _watched(act, before):
            pass
    task = verified(await phone.task(act.task))
    if act.killed is None:
        raise DemoFailedError("no command ran that the program could have been killed in")
    stage.tasks.append(task)
    files = ", ".join(artifact.name for artifact in task.artifacts)
    used = f"stand-in ({_STANDIN})" if standin else task.model_used
    stage.say(
        f"{LINE}✓ {task.verdict}  {files} · {task.summary or ''} · {act.tries} tries · {act.approvals} approvals · model: {used}"
    )


async def _watched(act: _Act, after: int) -> bool:
    """Follow the task; return whether it is over, or has to be followed anew after a kill."""
    killed = act.killed
    since = killed[0].seq if killed else after
    async with aclosing(act.phone.events(after=since)) as stream:
        async for event in stream:
            if event.task == act.task and await act.see(event):
                return True
            if act.killed is not killed:
                return False
    return False

"""A real hub on a real socket with the built page, and a scripted computer that plays tasks through the real protocol."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deskhand.clock import Clock, stamp
from deskhand.core.drafting import Draft
from deskhand.hub.app import Participant
from deskhand.hub.http.app import PAGE, Bind, serving
from deskhand.protocol import events as ev
from deskhand.protocol.events import KIND_OF, Event
from deskhand.protocol.objects import CommandInfo, Folder, FolderMode, Origin, Role, Runner, SandboxInfo, Trust
from deskhand.protocol.ops import Op, Principal
from deskhand.protocol.requests import InviteAsk
from deskhand.protocol.tasks import (
    Action,
    Approval,
    Artifact,
    Brief,
    Changes,
    Check,
    PlanItem,
    Question,
    TaskState,
    Verdict,
)
from deskhand.protocol.wire import JsonObject, sha256_of
from tests.rim import Rim, open_rim

BRIEFING = """# Briefing, 22 November

Three notes, eleven lines, each one with its source.

## Actions

- Call the printer on Friday (`client-call.md:8`)
- Send the revised offer to *Hana* (`client-call.md:11`)
- Book the small room (`team.md:4`)

| who | by |
| --- | --- |
| Hana | Friday |
| 민준 | 월요일 |

![tracker](https://evil.example/pixel.png) [read more](https://evil.example/?leak=1) <script>window.hacked = 1</script>
"""
COMMANDS = (
    CommandInfo(name="actions", summary="Every action item, with its source", usage="/actions FOLDER"),
    CommandInfo(name="brief", summary="A briefing that quotes file and line", usage="/brief FOLDER [--pages N]"),
    CommandInfo(name="find", summary="Lines that say something", usage="/find WORDS"),
    CommandInfo(name="report", summary="Totals of a table, recomputed", usage="/report FILE.csv"),
    CommandInfo(name="run", summary="One command in the sandbox", usage="/run COMMAND"),
)


@dataclass(kw_only=True)
class Computer:
    """Plays each task by the first word of its text."""

    rim: Rim
    link: Participant
    id: str
    name: str
    root: str
    cursor: int = 0
    waiting: dict[str, Brief] = field(default_factory=dict[str, Brief])

    def described(self) -> Runner:
        """Return what it says of itself."""
        return Runner(
            id=self.id,
            name=self.name,
            incarnation="inc_1",
            protocol=1,
            kinds=tuple(sorted(ev.ORDER_KINDS)),
            commands=COMMANDS,
            agents=("commands", "builtin"),
            sandbox=SandboxInfo(name="bubblewrap", level="full"),
            advertised_at=self.now(),
        )

    def lent(self) -> tuple[Folder, ...]:
        """Return the folders that may be used here."""
        name = f"fld_{self.name}"
        return (Folder(id=name, runner=self.id, root=self.root, label="Meetings", mode=FolderMode.WORKSPACE),)

    async def advertise(self) -> None:
        """Say what is here."""
        await self.append(ev.RunnerAdvertised(runner=self.described(), folders=self.lent()))

    async def run(self) -> None:
        """Work until cancelled."""
        async with aclosing(self.link.stream(after=self.cursor)) as frames:
            async for frame in frames:
                if frame.event is not None:
                    self.cursor = frame.event.seq
                    await self.hear(frame.event)

    async def hear(self, event: Event) -> None:
        """Take an assignment or a decision."""
        if event.kind == "task.assigned":
            await self.begin(Brief.from_json(event.body["brief"]))
        elif event.kind == "approval.decided":
            brief = self.waiting.pop(str(event.body["approval"]))
            if event.body["decision"] == "allow":
                await self.deliver(brief)
            else:
                await self.give_up(brief, str(event.body.get("reason") or "denied"))
        elif event.kind == "question.answered":
            brief = self.waiting.pop(str(event.body["question"]))
            await self.deliver(brief)

    async def begin(self, brief: Brief) -> None:
        """Accept and play as the text says."""
        await self.op("task.accept", {"epoch": brief.epoch}, task=brief.task)
        items = ("Read the notes", "Write the briefing", "Check every line")
        await self.about(brief, ev.PlanUpdated(epoch=brief.epoch, items=tuple(PlanItem(text=one) for one in items)))
        step = ev.StepStarted(epoch=brief.epoch, step=1, tool="files.read", title="read notes/client-call.md")
        await self.about(brief, step)
        if brief.text.startswith("/run"):
            await self.ask_approval(brief)
        elif brief.text.startswith("ask"):
            await self.ask_question(brief)
        elif not brief.text.startswith("wait"):
            await self.deliver(brief)

    async def ask_approval(self, brief: Brief) -> None:
        """Want to run something, also for ``always``; ``forged``: by a hub that shows another action than the hash is of."""
        argv = ("python3", "-m", "zipfile", "-c", "meeting-pack.zip", "briefing.md", "notes/")
        action = Action(
            tool="shell", arguments={"argv": list(argv)}, argv=argv, target="meeting-pack.zip", folder=brief.folder
        )
        forged = "forged" in brief.text
        shown = action.but(argv=("ls",)) if forged else action
        approval = Approval(
            id=self.rim.ids.new("apr"),
            task=brief.task,
            thread=brief.thread,
            runner=self.id,
            epoch=brief.epoch,
            sentence="Pack the briefing and the notes into meeting-pack.zip",
            action=shown,
            action_sha256=sha256_of(action.to_json()),
            nonce="0" * 32,
            risk="medium",
            scopes=("once", "task", "always") if "always" in brief.text else ("once", "task"),
            rule="ask_first",
            why="In this folder every change and every command is asked first.",
            pattern="allow shell until=2026-12-22 -- python3 -m zipfile",
            until="2026-12-22",
            requested_at=self.now(),
        )
        self.waiting[approval.id] = brief
        asked = ev.ApprovalRequested(epoch=brief.epoch, approval=approval)
        if not forged:
            await self.about(brief, asked)
            return
        draft = Draft(body=asked, actor=self.id, thread=brief.thread, task=brief.task, runner=self.id)
        await self.rim.hub.store.write(self.rim.owner.account, lambda tx: tx.emit(draft))

    async def ask_question(self, brief: Brief) -> None:
        """Want to know something."""
        question = Question(
            id=self.rim.ids.new("qst"),
            task=brief.task,
            thread=brief.thread,
            text="How long may the briefing be?",
            choices=("One page", "Two pages"),
            asked_at=self.now(),
        )
        self.waiting[question.id] = brief
        await self.about(brief, ev.QuestionAsked(epoch=brief.epoch, question=question))

    async def deliver(self, brief: Brief) -> None:
        """Hand over a checked file."""
        epoch, data = brief.epoch, BRIEFING.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        await self.link.upload_blob(_chunks(data), sha256=sha256, size=len(data))
        artifact = Artifact(
            id=self.rim.ids.new("art"),
            task=brief.task,
            name="briefing.md",
            media_type="text/markdown",
            size=len(data),
            sha256=sha256,
            runner=self.id,
            path=f"{self.root}/briefing.md",
            origin=Origin(surface="agent", device=self.id),
            trust=Trust.UNTRUSTED,
            created_at=self.now(),
        )
        await self.about(brief, ev.StepFinished(epoch=epoch, step=1, outcome="ok", summary="12 lines"))
        await self.about(brief, ev.ArtifactCreated(epoch=epoch, artifact=artifact))
        items = ("Read the notes", "Write the briefing", "Check every line")
        await self.about(
            brief, ev.PlanUpdated(epoch=epoch, items=tuple(PlanItem(text=one, done=True) for one in items))
        )
        await self.about(brief, ev.TaskMoved(epoch=epoch, state=TaskState.VERIFYING))
        found = Check(name="Every line is found again in the notes", passed=True, evidence="11 of 11 lines")
        length = Check(name="One page", passed=True, evidence="11 lines, 62 words")
        for check in (found, length):
            await self.about(brief, ev.CheckFinished(epoch=epoch, check=check))
        finished = ev.TaskFinished(
            state=TaskState.COMPLETED,
            verdict=Verdict.VERIFIED,
            summary="One page from **three** notes: 3 actions, each with file and line.",
            changes=Changes(created=1),
            epoch=epoch,
        )
        await self.about(brief, finished)

    async def give_up(self, brief: Brief, because: str) -> None:
        """End without a result."""
        finished = ev.TaskFinished(
            state=TaskState.FAILED,
            verdict=Verdict.NOT_DONE,
            summary="Nothing was packed.",
            not_done_because=(because,),
            epoch=brief.epoch,
        )
        await self.about(brief, finished)

    async def about(self, brief: Brief, body: ev.Body) -> None:
        """State a fact about a task."""
        await self.append(body, task=brief.task)

    async def append(self, body: ev.Body, *, task: str | None = None) -> None:
        """State a fact."""
        said: JsonObject = {"kind": KIND_OF[type(body)], "body": body.to_json()}
        await self.op("event.append", said, task=task)

    async def op(self, kind: str, body: JsonObject, *, task: str | None = None) -> None:
        """Send one op and insist that it is taken."""
        op = Op(op_id=self.rim.ids.new("op"), kind=kind, task=task, body=body)
        (result,) = await self.link.send([op])
        assert result.status == "ok", result

    def now(self) -> str:
        """Return the hub's time as a stamp."""
        return stamp(self.rim.hub.clock.now())


@dataclass(kw_only=True)
class Stage:
    """A hub that answers at ``url``, and its one computer."""

    rim: Rim
    url: str
    computer: Computer

    async def link(self, *, alone: bool = True) -> str:
        """Return a link that adds a page."""
        wish = InviteAsk(kind="page", admits_alone=alone)
        made = await self.rim.pairing.create_invite(self.rim.owner.account, wish)
        return f"{self.url}/#join={made.invite}"

    async def owner(self, kind: str, body: JsonObject, *, thread: str | None = None) -> None:
        """Send an op as the owner's command line."""
        principal = Principal(account=self.rim.owner.account, id=self.rim.owner.device, role=Role.OWNER, name="laptop")
        op = Op(op_id=self.rim.ids.new("op"), kind=kind, thread=thread, body=body)
        (result,) = await self.rim.hub.submit(principal, [op], surface="cli")
        assert result.status == "ok", result


@asynccontextmanager
async def stage(
    home: Path, *, port: int = 0, kind: type[Computer] = Computer, clock: Clock | None = None
) -> AsyncGenerator[Stage]:
    """Open everything but the browser."""
    async with open_rim(home, page=PAGE, clock=clock) as rim:
        device, _ = await rim.device(Role.RUNNER, "runner")
        principal = Principal(account=rim.owner.account, id=device, role=Role.RUNNER, name="laptop")
        link = Participant(rim.hub, principal)
        computer = kind(rim=rim, link=link, id=device, name="laptop", root="/home/me/Meetings")
        await computer.advertise()
        async with serving(rim.hub, rim.app, where=Bind(port=port)) as answering:
            yield Stage(rim=rim, url=answering.url, computer=computer)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data

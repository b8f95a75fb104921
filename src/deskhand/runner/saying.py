"""What a runner says to its hub about an attempt: each fact as an op with an id of its own.

Refuses to send anything: ops go into the journal first, together with what they tell of.
"""

from __future__ import annotations

from typing import Final

from deskhand.clock import Clock, stamp
from deskhand.ids import Ids
from deskhand.limits import TEXT_CHARS_MAX
from deskhand.ports import Ask, ToolCall, ToolResult
from deskhand.protocol import events as ev
from deskhand.protocol.events import KIND_OF, Body
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import (
    Approval,
    Artifact,
    Brief,
    Check,
    Question,
    TaskState,
)
from deskhand.runner.gate import Ruling

SUMMARY_CHARS_MAX: Final = 500


class Voice:
    """Speaks for one attempt.

    Args:
        brief: which task, thread and epoch.
        runner: this runner's id.
        clock: tells when things happened.
        ids: makes ids of ops and objects.
    """

    def __init__(self, *, brief: Brief, runner: str, clock: Clock, ids: Ids) -> None:
        """Keep the parts."""
        self._brief = brief
        self._runner = runner
        self._clock = clock
        self._ids = ids

    @property
    def now(self) -> str:
        """Return the stamp of this moment."""
        return stamp(self._clock.now())

    def op(self, body: Body) -> Op:
        """Return the op that appends a fact."""
        return Op(
            op_id=self._ids.new("op"),
            kind="event.append",
            thread=self._brief.thread,
            task=self._brief.task,
            body={"kind": KIND_OF[type(body)], "body": body.to_json()},
        )

    def moved(self, state: TaskState) -> Op:
        """Return: the attempt moved on."""
        return self.op(ev.TaskMoved(state=state, epoch=self._brief.epoch, happened_at=self.now))

    def said(self, text: str, *, by: str = "agent") -> Op:
        """Return: the agent (or this runner itself) said something."""
        return self.op(
            ev.MessagePosted(
                message=self._ids.new("msg"),
                role="agent" if by == "agent" else "system",
                text=text[:TEXT_CHARS_MAX],
                origin=Origin(surface="agent", device=self._runner),
                trust=Trust.UNTRUSTED,
                epoch=self._brief.epoch,
                happened_at=self.now,
            )
        )

    def began(self, step: int, call: ToolCall) -> Op:
        """Return: a step is about to have its effect."""
        return self.op(
            ev.StepStarted(
                step=step,
                tool=call.tool[:100],
                title=call.title[:SUMMARY_CHARS_MAX],
                epoch=self._brief.epoch,
                happened_at=self.now,
            )
        )

    def ended(self, step: int, result: ToolResult) -> Op:
        """Return: a step has a result."""
        return self.op(
            ev.StepFinished(
                step=step,
                outcome=result.outcome,
                summary=result.text[:SUMMARY_CHARS_MAX],
                epoch=self._brief.epoch,
                happened_at=self.now,
            )
        )

    def approval(self, ruling: Ruling) -> Approval:
        """Return a new request for exactly this action, with a nonce of its own."""
        return Approval(
            id=self._ids.new("apr"),
            task=self._brief.task,
            thread=self._brief.thread,
            runner=self._runner,
            epoch=self._brief.epoch,
            sentence=ruling.sentence,
            action=ruling.action,
            action_sha256=ruling.action_sha256,
            nonce=self._ids.secret(16),
            risk=ruling.risk,
            scopes=("once", "task"),
            rule=ruling.rule,
            requested_at=self.now,
        )

    def requests(self, approval: Approval) -> Op:
        """Return: a person is asked for a yes or no."""
        return self.op(
            ev.ApprovalRequested(approval=approval, epoch=self._brief.epoch, happened_at=self.now)
        )

    def voids(self, approval: str, reason: str) -> Op:
        """Return: what was asked is no longer what would run."""
        return self.op(
            ev.ApprovalVoided(
                approval=approval, reason=reason, epoch=self._brief.epoch, happened_at=self.now
            )
        )

    def question(self, ask: Ask) -> Question:
        """Return the agent's question."""
        return Question(
            id=self._ids.new("qst"),
            task=self._brief.task,
            thread=self._brief.thread,
            text=ask.text[:TEXT_CHARS_MAX],
            choices=ask.choices,
            asked_at=self.now,
        )

    def asks(self, question: Question) -> Op:
        """Return: the agent wants to know something."""
        return self.op(
            ev.QuestionAsked(question=question, epoch=self._brief.epoch, happened_at=self.now)
        )

    def checked(self, check: Check) -> Op:
        """Return: a check was run."""
        return self.op(ev.CheckFinished(check=check, epoch=self._brief.epoch, happened_at=self.now))

    def resets_checks(self) -> Op:
        """Return: a new try begins."""
        return self.op(ev.ChecksReset(epoch=self._brief.epoch, happened_at=self.now))

    def made(self, artifact: Artifact) -> Op:
        """Return: a file result exists, and its bytes are on the hub."""
        return self.op(
            ev.ArtifactCreated(artifact=artifact, epoch=self._brief.epoch, happened_at=self.now)
        )

    def artifact(
        self, *, name: str, path: str, media_type: str, size: int, sha256: str
    ) -> Artifact:
        """Return a file result of this attempt."""
        return Artifact(
            id=self._ids.new("art"),
            task=self._brief.task,
            name=name,
            media_type=media_type,
            size=size,
            sha256=sha256,
            runner=self._runner,
            path=path,
            origin=Origin(surface="agent", device=self._runner),
            trust=Trust.UNTRUSTED,
            created_at=self.now,
        )

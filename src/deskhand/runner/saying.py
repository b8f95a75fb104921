"""What a runner says to its hub about an attempt: each fact as an op with an id of its own.

Refuses to send anything: ops go into the journal first, together with what they tell of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from deskhand.clock import stamp
from deskhand.ids import Ids
from deskhand.limits import TEXT_CHARS_MAX
from deskhand.ports import Ask, ToolCall
from deskhand.protocol import events as ev
from deskhand.protocol import objects, ops, tasks
from deskhand.protocol.events import KIND_OF, Body
from deskhand.runner.gate import Ruling
from deskhand.runner.parts import Parts
from deskhand.secret import mask
from deskhand.texts import text as text_of

SUMMARY_CHARS_MAX: Final = 500
_AS_RULED: Final = ("sentence", "action", "action_sha256", "risk", "rule", "why", "pattern", "until")


def fact(ids: Ids, body: Body, *, thread: str | None = None, task: str | None = None) -> ops.Op:
    """Return the op that appends a fact, with every known secret covered but in what a yes will be bound to."""
    exact = isinstance(body, ev.ApprovalRequested)
    said = body.to_json() if exact else mask(body.to_json())
    return ops.Op(
        op_id=ids.new("op"),
        kind="event.append",
        thread=thread,
        task=task,
        body={"kind": KIND_OF[type(body)], "body": said},
    )


@dataclass(frozen=True, slots=True)
class Voice:
    """Speaks for one attempt of one runner."""

    _parts: Parts
    _brief: tasks.Brief
    at: str | None = None

    @property
    def now(self) -> str:
        """Return the stamp of the moment it speaks of: this one, if none was given."""
        return self.at or stamp(self._parts.clock.now())

    def op(self, kind: type[ev.AttemptBody | ev.MessagePosted], **body: object) -> ops.Op:
        """Return the op that appends a fact of this attempt, which happened now, if not another moment is spoken of."""
        said = kind.from_json({"epoch": self._brief.epoch, "happened_at": self.now} | body)
        return fact(self._parts.ids, said, thread=self._brief.thread, task=self._brief.task)

    def said(
        self,
        text: str,
        *,
        role: Literal["agent", "system"] = "agent",
        message: str | None = None,
        meant: Literal["say", "answer"] = "say",
    ) -> ops.Op:
        """Return: the agent (or this runner itself, as ``system``) said something, already shown as ``message``."""
        return self.op(
            ev.MessagePosted,
            message=message or self._parts.ids.new("msg"),
            role=role,
            text=text[:TEXT_CHARS_MAX],
            meant=meant,
            origin=objects.Origin(surface="agent", device=self._parts.runner),
            trust=objects.Trust.UNTRUSTED,
        )

    def remarked(self, key: str, **values: object) -> ops.Op:
        """Return: this runner itself said a sentence of the catalogue."""
        return self.said(text_of(key, language=self._parts.language, **values), role="system")

    def began(self, step: int, call: ToolCall) -> ops.Op:
        """Return: a step is about to have its effect."""
        title = call.title[:SUMMARY_CHARS_MAX]
        return self.op(ev.StepStarted, step=step, tool=call.tool[:100], title=title)

    def approval(self, ruling: Ruling) -> tasks.Approval:
        """Return a new request for exactly this action, with a nonce of its own."""
        return tasks.Approval(
            id=self._parts.ids.new("apr"),
            task=self._brief.task,
            thread=self._brief.thread,
            runner=self._parts.runner,
            epoch=self._brief.epoch,
            nonce=self._parts.ids.secret(16),
            scopes=("once", "task", "always") if ruling.pattern else ("once", "task"),
            requested_at=self.now,
            **{name: getattr(ruling, name) for name in _AS_RULED},
        )

    def question(self, ask: Ask) -> tasks.Question:
        """Return the agent's question."""
        return tasks.Question(
            id=self._parts.ids.new("qst"),
            task=self._brief.task,
            thread=self._brief.thread,
            text=ask.text[:TEXT_CHARS_MAX],
            choices=ask.choices,
            asked_at=self.now,
        )

    def artifact(self, path: str, *, media_type: str, size: int, sha256: str) -> tasks.Artifact:
        """Return a file result of this attempt."""
        return tasks.Artifact(
            id=self._parts.ids.new("art"),
            task=self._brief.task,
            name=PurePath(path).name,
            media_type=media_type,
            size=size,
            sha256=sha256,
            runner=self._parts.runner,
            path=path,
            origin=objects.Origin(surface="agent", device=self._parts.runner),
            trust=objects.Trust.UNTRUSTED,
            created_at=self.now,
        )

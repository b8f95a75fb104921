"""What a decision is made of: drafts of events, and the facts it may look at.

A decision is a pure function from facts and a wish to drafts. It refuses to write: the hub appends what it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from deskhand.clock import Ids
from deskhand.core.settings import effective
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.events import HUB, Body
from deskhand.protocol.objects import Setting
from deskhand.protocol.ops import Principal
from deskhand.protocol.tasks import Approval, Question, Task
from deskhand.protocol.wire import Wire

W = TypeVar("W", bound=Wire)
Audience = Literal["account", "owner"]
EVERY_RUNNER = "*"
"""Names all computers of the account at once, for what each of them must hear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event that is about to be appended; the store gives it ``seq`` and ``at``.

    ``runner`` names the runner whose stream carries it, or ``EVERY_RUNNER``; people see it as ``audience`` says.
    """

    body: Body
    actor: str
    thread: str | None = None
    task: str | None = None
    runner: str | None = None
    audience: Audience = "account"


def draft(body: Body, about: Task | Question | Approval, *, actor: str = HUB, runner: str | None = None) -> Draft:
    """Return an event about a task, or about what belongs to one."""
    task = about.id if isinstance(about, Task) else about.task
    return Draft(body=body, actor=actor, thread=about.thread, task=task, runner=runner)


class Facts(Protocol):
    """The present state of one account, as a decision may read it."""

    @property
    def now(self) -> str:
        """The stamp the events of this decision will carry."""
        ...

    def get(self, kind: type[W], name: str) -> W | None:
        """Return one object of the account."""
        ...

    def find(self, kind: type[W], *, states: Sequence[str] = (), limit: int = 500) -> list[W]:
        """Return the objects of one kind in these states, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who wants something of the account, about what."""

    principal: Principal
    thread: str | None
    task: str | None
    ids: Ids
    surface: Literal["page", "cli", "http", "channel"] = "http"
    op_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a wish: events in order, and what the sender learns."""

    drafts: tuple[Draft, ...] = ()
    id: str | None = None
    task: str | None = None


def decided(task: Task, *drafts: Draft) -> Decision:
    """Return what was decided about a task."""
    return Decision(drafts=drafts, id=task.id, task=task.id)


def said_about(task: Task, wish: Wish, body: Body, *, to: str | None = None) -> Decision:
    """Return that something is said of a task by whoever wishes it, also to a computer."""
    return decided(task, draft(body, task, actor=wish.principal.id, runner=to))


def known(facts: Facts, kind: type[W], name: str | None) -> W:
    """Return an object of the account.

    Raises:
        DeskhandError: ``not_found``, with the kind as its field.
    """
    found = facts.get(kind, name) if name else None
    if found is None:
        raise DeskhandError(Code.NOT_FOUND, name or "", field=kind.__name__.lower())
    return found


def setting_of(facts: Facts, name: str) -> str:
    """Return a setting of the account, or its default."""
    stored = facts.get(Setting, name)
    return str(effective({name: stored.value} if stored else {}, name))

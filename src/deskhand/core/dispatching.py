"""Which queued task goes to which computer now, and why the others wait.

Pure: facts in, drafts out. Fair between threads: the thread with the least under way goes first. It refuses to take a
task from its computer: a pinned task waits for it, however long.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from deskhand.core.drafting import Draft, Facts
from deskhand.core.waiting.modelless import DEFAULT_AGENT, ask_once, waits
from deskhand.ids import Ids
from deskhand.limits import TASKS_OPEN_MAX
from deskhand.protocol import events as ev
from deskhand.protocol.events import HUB, ORDER_KINDS
from deskhand.protocol.objects import Folder, FolderMode, Runner
from deskhand.protocol.tasks import Brief, ContextItem, QueueReason, Task, TaskState

UNDER_WAY = (TaskState.WORKING, TaskState.INPUT_REQUIRED, TaskState.VERIFYING)
DISPATCHES = frozenset(
    {
        "task.created",
        "task.resumed",
        "suggestion.chosen",
        "task.paused",
        "task.moved",
        "task.finished",
        "runner.advertised",
        "folder.put",
        "folder.removed",
        "device.revoked",
    }
)
"""After these kinds a queued task may have become ready."""

ContextOf = Callable[[Task], tuple[ContextItem, ...]]


@dataclass(slots=True)
class _Load:
    """What is under way, and what this round adds to it."""

    per_runner: Counter[str] = field(default_factory=Counter[str])
    per_thread: Counter[str] = field(default_factory=Counter[str])
    folders: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def add(self, task: Task, runner: str, folder: Folder | None) -> None:
        self.per_runner[runner] += 1
        self.per_thread[task.thread] += 1
        if folder is not None and _may_write(task):
            self.folders.append((folder.runner, folder.root))


@dataclass(frozen=True, slots=True, kw_only=True)
class Computers:
    """The runners of an account and which of them have their link up."""

    runners: Mapping[str, Runner]
    connected: frozenset[str]

    def home(self, task: Task) -> str | None:
        """Return the computer that a task must go to; one that left the account holds only what is pinned to it."""
        return task.runner if task.pinned or task.runner in self.runners else None

    def able(self, task: Task) -> list[Runner]:
        """Return the connected runners that could do the task, by id; those that have its model, if any has."""
        here = [
            runner
            for name, runner in sorted(self.runners.items())
            if name in self.connected
            and runner.state == "active"
            and self.home(task) in (None, name)
            and set(runner.kinds) >= ORDER_KINDS
        ]
        having = [one for one in here if task.model in one.models and task.agent == DEFAULT_AGENT]
        return having or [one for one in here if task.agent in one.agents]


def dispatch(
    facts: Facts,
    *,
    connected: frozenset[str],
    per_thread: int,
    context_of: ContextOf,
    ids: Ids,
    language: str,
) -> list[Draft]:
    """Return assignments, new reasons for those that wait, and the question about those that waited for a model.

    Args:
        facts: the account.
        connected: runners whose link is up.
        per_thread: how many tasks of one thread may be under way at once.
        context_of: the thread's recent messages for a task's brief.
        ids: makes the question's id.
        language: what the account speaks.
    """
    queued = facts.find(Task, states=[TaskState.QUEUED], limit=TASKS_OPEN_MAX)
    if not queued:
        return ask_once(facts, (), ids=ids, language=language)
    runners = {runner.id: runner for runner in facts.find(Runner, states=["active"])}
    computers = Computers(runners=runners, connected=connected)
    load = _Load()
    for task in facts.find(Task, states=UNDER_WAY, limit=TASKS_OPEN_MAX):
        load.add(task, task.runner or "", _folder_of(facts, task))
    ready = [task for task in queued if waits(task) and computers.able(task)]
    drafts = ask_once(facts, ready, ids=ids, language=language)
    lines: dict[str, deque[Task]] = {}
    for task in sorted(queued, key=lambda task: task.id):
        lines.setdefault(task.thread, deque()).append(task)
    turns = [(load.per_thread[thread], line[0].id, thread) for thread, line in lines.items()]
    heapify(turns)
    while turns:
        _, _, thread = heappop(turns)
        line = lines[thread]
        task = line.popleft()
        drafts += _place(facts, task, computers, load, per_thread=per_thread, context_of=context_of)
        if line:
            heappush(turns, (load.per_thread[thread], line[0].id, thread))
    return drafts


def _place(
    facts: Facts,
    task: Task,
    computers: Computers,
    load: _Load,
    *,
    per_thread: int,
    context_of: ContextOf,
) -> list[Draft]:
    folder = _folder_of(facts, task)
    runner, reason = _choose(facts, task, folder, computers, load, per_thread=per_thread)
    if runner is None:
        if task.reason is reason:
            return []
        asked = reason is QueueReason.NO_MODEL and task.agent == DEFAULT_AGENT
        if not asked:
            return [_draft(task, ev.TaskQueued(reason=reason), runner=None)]
        near = next(iter(computers.able(task.but(agent="commands"))), None)
        queued = ev.TaskQueued(reason=reason, brief=brief_of(task, task.epoch, ()))
        return [_draft(task, queued, runner=near.id if near else None)]
    load.add(task, runner.id, folder)
    epoch = task.epoch if task.runner == runner.id and task.epoch else task.epoch + 1
    brief = brief_of(task, epoch, context_of(task))
    assigned = ev.TaskAssigned(runner=runner.id, epoch=epoch, brief=brief)
    return [_draft(task, assigned, runner=runner.id)]


def _choose(
    facts: Facts,
    task: Task,
    folder: Folder | None,
    computers: Computers,
    load: _Load,
    *,
    per_thread: int,
) -> tuple[Runner | None, QueueReason | None]:
    """Return the computer, or why there is none yet."""
    if waits(task):
        return None, QueueReason.NO_MODEL
    if task.not_before and task.not_before > facts.now:
        return None, QueueReason.NOT_BEFORE
    able = computers.able(task)
    if not able:
        return None, _why_nobody(task, computers)
    if folder is not None and _may_write(task) and _busy(folder, load):
        return None, QueueReason.FOLDER_BUSY
    free = [runner for runner in able if load.per_runner[runner.id] < runner.slots]
    if not free or load.per_thread[task.thread] >= per_thread:
        return None, QueueReason.SLOT
    return min(free, key=lambda runner: (load.per_runner[runner.id], runner.id)), None


def _why_nobody(task: Task, computers: Computers) -> QueueReason:
    """A computer that is up but lacks the agent lacks a model; else nobody is there."""
    reachable = [name for name in computers.connected if computers.home(task) in (None, name)]
    if any(name in computers.runners for name in reachable):
        return QueueReason.NO_MODEL
    return QueueReason.RUNNER_OFFLINE


def _folder_of(facts: Facts, task: Task) -> Folder | None:
    return facts.get(Folder, task.folder) if task.folder else None


def _may_write(task: Task) -> bool:
    return task.mode is not FolderMode.READ_ONLY


def _busy(folder: Folder, load: _Load) -> bool:
    """Whether a task under way may write the folder, one inside it or one around it."""
    return any(
        runner == folder.runner and _overlap(root, folder.root) for runner, root in load.folders
    )


def _overlap(first: str, second: str) -> bool:
    one, other = first.rstrip("/") + "/", second.rstrip("/") + "/"
    return one.startswith(other) or other.startswith(one)


def brief_of(task: Task, epoch: int, context: Sequence[ContextItem]) -> Brief:
    """Return what a runner gets to know of a task."""
    told: dict[str, Any] = {name: getattr(task, name) for name in _TOLD}
    if task.criteria_by == "agent":
        told["criteria"] = ()
    checks = task.requested_checks
    return Brief(**told, task=task.id, epoch=epoch, checks=checks, context=tuple(context))


_TOLD = Brief.model_fields.keys() & Task.model_fields.keys() - {"epoch", "checks"}
"""What a brief says in the task's own words."""


def _draft(task: Task, body: ev.Body, *, runner: str | None) -> Draft:
    return Draft(body=body, actor=HUB, thread=task.thread, task=task.id, runner=runner)

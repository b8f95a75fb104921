"""Which queued task goes to which computer now, and why the others wait.

Pure: facts in, drafts out. Fair between threads: the thread with the least under way goes first. It refuses to take a
task from its computer: a pinned task waits for it, however long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from deskhand.core.drafting import Draft, Facts, draft
from deskhand.core.waiting.modelless import DEFAULT_AGENT, ask_once, waits
from deskhand.ids import Ids
from deskhand.limits import TASKS_OPEN_MAX
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Folder, FolderMode, Runner
from deskhand.protocol.tasks import Brief, ContextItem, Delegated, QueueReason, Task, TaskState
from deskhand.protocol.wire import TABLES

UNDER_WAY = (TaskState.WORKING, TaskState.INPUT_REQUIRED, TaskState.VERIFYING)
DISPATCHES = frozenset(TABLES["dispatching_kinds"].split())
"""After these kinds a queued task may have become ready."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of giving out: who is there, what is under way, and what the round adds to it.

    Args:
        facts: the account.
        connected: runners whose link is up.
        at_once: how many tasks of one thread may be under way at once.
        context_of: the thread's recent messages for a task's brief.
        ids: makes the question's id.
        language: what the account speaks.
    """

    facts: Facts
    _: KW_ONLY
    connected: frozenset[str]
    at_once: int
    context_of: Callable[[Task], tuple[ContextItem, ...]]
    ids: Ids
    language: str
    runners: dict[str, Runner] = field(default_factory=dict[str, Runner])
    per_runner: Counter[str] = field(default_factory=Counter[str])
    per_thread: Counter[str] = field(default_factory=Counter[str])
    written: list[Folder] = field(default_factory=list[Folder])

    def drafts(self) -> list[Draft]:
        """Return assignments, new reasons for those that wait, and the question about those that waited for a model."""
        queued = self.facts.find(Task, states=[TaskState.QUEUED], limit=TASKS_OPEN_MAX)
        if not queued:
            return self._asked(())
        self.runners.update({one.id: one for one in self.facts.find(Runner, states=["active"])})
        for task in self.facts.find(Task, states=UNDER_WAY, limit=TASKS_OPEN_MAX):
            self.add(task, task.runner or "")
        drafts = self._asked([task for task in queued if waits(task) and self.able(task)])
        turns = [(self.per_thread[task.thread], task.id, task) for task in queued]
        heapify(turns)
        while turns:
            under_way, name, task = heappop(turns)
            if under_way == self.per_thread[task.thread]:
                drafts += _place(self, task)
            else:  # its thread got one since
                heappush(turns, (self.per_thread[task.thread], name, task))
        return drafts

    def _asked(self, ready: Sequence[Task]) -> list[Draft]:
        return ask_once(self.facts, ready, ids=self.ids, language=self.language)

    def add(self, task: Task, runner: str) -> None:
        """Count a task as under way."""
        self.per_runner[runner] += 1
        self.per_thread[task.thread] += 1
        if (folder := self.writes(task)) is not None:
            self.written.append(folder)

    def writes(self, task: Task) -> Folder | None:
        """Return the folder that a task may write."""
        writes = task.folder and task.mode is not FolderMode.READ_ONLY
        return self.facts.get(Folder, task.folder or "") if writes else None

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
            and self.lends(name, task)
            and set(runner.kinds) >= ev.ORDER_KINDS
        ]
        having = [one for one in here if task.model in one.models and task.agent == DEFAULT_AGENT]
        return having or [one for one in here if task.agent in one.agents]

    def lends(self, runner: str, task: Task) -> bool:
        """Whether a computer works for whoever asked: for a member if the task's folder, or any, is lent to them."""
        who, where = task.requester, task.folder
        folders = () if who is None else self.facts.find(Folder, states=["granted"])
        lent = [one for one in folders if one.runner == runner and who in one.lent_to]
        return who is None or any(where in (None, one.id) for one in lent)


def _place(now: Round, task: Task) -> list[Draft]:
    runner, reason = _choose(now, task)
    if runner is not None:
        now.add(task, runner.id)
        epoch = task.epoch if task.runner == runner.id and task.epoch else task.epoch + 1
        assigned = ev.TaskAssigned(runner=runner.id, epoch=epoch, brief=brief_of(task, epoch, now.context_of(task)))
        return [draft(assigned, task, runner=runner.id)]
    if task.reason is reason:
        return []
    if reason is not QueueReason.NO_MODEL or task.agent != DEFAULT_AGENT:
        return [draft(ev.TaskQueued(reason=reason), task)]
    near = next(iter(now.able(task.but(agent="commands"))), None)
    queued = ev.TaskQueued(reason=reason, brief=brief_of(task, task.epoch, ()))
    return [draft(queued, task, runner=near.id if near else None)]


def _choose(now: Round, task: Task) -> tuple[Runner | None, QueueReason | None]:
    """Return the computer, or why there is none yet."""
    if waits(task):
        return None, QueueReason.NO_MODEL
    if task.not_before and task.not_before > now.facts.now:
        return None, QueueReason.NOT_BEFORE
    able = now.able(task)
    if not able:
        return None, _nobody(now, task)
    folder = now.writes(task)
    if folder is not None and any(_overlap(other, folder) for other in now.written):
        return None, QueueReason.FOLDER_BUSY
    free = [runner for runner in able if now.per_runner[runner.id] < runner.slots]
    if not free or now.per_thread[task.thread] >= now.at_once:
        return None, QueueReason.SLOT
    return min(free, key=lambda runner: (now.per_runner[runner.id], runner.id)), None


def _nobody(now: Round, task: Task) -> QueueReason:
    """Return why no computer could do a task."""
    here = {name for name in now.runners if now.home(task) in (None, name)}
    if here and not any(now.lends(name, task) for name in here):
        return QueueReason.NOT_LENT
    # A computer that is up but lacks the agent lacks a model; else nobody is there.
    return QueueReason.NO_MODEL if now.connected & here else QueueReason.RUNNER_OFFLINE


def _overlap(first: Folder, second: Folder) -> bool:
    """Whether one folder is the other, or lies in it."""
    one, other = first.root.rstrip("/") + "/", second.root.rstrip("/") + "/"
    return first.runner == second.runner and (one.startswith(other) or other.startswith(one))


def brief_of(task: Task, epoch: int, context: Sequence[ContextItem]) -> Brief:
    """Return what a runner gets to know of a task."""
    told: dict[str, Any] = {name: getattr(task, name) for name in Delegated.model_fields}
    if task.criteria_by == "agent":
        told["criteria"] = ()
    return Brief(**told, task=task.id, epoch=epoch, checks=task.requested_checks, context=tuple(context))

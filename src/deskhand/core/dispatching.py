"""Which queued task goes to which computer now and with what, why the others wait, and how one goes on without a model.

Pure: facts in, drafts out. Fair between threads: the thread with the least under way goes first. It refuses to take a
task from its computer: a pinned task waits for it, however long; to let anything run by itself that waited for a model:
it goes on by a person's word alone; and to grow what goes along of a thread: older text is left out first, and a long
text is cut where it can be seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from deskhand.clock import Ids
from deskhand.core.drafting import Decision, Draft, Facts, Wish, draft, known, said_about
from deskhand.errors import Code, DeskhandError
from deskhand.limits import CONTEXT_CHARS_MAX, CONTEXT_ITEM_CHARS_MAX, CONTEXT_MESSAGES_MAX, TASKS_OPEN_MAX
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Folder, FolderMode, Role, Runner, Thread, Trust
from deskhand.protocol.ops import TaskRunAs, TaskSuggest
from deskhand.protocol.tasks import Brief, ContextItem, Delegated, Question, QueueReason, Task, TaskState
from deskhand.protocol.wire import TABLES
from deskhand.texts import text

DEFAULT_AGENT = "builtin"
"""The agent that thinks with a model; its tasks wait for one."""
UNDER_WAY = (TaskState.WORKING, TaskState.INPUT_REQUIRED, TaskState.VERIFYING)
DISPATCHES = frozenset(TABLES["dispatching_kinds"].split())
"""After these kinds a queued task may have become ready."""
TaskOf = Callable[[str], Task | None]
_CHOICES = {"run": ev.TaskResumed, "keep": ev.TaskPaused}
_CUT = " […]"


def waits(task: Task) -> bool:
    """Whether a task waits for a model, there or not: nothing but a person's word lets it go on."""
    return task.state is TaskState.QUEUED and task.reason is QueueReason.NO_MODEL and task.agent == DEFAULT_AGENT


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
        # Only the owner answers; somebody else's go on one by one, by the word of whoever sees them.
        drafts = self._asked([task for task in queued if waits(task) and self.owns(task) and self.able(task)])
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
        """Ask whether to run tasks that waited for a model, unless that is being asked; close what asks about none."""
        questions = self.facts.find(Question, states=["open"], limit=TASKS_OPEN_MAX)
        asked, drafts = next((one for one in questions if one.tasks), None), list[Draft]()
        if asked:
            if any((task := self.facts.get(Task, name)) and waits(task) for name in asked.tasks):
                return []
            drafts.append(Draft(body=ev.QuestionVoided(question=asked.id, epoch=0), actor=ev.HUB, thread=asked.thread))
        if ready:
            several = "several" if len(ready) > 1 else "one"
            question = Question(
                id=self.ids.new("qst"),
                task=ready[0].id,
                thread=ready[0].thread,
                text=text(f"waited.{several}", language=self.language, count=len(ready)),
                choices=tuple(text(f"waited.{key}", language=self.language) for key in _CHOICES),
                tasks=tuple(task.id for task in ready),
                asked_at=self.facts.now,
            )
            drafts.append(
                Draft(body=ev.QuestionAsked(question=question, epoch=0), actor=ev.HUB, thread=question.thread)
            )
        return drafts

    def owns(self, task: Task) -> bool:
        """Whether a task is of a conversation of the owner's."""
        thread = self.facts.get(Thread, task.thread)
        return thread is None or thread.person is None

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


def suggest(facts: Facts, wish: Wish, body: TaskSuggest) -> Decision:
    """Note what a computer takes a waiting task to mean; it may only speak of itself and of folders of its own.

    Raises:
        DeskhandError: ``not_found``, ``illegal_state``, ``invalid``.
    """
    task, me = known(facts, Task, wish.task), wish.principal.id
    if not waits(task):
        raise DeskhandError(Code.ILLEGAL_STATE, f"the task is {task.state}")
    for one in body.suggestions:
        folder = facts.get(Folder, one.folder) if one.folder else None
        free = not task.folder and task.trust is Trust.OWNER and (not one.folder or folder)
        ours = one.folder == task.folder or (free and (not folder or folder.runner == me))
        if not (ours and one.runner == me and one == one.bound and one.command.startswith("/")):
            raise DeskhandError(Code.INVALID, one.id, field="suggestions")
    return said_about(task, wish, ev.TaskSuggested(suggestions=body.suggestions))


def run_as(facts: Facts, wish: Wish, body: TaskRunAs) -> Decision:
    """Run a suggestion exactly as it was shown; the person's own words are kept.

    Raises:
        DeskhandError: ``not_found``, ``already_decided``, ``illegal_state``, ``action_changed``, ``folder_unknown``.
    """
    task = known(facts, Task, wish.task)
    if task.said is not None:
        raise DeskhandError(Code.ALREADY_DECIDED, task.text)
    if task.epoch or task.state not in (TaskState.QUEUED, TaskState.PAUSED):
        raise DeskhandError(Code.ILLEGAL_STATE, f"the task is {task.state}")
    shown = {(one.id, one.preview_sha256): one for one in task.suggestions}
    if (chosen := shown.get((body.suggestion, body.preview_sha256))) is None:
        raise DeskhandError(Code.ACTION_CHANGED, field="preview_sha256")
    folder = facts.get(Folder, chosen.folder) if chosen.folder else None
    if chosen.folder and (folder is None or folder.state == "removed"):
        raise DeskhandError(Code.FOLDER_UNKNOWN, chosen.folder, field="folder")
    mode = task.mode if task.folder or folder is None else folder.mode
    return said_about(task, wish, ev.SuggestionChosen(suggestion=chosen, mode=mode))


def answer(facts: Facts, wish: Wish, question: Question, said: str) -> Decision:
    """Let the tasks of the question run that still wait, or keep them until each is resumed.

    Raises:
        DeskhandError: ``forbidden`` for another than the owner; ``invalid`` for what is none of the choices.
    """
    if wish.principal.role is not Role.OWNER:
        raise DeskhandError(Code.FORBIDDEN, question.id)
    choices = map(str.casefold, question.choices)
    follows = dict(zip(choices, _CHOICES.values(), strict=True)).get(said.strip().casefold())
    if follows is None:
        raise DeskhandError(Code.INVALID, " / ".join(question.choices), field="answer")
    word = ev.QuestionAnswered(question=question.id, answer=said)
    drafts = [Draft(body=word, actor=wish.principal.id, thread=question.thread)]
    for name in question.tasks:
        task = facts.get(Task, name)
        if task is not None and waits(task):
            drafts += said_about(task, wish, follows()).drafts
    return Decision(drafts=tuple(drafts), id=question.id, task=question.task)


def context_of(
    events: Sequence[ev.Event], *, but_task: str, task_of: TaskOf = lambda _: None
) -> tuple[ContextItem, ...]:
    """Return the items for a brief, oldest first.

    Args:
        events: the thread's newest ``message.posted`` and ``task.finished``, oldest first.
        but_task: the task itself, whose own message is its text already.
        task_of: the tasks that ended, for the files they made.
    """
    items: list[ContextItem] = []
    left = CONTEXT_CHARS_MAX
    for event in reversed(events):
        item = None if event.task == but_task else _item(event, task_of)
        if item is None:
            continue
        if left <= len(_CUT) or len(items) == CONTEXT_MESSAGES_MAX:
            break
        most = min(left, CONTEXT_ITEM_CHARS_MAX)
        said = item.text if len(item.text) <= most else item.text[: most - len(_CUT)] + _CUT
        left -= len(said)
        items.append(item.but(text=said))
    return tuple(reversed(items))


def _item(event: ev.Event, task_of: TaskOf) -> ContextItem | None:
    task = task_of(event.task or "")
    label = task.label if task else None
    match ev.body_of(event):
        case ev.MessagePosted(role=who, text=said, trust=trust):
            role = "user" if who == "user" else "agent"
            return ContextItem(role=role, text=said, at=event.at, trust=trust, label=label)
        case ev.TaskFinished(answer=False) as end:
            files = task.artifacts if task else ()
            lines = [end.verdict or end.state, end.summary or "", *end.not_done_because]
            told = "\n".join(filter(None, [*lines, *(f"{one.name}: {one.path}" for one in files)]))
            return ContextItem(role="result", text=told, at=event.at, trust=Trust.UNTRUSTED, label=label)
        case _:
            return None

"""Tasks that wait for a model: what they may mean, what a person chose, and the one question when a model comes.

Pure decisions. It refuses to let anything run by itself: a task that began to wait goes on by a person's word alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from deskhand.core.drafting import Decision, Draft, Facts, Wish, known, said_about
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.limits import TASKS_OPEN_MAX
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Folder, Role, Trust
from deskhand.protocol.ops import TaskRunAs, TaskSuggest
from deskhand.protocol.tasks import Question, QueueReason, Task, TaskState
from deskhand.texts import text

DEFAULT_AGENT = "builtin"
"""The agent that thinks with a model; its tasks wait for one."""

_CHOICES = {"run": ev.TaskResumed, "keep": ev.TaskPaused}


def waits(task: Task) -> bool:
    """Whether a task waits for a model, there or not: nothing but a person's word lets it go on."""
    return task.state is TaskState.QUEUED and task.reason is QueueReason.NO_MODEL and task.agent == DEFAULT_AGENT


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


def ask_once(facts: Facts, ready: Sequence[Task], *, ids: Ids, language: str) -> list[Draft]:
    """Ask whether to run tasks that waited for a model, unless that is being asked; close what asks about none.

    Args:
        facts: the account.
        ready: waiting tasks that a connected computer could do now.
        ids: makes the question's id.
        language: what the account speaks.
    """
    questions = facts.find(Question, states=["open"], limit=TASKS_OPEN_MAX)
    asked, drafts = next((one for one in questions if one.tasks), None), list[Draft]()
    if asked:
        if any((task := facts.get(Task, name)) and waits(task) for name in asked.tasks):
            return []
        drafts.append(Draft(body=ev.QuestionVoided(question=asked.id, epoch=0), actor=ev.HUB, thread=asked.thread))
    if ready:
        several = "several" if len(ready) > 1 else "one"
        question = Question(
            id=ids.new("qst"),
            task=ready[0].id,
            thread=ready[0].thread,
            text=text(f"waited.{several}", language=language, count=len(ready)),
            choices=tuple(text(f"waited.{key}", language=language) for key in _CHOICES),
            tasks=tuple(task.id for task in ready),
            asked_at=facts.now,
        )
        drafts.append(Draft(body=ev.QuestionAsked(question=question, epoch=0), actor=ev.HUB, thread=question.thread))
    return drafts


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

"""What a message becomes: a task, guidance for a running one, or an answer; and the life of a thread.

Pure decisions. It refuses to choose a computer; ``dispatching`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from deskhand.clock import stamp, unstamp
from deskhand.core import dispatching
from deskhand.core.drafting import Decision, Draft, Facts, Wish, draft, known
from deskhand.errors import Code, DeskhandError
from deskhand.limits import NAME_CHARS_MAX, TITLE_CHARS_MAX
from deskhand.protocol import events as ev
from deskhand.protocol import ops
from deskhand.protocol.objects import Folder, Origin, Role, Runner, Thread, Trust, narrowest
from deskhand.protocol.ops import authorize_fields
from deskhand.protocol.tasks import FileRef, Question, Task, TaskState

COMMANDS_AGENT = "commands"
_Meant = Literal["task", "steer", "answer"]


def create_thread(_: Facts, wish: Wish, body: ops.ThreadCreate) -> Decision:
    """Begin a conversation."""
    thread = wish.ids.new("thr")
    return Decision(drafts=(_begun(wish, thread, title=body.title),), id=thread)


def _begun(wish: Wish, thread: str, *, title: str) -> Draft:
    body = ev.ThreadCreated(title=title, person=wish.principal.person or None)
    return Draft(body=body, actor=wish.principal.id, thread=thread)


def rename_thread(facts: Facts, wish: Wish, body: ops.ThreadRename) -> Decision:
    """Give a conversation another title."""
    return _about_thread(facts, wish, ev.ThreadRenamed(title=body.title))


def archive_thread(facts: Facts, wish: Wish, body: ops.Archive) -> Decision:
    """Put a conversation away, or take it out again."""
    return _about_thread(facts, wish, ev.ThreadArchived(archived=body.archived))


def share_thread(facts: Facts, wish: Wish, body: ops.Share) -> Decision:
    """Show a conversation to everybody of the account, or take that back."""
    person = open_thread(facts, wish.thread).person or ""
    return _about_thread(facts, wish, ev.ThreadShared(shared=body.shared, person=person))


def mute_thread(facts: Facts, wish: Wish, body: ops.Mute) -> Decision:
    """Send no notifications about a conversation, or again."""
    return _about_thread(facts, wish, ev.ThreadMuted(muted=body.muted))


def set_thread_model(facts: Facts, wish: Wish, body: ops.ThreadModel) -> Decision:
    """Choose the model of a conversation."""
    return _about_thread(facts, wish, ev.ThreadModelSet(model=body.model))


def erase_thread(facts: Facts, wish: Wish, _: object = None) -> Decision:
    """Blank a conversation.

    Raises:
        DeskhandError: ``illegal_state`` while a task of it is under way.
    """
    thread = open_thread(facts, wish.thread)
    if any(task.thread == thread.id for task in facts.find(Task, states=dispatching.UNDER_WAY)):
        raise DeskhandError(Code.ILLEGAL_STATE, "a task of this thread is under way")
    # Whoever sees it because it was shared forgets it first: an erased one is its person's alone again.
    hidden = share_thread(facts, wish, ops.Share(shared=False)).drafts if thread.shared else ()
    erased = _about_thread(facts, wish, ev.ThreadErased(person=thread.person))
    return replace(erased, drafts=(*hidden, *erased.drafts))


def post_message(facts: Facts, wish: Wish, body: ops.MessagePost, files: Sequence[FileRef] = ()) -> Decision:
    """Turn a message into a task, guidance or an answer.

    Args:
        facts: the account.
        wish: who speaks, in which thread.
        body: what was said.
        files: the sender's own finished uploads that ``body.files`` names.

    Raises:
        DeskhandError: ``not_found``, ``illegal_state``, ``folder_unknown``, ``unknown_command``, ``forbidden``.
    """
    authorize_fields(wish.principal, body)
    meant = body.meant or ("answer" if body.to and facts.get(Question, body.to) else "task")
    if meant == "answer":
        return answer_question(facts, wish, ops.QuestionAnswer(question=body.to or "", answer=body.text))
    return _steer(facts, wish, body, files) if meant == "steer" else _delegate(facts, wish, body, files)


def answer_question(facts: Facts, wish: Wish, body: ops.QuestionAnswer) -> Decision:
    """Answer an open question; the first answer stands.

    Raises:
        DeskhandError: ``not_found``, ``already_decided``; what ``dispatching.answer`` raises.
    """
    question = known(facts, Question, body.question)
    if question.state != "open":
        raise DeskhandError(Code.ALREADY_DECIDED, question.answered_by or question.state)
    if question.tasks:
        return dispatching.answer(facts, wish, question, body.answer)
    task, me = facts.get(Task, question.task), wish.principal.id
    said = _said(wish, body.answer, "answer")
    answered = ev.QuestionAnswered(question=question.id, answer=body.answer)
    told = draft(answered, question, actor=me, runner=task.runner if task else None)
    return Decision(drafts=(draft(said, question, actor=me), told), id=said.message, task=question.task)


def open_thread(facts: Facts, name: str | None) -> Thread:
    """Return a thread that can be spoken in.

    Raises:
        DeskhandError: ``not_found``, ``illegal_state`` when it was erased.
    """
    thread = known(facts, Thread, name)
    if thread.state == "erased":
        raise DeskhandError(Code.ILLEGAL_STATE, "the thread was erased", field="thread")
    return thread


def title_of(text: str) -> str:
    """Return a one-line title of a text."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_CHARS_MAX else line[: TITLE_CHARS_MAX - 1].rstrip() + "…"


def _about_thread(facts: Facts, wish: Wish, body: ev.Body) -> Decision:
    thread = open_thread(facts, wish.thread)
    return Decision(drafts=(Draft(body=body, actor=wish.principal.id, thread=thread.id),), id=thread.id)


def _steer(facts: Facts, wish: Wish, body: ops.MessagePost, files: Sequence[FileRef]) -> Decision:
    name = body.to or wish.task
    task = facts.get(Task, name) if name else None
    if task is None:
        raise DeskhandError(Code.NOT_FOUND, name or "", field="to")
    if task.final:
        raise DeskhandError(Code.ILLEGAL_STATE, f"the task is {task.state}", field="to")
    said = _said(wish, body.text, "steer", files)
    told = draft(said, task, actor=wish.principal.id, runner=task.runner)
    return Decision(drafts=(told,), id=said.message, task=task.id)


def _delegate(facts: Facts, wish: Wish, body: ops.MessagePost, files: Sequence[FileRef]) -> Decision:
    body = _as_before(facts, wish, body)
    folder = _folder(facts, wish, body)
    agent = body.agent or (COMMANDS_AGENT if body.text.startswith("/") else dispatching.DEFAULT_AGENT)
    if agent == COMMANDS_AGENT:
        _known_command(facts, body.text)
    me, title = wish.principal.id, body.title or title_of(body.text)
    kept = open_thread(facts, wish.thread) if wish.thread else None
    thread = kept.id if kept else wish.ids.new("thr")
    said = _said(wish, body.text, "task", files)
    task = Task(
        id=wish.ids.new("tsk"),
        thread=thread,
        title=title,
        text=body.text,
        state=TaskState.QUEUED,
        runner=body.runner or (folder.runner if folder else None),
        pinned=bool(body.runner or folder),
        folder=folder.id if folder else None,
        mode=narrowest(folder.mode if folder else None, body.mode),
        agent=agent,
        model=body.model or (kept.model if kept and agent != COMMANDS_AGENT else None),
        origin=said.origin,
        trust=said.trust,
        criteria=body.criteria,
        criteria_by="owner" if body.criteria else None,
        budget=body.budget,
        requested_checks=body.checks,
        files=tuple(files),
        not_before=_moment(body.not_before),
        op_id=wish.op_id if folder else None,
        created_by=me,
        created_at=facts.now,
    )
    began = () if kept else (_begun(wish, thread, title=title),)
    drafts = (draft(said, task, actor=me), draft(ev.TaskCreated(task=task), task, actor=me))
    return Decision(drafts=(*began, *drafts), id=said.message, task=task.id)


def _moment(said: str | None) -> str | None:
    """Return a moment as every stamp is written, because stamps are compared as text.

    Raises:
        DeskhandError: ``invalid`` for what is no moment, or one of nobody's zone.
    """
    if said is None:
        return None
    with suppress(ValueError, OverflowError):
        moment = unstamp(said)
        if moment.tzinfo is not None:
            return stamp(moment)
    raise DeskhandError(Code.INVALID, said[:NAME_CHARS_MAX], field="not_before")


def _said(wish: Wish, text: str, meant: _Meant, files: Sequence[FileRef] = ()) -> ev.MessagePosted:
    return ev.MessagePosted(
        message=wish.ids.new("msg"),
        role="user",
        text=text,
        origin=Origin(surface=wish.surface, device=wish.principal.id, person=wish.principal.person or None),
        trust=Trust.OWNER if wish.principal.role is Role.OWNER else Trust.UNTRUSTED,
        meant=meant,
        files=tuple(files),
    )


def _as_before(facts: Facts, wish: Wish, body: ops.MessagePost) -> ops.MessagePost:
    """Go on where the owner's last task of the thread was, when nothing else is said: its folder, no wider than then."""
    thread = facts.get(Thread, wish.thread) if wish.thread else None
    last = facts.get(Task, thread.latest_task) if thread and thread.latest_task else None
    if last is None or not last.folder or body.folder or wish.principal.role is not Role.OWNER:
        return body
    folder = facts.get(Folder, last.folder)
    if folder is None or folder.state == "removed" or last.trust is not Trust.OWNER:
        return body
    if body.runner not in (None, folder.runner):
        return body
    return body.but(folder=folder.id, mode=narrowest(last.mode, body.mode))


def _folder(facts: Facts, wish: Wish, body: ops.MessagePost) -> Folder | None:
    if not body.folder:
        return None
    wanted = body.folder.rstrip("/") or "/"
    for folder in reversed(facts.find(Folder, states=["granted"])):
        named = wanted in (folder.id, folder.root.rstrip("/"))
        lent = wish.principal.role is Role.OWNER or wish.principal.requester in folder.lent_to
        if named and lent and body.runner in (None, folder.runner):
            return folder
    raise DeskhandError(Code.FOLDER_UNKNOWN, body.folder, field="folder")


def _known_command(facts: Facts, text: str) -> None:
    """Refuse a command that no computer of the account has, with those that there are."""
    name = text[1:].split(maxsplit=1)[0] if text[1:].strip() else ""
    runners = facts.find(Runner, states=["active"])
    names = sorted({command.name for runner in runners for command in runner.commands})
    if runners and name not in names:
        raise DeskhandError(Code.UNKNOWN_COMMAND, f"/{name}; {', '.join(f'/{other}' for other in names)}", field="text")

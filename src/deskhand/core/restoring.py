"""What an account must say when a computer left it or forgot, or when it went back to a backup itself.

Nothing happens a second time. Pure: facts in, drafts out. It refuses to let anything go on by itself: whatever was open
may have been finished since, so it waits for its owner, and a yes that was given then is void.
"""

from __future__ import annotations

from collections.abc import Collection

from deskhand.core.dispatching import brief_of
from deskhand.core.drafting import Draft, Facts, Wish, draft, setting_of
from deskhand.core.lifecycle import void_waits
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Device, Folder, Origin, Trust
from deskhand.protocol.tasks import OPEN, Task, TaskState, Verdict
from deskhand.texts import text

_ALL = 1_000_000_000


def after_restore(
    facts: Facts, wish: Wish, *, backup_at: str, revoked: Collection[str] | None, kept: str | None
) -> list[Draft]:
    """Return what follows from going back.

    Args:
        facts: the account as it was when the backup was made.
        wish: the hub itself.
        backup_at: when that was.
        revoked: devices that lost their rights since; ``None`` where nobody knows, then all lose them.
        kept: the one device that stays where all others go: this computer.
    """
    active = [device.id for device in facts.find(Device, states=["active"], limit=_ALL)]
    ended = [name for name in active if (name in revoked if revoked is not None else name != kept)]
    language = setting_of(facts, "language")
    said = text("restore.look", language=language, at=f"{backup_at[:16].replace('T', ' ')} UTC")
    drafts = [Draft(body=ev.DeviceRevoked(device=name), actor=ev.HUB) for name in ended]
    for name in ended:
        drafts += leave_computer(facts, wish, name, because=text("restore.gone", language=language))
    left = {one.task for one in drafts if isinstance(one.body, ev.TaskFinished)}
    tasks = [one for one in facts.find(Task, states=OPEN, limit=_ALL) if one.id not in left]
    for task in tasks:
        drafts += _stopped(task, said, wish)
    restored = ev.LogRestored(backup_at=backup_at, devices_ended=len(ended), tasks_paused=len(tasks))
    return [Draft(body=restored, actor=ev.HUB), *drafts]


def leave_computer(facts: Facts, wish: Wish, runner: str, *, because: str) -> tuple[Draft, ...]:
    """Take its tasks and folders from a computer that will not come back.

    A movable task that it never accepted goes to another one. What was accepted may have had effects that nobody
    heard of: it ends as not done and is not begun again silently (R4).
    """
    drafts, me = list[Draft](), wish.principal.id
    for task in facts.find(Task, states=OPEN, limit=10_000):
        if task.runner != runner:
            continue
        if task.pinned or task.accepted_at:
            finished = ev.TaskFinished(
                state=TaskState.FAILED,
                verdict=Verdict.NOT_DONE,
                not_done_because=(because,),
                changes=task.changes,
                usage=task.usage,
                epoch=task.epoch + 1,
            )
            resumed = (ev.TaskResumed(),) if task.state is TaskState.PAUSED else ()
            drafts += void_waits(task)
            drafts += [draft(body, task, actor=me) for body in (*resumed, finished)]
        elif task.state not in (TaskState.QUEUED, TaskState.PAUSED):
            drafts.append(draft(ev.TaskQueued(), task, actor=me))
    for folder in facts.find(Folder, states=["granted"], limit=10_000):
        if folder.runner == runner:
            drafts.append(Draft(body=ev.FolderRemoved(folder=folder.id), actor=me))
    return tuple(drafts)


def begin_anew(facts: Facts, wish: Wish, runner: str, *, because: str) -> list[Draft]:
    """Take its tasks from the former life of a computer whose home was copied, moved or restored.

    What it never accepted had no effect, and is given to it again. The rest may have had effects that this life does
    not know of: it waits for its owner.
    """
    drafts: list[Draft] = []
    for task in facts.find(Task, states=OPEN, limit=_ALL):
        if task.runner != runner or not task.epoch or task.state is TaskState.QUEUED:
            continue
        if task.accepted_at or task.state is TaskState.PAUSED:
            drafts += _stopped(task, because, wish)
        else:
            brief = brief_of(task, task.epoch + 1, ())
            anew = ev.TaskAssigned(runner=runner, epoch=brief.epoch, brief=brief)
            drafts += [draft(anew, task), draft(ev.TaskQueued(), task)]
    return drafts


def _stopped(task: Task, said: str, wish: Wish) -> list[Draft]:
    """Take a task from its attempt and pause it. The new epoch is sent to nobody until its owner lets it go on."""
    bodies: list[ev.Body] = []
    if task.state is TaskState.PAUSED:
        bodies.append(ev.TaskResumed())
    if task.runner and task.epoch:
        epoch = task.epoch + 1
        bodies.append(ev.TaskAssigned(runner=task.runner, epoch=epoch, brief=brief_of(task, epoch, ())))
    message = ev.MessagePosted(
        message=wish.ids.new("msg"), role="system", text=said, origin=Origin(surface="hub"), trust=Trust.OWNER
    )
    bodies += [ev.TaskPaused(), message]
    return [*void_waits(task, reason="restored"), *(draft(body, task) for body in bodies)]

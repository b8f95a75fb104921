"""Which task goes to which computer, and why the others wait (S-15)."""

from __future__ import annotations

from deskhand.clock import Ids, SystemClock
from deskhand.core import conversation, lifecycle
from deskhand.core.dispatching import Round
from deskhand.core.drafting import Draft, Wish
from deskhand.protocol import events as ev
from deskhand.protocol.events import ORDER_KINDS
from deskhand.protocol.objects import Folder, FolderMode, Role, Runner
from deskhand.protocol.ops import MessagePost, Principal
from deskhand.protocol.tasks import QueueReason, Task, TaskState
from deskhand.testing.account import MemoryAccount

IDS = Ids(SystemClock())
OWNER = Principal(account="a", id="dev_owner", role=Role.OWNER)


def _account(*runners: str, slots: int = 20, kinds: frozenset[str] = ORDER_KINDS) -> MemoryAccount:
    account = MemoryAccount()
    for name in runners:
        said = {
            "id": name, "name": name, "incarnation": "i", "protocol": 1, "agents": ["commands"], "slots": slots,
            "kinds": [*sorted(kinds)], "sandbox": {"name": "none", "level": "none"}, "advertised_at": account.now,
            "commands": [{"name": "brief", "summary": "", "usage": ""}],
        }  # fmt: skip
        body = ev.RunnerAdvertised(runner=Runner.from_json(said))
        account.emit(Draft(body=body, actor=name))
    return account


def _folder(account: MemoryAccount, runner: str, root: str, mode: FolderMode = FolderMode.WORKSPACE) -> str:
    name = IDS.new("fld")
    folder = Folder(id=name, runner=runner, root=root, label=root, mode=mode)
    account.emit(Draft(body=ev.FolderPut(folder=folder), actor=OWNER.id))
    return name


def _post(account: MemoryAccount, thread: str | None = None, text: str = "/brief x", **body: object) -> Task:
    wish = Wish(principal=OWNER, thread=thread, task=None, ids=IDS)
    message = MessagePost.from_json({"text": text, **body})
    decision = account.take(conversation.post_message(account, wish, message))
    task = account.get(Task, decision.task or "")
    assert task is not None
    return task


def _dispatch(account: MemoryAccount, *connected: str, per_thread: int = 3) -> None:
    for draft in Round(
        account, connected=frozenset(connected), at_once=per_thread, context_of=lambda _: (), ids=IDS, language="en"
    ).drafts():
        account.emit(draft)


def _seen(account: MemoryAccount, *tasks: Task) -> list[tuple[TaskState, QueueReason | None]]:
    found = [account.get(Task, task.id) for task in tasks]
    return [(task.state, task.reason) for task in found if task is not None]


WORKING = (TaskState.WORKING, None)


def _queued(reason: QueueReason) -> tuple[TaskState, QueueReason]:
    return (TaskState.QUEUED, reason)


def test_a_task_goes_to_a_computer_that_has_the_model_it_names() -> None:
    """Even where no model thinks unless it is named; any other is refused where it lands, never quietly replaced."""
    account = _account("desktop", "laptop")
    for name, agents, models in (("desktop", ["builtin"], ["a:big"]), ("laptop", [], ["b:own"])):
        runner = account.get(Runner, name)
        assert runner is not None
        body = ev.RunnerAdvertised(runner=runner.but(agents=tuple(agents), models=tuple(models)))
        account.emit(Draft(body=body, actor=name))
    tasks = [_post(account, text="Summarise", model=name) for name in ("b:own", "a:big", "c:none")]

    _dispatch(account, "desktop", "laptop")

    found = [account.get(Task, task.id) for task in tasks]
    assert [task and task.runner for task in found] == ["laptop", "desktop", "desktop"]


def test_tasks_of_different_threads_run_at_the_same_time() -> None:
    """One slow thread holds up nobody else."""
    account = _account("laptop")
    first, second = _post(account), _post(account)

    _dispatch(account, "laptop")

    assert _seen(account, first, second) == [WORKING, WORKING]


def test_a_thread_has_three_under_way_and_the_next_waits_for_a_slot() -> None:
    """Up to N in one thread; the rest say why they wait."""
    account = _account("laptop")
    first = _post(account)
    others = [_post(account, first.thread) for _ in range(3)]

    _dispatch(account, "laptop")

    assert _seen(account, first, *others) == [WORKING] * 3 + [_queued(QueueReason.SLOT)]


def test_a_busy_thread_does_not_push_out_a_quiet_one() -> None:
    """Fair between threads: with two slots, two threads get one each, though one posted first and more."""
    account = _account("laptop", slots=2)
    busy = _post(account)
    more = [_post(account, busy.thread) for _ in range(2)]
    quiet = _post(account)

    _dispatch(account, "laptop")

    assert _seen(account, busy, quiet) == [WORKING, WORKING]
    assert _seen(account, *more) == [_queued(QueueReason.SLOT)] * 2


def test_twenty_tasks_of_twenty_threads_run_on_one_computer() -> None:
    """The runner's limit is at least twenty."""
    account = _account("laptop")
    tasks = [_post(account) for _ in range(21)]

    _dispatch(account, "laptop")

    assert _seen(account, *tasks) == [WORKING] * 20 + [_queued(QueueReason.SLOT)]


def test_tasks_that_may_write_the_same_folder_run_one_after_the_other() -> None:
    """The same folder, one inside it and one around it are busy; a read-only task and another computer's are not."""
    account = _account("laptop", "desktop")
    inner = _folder(account, "laptop", "/home/me/files/a")
    outer = _folder(account, "laptop", "/home/me/files")
    beside = _folder(account, "laptop", "/home/me/files/ab")
    elsewhere = _folder(account, "desktop", "/home/me/files/a")
    writing = _post(account, folder=inner)
    same, around = _post(account, folder=inner), _post(account, folder=outer)
    reading = _post(account, folder=inner, mode="read-only")
    neighbour, other = _post(account, folder=beside), _post(account, folder=elsewhere)

    _dispatch(account, "laptop", "desktop")

    busy = _queued(QueueReason.FOLDER_BUSY)
    assert _seen(account, writing, same, around) == [WORKING, busy, busy]
    assert _seen(account, reading, neighbour, other) == [WORKING, WORKING, WORKING]


def test_a_task_of_a_sleeping_computer_waits_for_it() -> None:
    """A folder is on one computer; another one that is awake does not get its task."""
    account = _account("laptop", "desktop")
    task = _post(account, folder=_folder(account, "laptop", "/home/me/files"))

    _dispatch(account, "desktop")

    assert _seen(account, task) == [_queued(QueueReason.RUNNER_OFFLINE)]


def test_free_text_waits_for_a_model_and_does_not_pretend() -> None:
    """Without a model, free text is kept, never run by something else."""
    account = _account("laptop")
    task = _post(account, text="summarise my notes")

    _dispatch(account, "laptop")

    assert _seen(account, task) == [_queued(QueueReason.NO_MODEL)]


def test_orders_are_negotiated() -> None:
    """A runner that would skip an order kind gets no task."""
    account = _account("laptop", kinds=ORDER_KINDS - {"approval.decided"})
    task = _post(account)

    _dispatch(account, "laptop")

    assert _seen(account, task)[0][0] is TaskState.QUEUED


def test_nothing_starts_before_its_time() -> None:
    """``not_before`` is kept to the millisecond of the log's own stamps."""
    account = _account("laptop")
    task = _post(account, not_before="2026-01-02T03:04:05.001Z")

    _dispatch(account, "laptop")
    early = _seen(account, task)
    account.now = "2026-01-02T03:04:05.001Z"
    _dispatch(account, "laptop")

    assert early == [_queued(QueueReason.NOT_BEFORE)]
    assert _seen(account, task) == [WORKING]


def test_the_same_reason_is_said_once() -> None:
    """Looking again adds nothing to the log while nothing changed."""
    account = _account("laptop")
    _post(account)
    _dispatch(account)
    before = len(account.log)

    _dispatch(account)

    assert len(account.log) == before


def test_the_assignment_carries_the_whole_brief() -> None:
    """A runner needs nothing else to begin, even if the hub is gone a second later."""
    account = _account("laptop")
    folder = _folder(account, "laptop", "/home/me/files", FolderMode.ASK)
    task = _post(account, folder=folder, checks=["make test"], criteria=["one page"])

    _dispatch(account, "laptop")

    assigned = ev.body_of(account.log[-1])
    assert isinstance(assigned, ev.TaskAssigned)
    brief = assigned.brief
    assert (brief.task, brief.epoch, brief.text, brief.folder) == (task.id, 1, "/brief x", folder)
    assert (brief.checks, brief.criteria, brief.mode) == (("make test",), ("one page",), "ask")


def _revoke(account: MemoryAccount, runner: str) -> None:
    wish = Wish(principal=OWNER, thread=None, task=None, ids=IDS)
    for draft in lifecycle.leave_computer(account, wish, runner, because="gone"):
        account.emit(draft)
    account.emit(Draft(body=ev.DeviceRevoked(device=runner), actor=OWNER.id))


def test_a_task_that_a_removed_computer_never_accepted_goes_to_another_one() -> None:
    """R9: it is assigned again under a higher epoch; what is pinned to the removed one ends and waits for nobody."""
    account = _account("desktop", "laptop")
    there = _folder(account, "desktop", "/notes")
    movable, pinned = _post(account), _post(account, folder=there)
    _dispatch(account, "desktop", "laptop")

    _revoke(account, "desktop")
    _dispatch(account, "laptop")

    moved, ended = account.get(Task, movable.id), account.get(Task, pinned.id)
    assert moved is not None
    assert (moved.runner, moved.state, moved.epoch) == ("laptop", TaskState.WORKING, 2)
    assert ended is not None
    assert (ended.state, ended.not_done_because) == (TaskState.FAILED, ("gone",))
    assert account.find(Folder, states=["granted"]) == []


def test_a_task_that_a_removed_computer_accepted_is_not_begun_again_silently() -> None:
    """R4: what it did there nobody can know, so the task ends as not done, even from a pause, and its waits close."""
    account = _account("desktop", "laptop")
    task = _post(account)
    _dispatch(account, "desktop", "laptop")
    told = Draft(body=ev.TaskAccepted(epoch=1), actor="desktop", task=task.id)
    account.emit(told)
    account.emit(Draft(body=ev.TaskPaused(), actor=OWNER.id, task=task.id))

    _revoke(account, "desktop")
    _dispatch(account, "laptop")

    after = account.get(Task, task.id)
    assert after is not None
    assert (after.state, after.runner, after.epoch) == (TaskState.FAILED, "desktop", 2)
    assert [e.kind for e in account.log if e.task == task.id][-2:] == ["task.resumed", "task.finished"]


def test_a_long_line_for_a_computer_that_is_away_holds_up_no_other() -> None:
    """R3: six hundred tasks wait for one computer; the one after them goes to another at once."""
    account = _account("attic", "laptop")
    for _ in range(600):
        _post(account, runner="attic")
    last = _post(account, runner="laptop")

    _dispatch(account, "laptop")

    assert _seen(account, last) == [WORKING]

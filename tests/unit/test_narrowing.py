"""Work that follows from work, and work for members: never more than both sides may (RO-04, PA-03)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.clock import Ids, SystemClock
from deskhand.core import conversation, lifecycle
from deskhand.core.dispatching import Round
from deskhand.core.drafting import Draft, Wish
from deskhand.core.lifecycle import handed_on
from deskhand.errors import Code, DeskhandError
from deskhand.protocol import events as ev
from deskhand.protocol.events import ORDER_KINDS
from deskhand.protocol.objects import Folder, FolderMode, Origin, Role, Runner, Trust, narrower
from deskhand.protocol.ops import MessagePost, Principal
from deskhand.protocol.tasks import Delegated, QueueReason, Task, TaskState
from deskhand.testing.account import MemoryAccount

IDS = Ids(SystemClock())
OWNER = Principal(account="a", id="dev_owner", role=Role.OWNER)
MEMBER = Principal(account="a", id="dev_member", role=Role.MEMBER)
MODES = st.sampled_from([None, *FolderMode])


def _work(mode: FolderMode | None, trust: Trust, device: str = "dev_first") -> Delegated:
    return Delegated.from_json(
        {
            "thread": "thr_1", "title": "t", "text": "t", "agent": "commands", "mode": mode, "trust": trust,
            "origin": {"surface": "page", "device": device}, "created_at": "2026-01-02T03:04:05.000Z",
        }
    )  # fmt: skip


@given(MODES, MODES, st.sampled_from(Trust), st.sampled_from(Trust))
def test_what_is_handed_on_is_never_wider_than_either(
    first: FolderMode | None, second: FolderMode | None, begun: Trust, wished: Trust
) -> None:
    """RO-04: a child, a retry, a slot or a channel's message inherits; it cannot upgrade."""
    origin = Origin(surface="page", device="dev_second")

    terms = handed_on(_work(first, begun), mode=second, origin=origin, trust=wished)

    said = [mode for mode in (first, second) if mode is not None]
    assert all(terms["mode"] and narrower(terms["mode"], mode) is terms["mode"] for mode in said)
    assert (terms["trust"] is Trust.OWNER) is (begun is wished is Trust.OWNER)
    assert (terms["origin"].device == "dev_first") is (begun is Trust.UNTRUSTED)


def _account(*lent: str, mode: FolderMode = FolderMode.WORKSPACE) -> tuple[MemoryAccount, dict[str, str]]:
    """Return an account with one computer and its folders: ``Own``, and ``Lent`` if it is lent to somebody."""
    account, folders = MemoryAccount(), dict[str, str]()
    runner = {
        "id": "run_1", "name": "laptop", "incarnation": "i", "protocol": 1, "agents": ["commands"], "slots": 20,
        "kinds": [*sorted(ORDER_KINDS)], "sandbox": {"name": "none", "level": "none"},
        "advertised_at": account.now, "commands": [{"name": "brief", "summary": "", "usage": ""}],
    }  # fmt: skip
    account.emit(Draft(body=ev.RunnerAdvertised(runner=Runner.from_json(runner)), actor="run_1"))
    for name, who in (("Own", ()), ("Lent", lent)):
        folders[name] = IDS.new("fld")
        folder = Folder(id=folders[name], runner="run_1", root=f"/{name}", label=name, mode=mode, lent_to=who)
        account.emit(Draft(body=ev.FolderPut(folder=folder), actor=OWNER.id))
    return account, folders


def _post(account: MemoryAccount, who: Principal, **body: object) -> Task:
    wish = Wish(principal=who, thread=None, task=None, ids=IDS)
    message = MessagePost.from_json({"text": "/brief x", **body})
    decision = account.take(conversation.post_message(account, wish, message))
    return _task(account, decision.task)


def _task(account: MemoryAccount, name: str | None) -> Task:
    task = account.get(Task, name or "")
    assert task is not None
    return task


def _dispatched(account: MemoryAccount, task: Task) -> tuple[TaskState, QueueReason | None]:
    connected = frozenset({"run_1"})
    for draft in Round(
        account, connected=connected, at_once=3, context_of=lambda _: (), ids=IDS, language="en"
    ).drafts():
        account.emit(draft)
    found = _task(account, task.id)
    return found.state, found.reason


@pytest.mark.parametrize("folder", ["Own", "/Own", "Lent", "/elsewhere"])
def test_a_member_may_name_no_folder_that_is_not_lent(folder: str) -> None:
    """FS-14, IS-02: a folder that is not lent looks like one that does not exist, whoever it is lent to."""
    account, folders = _account("dev_another")

    with pytest.raises(DeskhandError) as caught:
        _post(account, MEMBER, folder=folders.get(folder, folder))

    assert caught.value.code is Code.FOLDER_UNKNOWN


def test_work_for_a_member_runs_where_it_is_lent() -> None:
    """In the folder that is lent, in its mode or a narrower one."""
    account, folders = _account(MEMBER.id)

    task = _post(account, MEMBER, folder=folders["Lent"], mode="trusted")

    assert task.mode is FolderMode.WORKSPACE
    assert _dispatched(account, task) == (TaskState.WORKING, None)


def test_work_for_a_member_waits_while_nothing_is_lent() -> None:
    """Also work without a folder is done on somebody's computer; that it is lent lets it begin."""
    account, folders = _account()
    task = _post(account, MEMBER)
    waiting = _dispatched(account, task)

    lent = account.get(Folder, folders["Lent"])
    assert lent is not None
    account.emit(Draft(body=ev.FolderPut(folder=lent.but(lent_to=(MEMBER.id,))), actor="dev_owner"))
    begun = _dispatched(account, task)

    assert waiting == (TaskState.QUEUED, QueueReason.NOT_LENT)
    assert begun == (TaskState.WORKING, None)


def test_work_for_a_member_stops_being_given_out_when_the_folder_is_taken_back() -> None:
    """What was lent when it was asked may not be lent when it would begin."""
    account, folders = _account(MEMBER.id)
    task = _post(account, MEMBER, folder=folders["Lent"])

    lent = account.get(Folder, folders["Lent"])
    assert lent is not None
    account.emit(Draft(body=ev.FolderPut(folder=lent.but(lent_to=())), actor="dev_owner"))

    assert _dispatched(account, task) == (TaskState.QUEUED, QueueReason.NOT_LENT)


def _retried(account: MemoryAccount, task: Task, who: Principal) -> Task:
    body = ev.TaskFinished(state=TaskState.CANCELED, changes=task.changes, usage=task.usage, epoch=1)
    account.emit(Draft(body=body, actor="dev_owner", thread=task.thread, task=task.id))
    wish = Wish(principal=who, thread=None, task=task.id, ids=IDS)
    return _task(account, account.take(lifecycle.retry_task(account, wish)).task)


def test_a_retry_is_no_wider_than_its_task_and_its_folder() -> None:
    """RO-04: the folder was narrowed since, or the task was narrower from the beginning."""
    account, folders = _account()
    wide = _post(account, OWNER, folder=folders["Own"])
    narrow = _post(account, OWNER, folder=folders["Own"], mode="read-only")

    again = _retried(account, narrow, OWNER)
    own = account.get(Folder, folders["Own"])
    assert own is not None
    account.emit(Draft(body=ev.FolderPut(folder=own.but(mode=FolderMode.ASK)), actor="dev_owner"))
    later = _retried(account, wide, OWNER)

    assert (again.mode, later.mode) == (FolderMode.READ_ONLY, FolderMode.ASK)


def test_a_members_task_stays_a_members_when_the_owner_tries_it_again() -> None:
    """PA-04: a retry by somebody with more rights gives the work none of them."""
    account, folders = _account(MEMBER.id)
    task = _post(account, MEMBER, folder=folders["Lent"])

    again = _retried(account, task, OWNER)

    assert (again.requester, again.trust) == (MEMBER.id, Trust.UNTRUSTED)

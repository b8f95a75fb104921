"""What each op comes to: the pure decision of ``core``, with the few rows beside the log that go with it.

Every function runs inside the write of its op. It refuses to judge who may: that was done before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deskhand.core import conversation, lifecycle
from deskhand.core.drafting import Decision, Draft, Wish
from deskhand.core.settings import checked
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Tx
from deskhand.protocol import events as ev
from deskhand.protocol import ops
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Device, Folder, PairRequest, Role, Runner, Thread
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import FileRef, Question, Task
from deskhand.protocol.wire import Json


def belongs(tx: Tx, me: Principal, op: Op) -> bool:
    """Whether what the op is about belongs to the principal; for a runner, whether it is leased to it."""
    if me.role is Role.OWNER:
        return True
    task = tx.get(Task, op.task) if op.task else None
    if me.role is Role.RUNNER:
        advertises = op.kind == "event.append" and op.body.get("kind") == "runner.advertised"
        return advertises or (task is not None and task.runner == me.id)
    if op.kind == "message.post" and not op.thread:
        return True
    asked = tx.get(Question, str(op.body.get("question") or op.body.get("to") or ""))
    about = task or asked
    thread = tx.get(Thread, (about.thread if about else op.thread) or "")
    return thread is not None and thread.created_by == me.id


def _post(tx: Tx, wish: Wish, body: ops.MessagePost) -> Decision:
    files: list[FileRef] = []
    for name in body.files:
        upload = tx.upload(name, principal=wish.principal.id)
        if upload is None:
            raise DeskhandError(Code.NOT_FOUND, name, field="files")
        files.append(FileRef.from_json(upload.to_json()))
    return conversation.post_message(tx, wish, body, files)


def _append_event(tx: Tx, wish: Wish, body: ops.EventAppend) -> Decision:
    if body.kind != "runner.advertised":
        return lifecycle.append_event(tx, wish, body)
    said = ev.RunnerAdvertised.from_json(body.body)
    me, device = wish.principal.id, tx.get(Device, wish.principal.id)
    name = said.runner.name or (device.name if device else "")
    runner = said.runner.but(id=me, name=name, advertised_at=tx.now, state="active")

    def ours(folder: Folder) -> bool:
        """A runner speaks of its own folders and new ones, never of another computer's."""
        known = tx.get(Folder, folder.id)
        return known is None or known.runner == me

    folders = tuple(folder.but(runner=me) for folder in said.folders if ours(folder))
    return _decided(wish, ev.RunnerAdvertised(runner=runner, folders=folders), me)


def _accept(tx: Tx, wish: Wish, body: ops.TaskAccept) -> Decision:
    decision = lifecycle.accept_task(tx, wish, body)
    tx.renew_lease(decision.id or "", runner=wish.principal.id, epoch=body.epoch)
    return decision


def _renew(tx: Tx, wish: Wish, body: ops.LeaseRenew) -> Decision:
    task = lifecycle.known_task(tx, wish.task)
    if task.final or task.epoch != body.epoch:
        raise DeskhandError(Code.STALE_EPOCH, task.id)
    tx.renew_lease(task.id, runner=wish.principal.id, epoch=body.epoch)
    return Decision(id=task.id, task=task.id)


def _erase(tx: Tx, wish: Wish, _: ops.Nothing) -> Decision:
    decision = conversation.erase_thread(tx, wish)
    tx.erase_thread(decision.id or "")
    return decision


def _mark_read(tx: Tx, wish: Wish, body: ops.ReadMark) -> Decision:
    thread = conversation.open_thread(tx, wish.thread)
    tx.mark_read(wish.principal.id, thread.id, body.seq)
    return Decision(id=thread.id)


def _acknowledge(tx: Tx, wish: Wish, body: ops.NotificationAck) -> Decision:
    tx.acknowledge_delivery(body.delivery, fate=body.fate, device=wish.principal.id)
    return Decision(id=body.delivery)


def _admit(tx: Tx, wish: Wish, body: ops.DeviceAdmit) -> Decision:
    """Record the yes or no; the device gets its credential when it claims with its own secret (``pairing``)."""
    request = tx.get(PairRequest, body.request)
    if request is None:
        raise DeskhandError(Code.NOT_FOUND, body.request, field="request")
    if request.state != "waiting":
        raise DeskhandError(Code.ALREADY_DECIDED, request.state)
    decided = ev.PairDecided(request=request.id, state="admitted" if body.admit else "refused")
    draft = Draft(body=decided, actor=wish.principal.id, audience="owner")
    return Decision(drafts=(draft,), id=request.id)


def _revoke(tx: Tx, wish: Wish, body: ops.DeviceRevoke) -> Decision:
    """Take token, streams, pushes and leases from a device at once (PA-07)."""
    device = tx.get(Device, body.device)
    if device is None or device.state == "revoked":
        raise DeskhandError(Code.NOT_FOUND, body.device, field="device")
    if device.id == wish.principal.id:
        raise DeskhandError(Code.ILLEGAL_STATE, "a device cannot revoke itself")
    tx.revoke_credentials(device.id)
    return _decided(wish, ev.DeviceRevoked(device=device.id), device.id)


def _put_folder(tx: Tx, wish: Wish, body: ops.FolderPutOp) -> Decision:
    runner, known = tx.get(Runner, body.runner), tx.get(Folder, body.id)
    if runner is None or runner.state != "active" or (known and known.runner != runner.id):
        raise DeskhandError(Code.NOT_FOUND, body.runner, field="runner")
    folder = Folder.from_json(body.to_json())
    return _decided(wish, ev.FolderPut(folder=folder), folder.id, runner=body.runner)


def _remove_folder(tx: Tx, wish: Wish, body: ops.FolderRemove) -> Decision:
    folder = tx.get(Folder, body.folder)
    if folder is None or folder.state == "removed":
        raise DeskhandError(Code.NOT_FOUND, body.folder, field="folder")
    return _decided(wish, ev.FolderRemoved(folder=folder.id), folder.id, runner=folder.runner)


def _put_setting(_: Tx, wish: Wish, body: ops.SettingsPut) -> Decision:
    value = checked(body.name, body.value)
    said: Json = list(value) if isinstance(value, tuple) else value
    return _decided(wish, ev.SettingChanged(name=body.name, value=said), body.name)


def _decided(wish: Wish, body: ev.Body, name: str, *, runner: str | None = None) -> Decision:
    draft = Draft(body=body, actor=wish.principal.id, runner=runner)
    return Decision(drafts=(draft,), id=name)


HANDLERS: dict[str, Callable[[Tx, Wish, Any], Decision]] = {
    "thread.create": conversation.create_thread,
    "thread.rename": conversation.rename_thread,
    "thread.archive": conversation.archive_thread,
    "thread.erase": _erase,
    "message.post": _post,
    "task.edit": lifecycle.edit_task,
    "task.cancel": lambda tx, wish, _: lifecycle.cancel_task(tx, wish),
    "task.pause": lambda tx, wish, _: lifecycle.pause_task(tx, wish),
    "task.resume": lambda tx, wish, _: lifecycle.resume_task(tx, wish),
    "task.retry": lambda tx, wish, _: lifecycle.retry_task(tx, wish),
    "task.archive": lifecycle.archive_task,
    "approval.decide": lifecycle.decide_approval,
    "question.answer": conversation.answer_question,
    "read.mark": _mark_read,
    "notification.ack": _acknowledge,
    "device.admit": _admit,
    "device.revoke": _revoke,
    "folder.put": _put_folder,
    "folder.remove": _remove_folder,
    "settings.put": _put_setting,
    "task.accept": _accept,
    "event.append": _append_event,
    "lease.renew": _renew,
}
"""One row for each op of ``protocol.ops.OPS``."""

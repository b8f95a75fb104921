"""Who may send which op: one pure table, called by every path in (security 2.1).

It refuses to know objects: the caller says whether the thing is the principal's own. Unknown op: nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import MessagePost


class Grant(StrEnum):
    """How far a role may use an op."""

    YES = "yes"
    OWN = "own"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who speaks: a device, a runner or the hub itself, with its one account and role."""

    account: str
    id: str
    role: Role
    name: str = ""


_YES, _OWN, _NO = Grant.YES, Grant.OWN, Grant.NO
_ROLES = (Role.OWNER, Role.MEMBER, Role.VIEWER, Role.RUNNER, Role.BRIDGE, Role.CLIENT)


def _row(*grants: Grant) -> dict[Role, Grant]:
    return dict(zip(_ROLES, grants, strict=True))


AUTHORITY: dict[str, dict[Role, Grant]] = {
    #                       owner member viewer runner bridge client
    "thread.create": _row(_YES, _YES, _NO, _NO, _YES, _YES),
    "thread.rename": _row(_YES, _OWN, _NO, _NO, _NO, _OWN),
    "thread.archive": _row(_YES, _OWN, _NO, _NO, _NO, _OWN),
    "thread.set_model": _row(_YES, _OWN, _NO, _NO, _NO, _OWN),
    "thread.erase": _row(_YES, _OWN, _NO, _NO, _NO, _NO),
    "message.post": _row(_YES, _OWN, _NO, _NO, _OWN, _OWN),
    "task.edit": _row(_YES, _OWN, _NO, _NO, _NO, _OWN),
    "task.run_as": _row(_YES, _OWN, _NO, _NO, _NO, _OWN),
    "task.cancel": _row(_YES, _OWN, _NO, _NO, _OWN, _OWN),
    "task.pause": _row(_YES, _OWN, _NO, _NO, _OWN, _OWN),
    "task.resume": _row(_YES, _OWN, _NO, _NO, _OWN, _OWN),
    "task.retry": _row(_YES, _OWN, _NO, _NO, _OWN, _OWN),
    "task.archive": _row(_YES, _OWN, _NO, _NO, _OWN, _OWN),
    "approval.decide": _row(_YES, _NO, _NO, _NO, _NO, _NO),
    "question.answer": _row(_YES, _OWN, _NO, _NO, _OWN, _OWN),
    "read.mark": _row(_YES, _YES, _YES, _NO, _NO, _NO),
    "notification.ack": _row(_YES, _YES, _YES, _NO, _NO, _NO),
    "device.admit": _row(_YES, _NO, _NO, _NO, _NO, _NO),
    "device.revoke": _row(_YES, _NO, _NO, _NO, _NO, _NO),
    "folder.put": _row(_YES, _NO, _NO, _NO, _NO, _NO),
    "folder.remove": _row(_YES, _NO, _NO, _NO, _NO, _NO),
    "settings.put": _row(_YES, _NO, _NO, _NO, _NO, _NO),
    "task.accept": _row(_NO, _NO, _NO, _OWN, _NO, _NO),
    "task.suggest": _row(_NO, _NO, _NO, _OWN, _NO, _NO),
    "event.append": _row(_NO, _NO, _NO, _OWN, _NO, _NO),
    "lease.renew": _row(_NO, _NO, _NO, _OWN, _NO, _NO),
    "presence.note": _row(_NO, _NO, _NO, _YES, _NO, _NO),
    "draft.say": _row(_NO, _NO, _NO, _OWN, _NO, _NO),
}
"""op -> role -> how far. For a runner, ``own`` means: leased to it under the current epoch."""

OWNER_FIELDS = ("checks", "folder", "agent", "runner", "mode", "budget")
"""Fields of ``message.post`` that choose code, place or what may be spent: the owner's alone until runners can be lent."""


def authorize(principal: Principal, kind: str, *, own: bool) -> None:
    """Let the op pass, or refuse.

    Args:
        principal: who sends it.
        kind: the op's kind.
        own: whether what it is about belongs to the principal (or, for a runner, is leased to it).

    Raises:
        DeskhandError: ``unknown_kind``; ``forbidden``; ``not_found`` when it exists but is somebody else's, so
            that nobody learns of it (IS-01).
    """
    row = AUTHORITY.get(kind)
    if row is None:
        raise DeskhandError(Code.UNKNOWN_KIND, kind, field="kind")
    grant = row[principal.role]
    if grant is Grant.NO:
        raise DeskhandError(Code.FORBIDDEN, kind)
    if grant is Grant.OWN and not own:
        raise DeskhandError(Code.NOT_FOUND)


def authorize_fields(principal: Principal, body: MessagePost) -> None:
    """Refuse fields that would let another person choose what runs on the owner's computer.

    Raises:
        DeskhandError: ``forbidden`` naming the field.
    """
    if principal.role is Role.OWNER:
        return
    for field in OWNER_FIELDS:
        if getattr(body, field):
            raise DeskhandError(Code.FORBIDDEN, field, field=field)

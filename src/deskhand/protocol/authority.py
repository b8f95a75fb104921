"""Who may send which op: one pure table, called by every path in (security 2.1).

It refuses to know objects: the caller says whether the thing is the principal's own. Unknown op: nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import MessagePost
from deskhand.protocol.wire import TABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who speaks: a device, a runner or the hub itself, with its one account and role."""

    account: str
    id: str
    role: Role
    name: str = ""


AUTHORITY: dict[str, dict[Role, str]] = {
    kind: dict(zip(Role, grants.split(), strict=True))
    for grants, kinds in TABLES["authority"].items()
    for kind in kinds.split()
}
"""op -> role -> how far: ``yes``, ``own``, ``no``. For a runner, ``own`` means: leased to it under the current epoch."""

OWNER_FIELDS = ("checks", "agent", "runner", "budget")
"""Fields of ``message.post`` that choose code, computer or what may be spent: the owner's alone."""


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
    if grant == "no":
        raise DeskhandError(Code.FORBIDDEN, kind)
    if grant == "own" and not own:
        raise DeskhandError(Code.NOT_FOUND)


def authorize_fields(principal: Principal, body: MessagePost) -> None:
    """Refuse fields that would let another person choose what runs on the owner's computer.

    Raises:
        DeskhandError: ``forbidden`` naming the field.
    """
    for field in OWNER_FIELDS:
        if principal.role is not Role.OWNER and getattr(body, field):
            raise DeskhandError(Code.FORBIDDEN, field, field=field)

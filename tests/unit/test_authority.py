"""Who may send what, for every op, every role, own and foreign."""

from __future__ import annotations

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import AUTHORITY, OPS, OWNER_FIELDS, MessagePost, Principal, authorize, authorize_fields

EXPECTED = {
    # op: roles that may do it to anything / to their own only (security 2.1)
    "thread.create": ("owner member bridge client", ""),
    "thread.rename": ("owner", "member client"),
    "thread.archive": ("owner", "member client"),
    "thread.mute": ("owner", "member client"),
    "thread.set_model": ("owner", "member client"),
    "thread.erase": ("owner", "member"),
    "thread.share": ("owner", "member"),
    "message.post": ("owner", "member bridge client"),
    "task.edit": ("owner", "member client"),
    "task.run_as": ("owner", "member client"),
    "task.cancel": ("owner", "member bridge client"),
    "task.pause": ("owner", "member bridge client"),
    "task.resume": ("owner", "member bridge client"),
    "task.retry": ("owner", "member bridge client"),
    "task.archive": ("owner", "member bridge client"),
    "approval.decide": ("owner", ""),
    "question.answer": ("owner", "member bridge client"),
    "read.mark": ("owner member viewer", ""),
    "notification.ack": ("owner member viewer", ""),
    "device.admit": ("owner", ""),
    "device.certify": ("owner", ""),
    "device.revoke": ("owner", "member viewer"),
    "folder.put": ("owner", ""),
    "folder.remove": ("owner", ""),
    "settings.put": ("owner", ""),
    "task.accept": ("", "runner"),
    "task.suggest": ("", "runner"),
    "event.append": ("", "runner"),
    "lease.renew": ("", "runner"),
    "presence.note": ("runner", ""),
    "draft.say": ("", "runner"),
}


def _principal(role: Role) -> Principal:
    return Principal(account="acc_1", id=f"dev_{role}", role=role)


def _outcome(role: Role, kind: str, *, own: bool) -> str:
    try:
        authorize(_principal(role), kind, own=own)
    except DeskhandError as error:
        return error.code
    return "yes"


def test_every_op_has_a_row_and_every_row_an_op() -> None:
    """An op without a row could be sent by nobody or everybody; a row without an op is a leftover."""
    assert set(AUTHORITY) == set(OPS) == set(EXPECTED)


@pytest.mark.parametrize("kind", sorted(OPS))
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("own", [True, False], ids=["own", "foreign"])
def test_op_by_role_by_ownership(kind: str, role: Role, *, own: bool) -> None:
    """AU-01, IS-08: exactly the listed roles pass; a foreign thing looks like one that does not exist (IS-01)."""
    anything, mine = (words.split() for words in EXPECTED[kind])

    outcome = _outcome(role, kind, own=own)

    expected = Code.NOT_FOUND if role in mine else Code.FORBIDDEN
    assert outcome == ("yes" if role in anything or (own and role in mine) else expected)


def test_unknown_op_is_nobodys() -> None:
    """A kind without a row is refused for the owner too."""
    assert _outcome(Role.OWNER, "policy.widen", own=True) == Code.UNKNOWN_KIND


def test_an_mcp_client_can_never_decide_an_approval() -> None:
    """PA-05, PI-05: an agent that could approve would approve itself."""
    assert AUTHORITY["approval.decide"][Role.CLIENT] == "no"
    assert AUTHORITY["approval.decide"][Role.BRIDGE] == "no"


@pytest.mark.parametrize("field", OWNER_FIELDS)
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
def test_fields_that_choose_code_or_place_are_the_owners(field: str, role: Role) -> None:
    """A member or a chat sender must not run code on the owner's computer."""
    values: dict[str, object] = {"checks": ["make"], "mode": "read-only", "budget": {"steps": 1}}
    body = MessagePost.from_json({"text": "hello", field: values.get(field, "x")})

    with pytest.raises(DeskhandError) as caught:
        authorize_fields(_principal(role), body)
    authorize_fields(_principal(Role.OWNER), body)

    assert (caught.value.code, caught.value.field) == (Code.FORBIDDEN, field)

"""Every route of the hub in one table: who may call it and what kind of body it takes (AU-01).

A route that is not in here cannot be built. Roles inside a route (own or foreign) are decided by ``protocol.authority``
and by the reading itself; this table is the outer door.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from deskhand.protocol.objects import Role


class Who(Enum):
    """Who may call a route at all."""

    PUBLIC = frozenset[Role]()
    PARTICIPANT = frozenset(Role)
    LISTENER = frozenset({Role.OWNER, Role.MEMBER, Role.VIEWER, Role.RUNNER})
    READER = frozenset(Role) - {Role.RUNNER}
    SENDER = frozenset({Role.OWNER, Role.MEMBER, Role.BRIDGE, Role.CLIENT})
    PERSON = frozenset({Role.OWNER, Role.MEMBER, Role.VIEWER})
    OWNER = frozenset({Role.OWNER})
    RUNNER = frozenset({Role.RUNNER})


class Takes(Enum):
    """The body a route takes, by its exact content type."""

    NOTHING = ""
    JSON = "application/json"
    CHUNK = "application/offset+octet-stream"
    BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table."""

    who: Who
    takes: Takes = Takes.NOTHING


def _rule(who: Who, takes: Takes = Takes.NOTHING) -> Rule:
    return Rule(who=who, takes=takes)


RULES: Final[dict[str, Rule]] = {
    "POST /v1/ops": _rule(Who.PARTICIPANT, Takes.JSON),
    "POST /v1/tasks": _rule(Who.SENDER, Takes.JSON),
    "GET /v1/stream": _rule(Who.LISTENER),
    "GET /v1/sync": _rule(Who.LISTENER),
    "GET /v1/snapshot": _rule(Who.PERSON),
    "GET /v1/tasks": _rule(Who.READER),
    "GET /v1/tasks/{task}": _rule(Who.READER),
    "GET /v1/threads": _rule(Who.READER),
    "GET /v1/threads/{thread}": _rule(Who.READER),
    "GET /v1/threads/{thread}/events": _rule(Who.READER),
    "GET /v1/approvals": _rule(Who.PERSON),
    "GET /v1/approvals/{approval}": _rule(Who.PERSON),
    "GET /v1/questions": _rule(Who.PERSON),
    "GET /v1/runners": _rule(Who.PERSON),
    "GET /v1/folders": _rule(Who.PERSON),
    "GET /v1/deliveries": _rule(Who.PERSON),
    "GET /v1/commands": _rule(Who.READER),
    "GET /v1/settings": _rule(Who.PERSON),
    "GET /v1/devices": _rule(Who.PERSON),
    "DELETE /v1/devices/{device}": _rule(Who.OWNER),
    "OPTIONS /v1/uploads": _rule(Who.PUBLIC),
    "POST /v1/uploads": _rule(Who.SENDER),
    "GET /v1/uploads/{upload}": _rule(Who.SENDER),
    "HEAD /v1/uploads/{upload}": _rule(Who.SENDER),
    "PATCH /v1/uploads/{upload}": _rule(Who.SENDER, Takes.CHUNK),
    "GET /v1/files/{file}/content": _rule(Who.PARTICIPANT),
    "GET /v1/artifacts/{artifact}": _rule(Who.READER),
    "GET /v1/artifacts/{artifact}/content": _rule(Who.READER),
    "PUT /v1/blobs/{sha256}": _rule(Who.RUNNER, Takes.BYTES),
    "POST /v1/pair": _rule(Who.PUBLIC, Takes.JSON),
    "POST /v1/pair/claim": _rule(Who.PUBLIC, Takes.JSON),
    "GET /v1/pair/requests": _rule(Who.OWNER),
    "POST /v1/pair/invites": _rule(Who.OWNER, Takes.JSON),
    "DELETE /v1/pair/invites/{invite}": _rule(Who.OWNER),
    "GET /v1/push/key": _rule(Who.PERSON),
    "POST /v1/push/subscriptions": _rule(Who.PERSON, Takes.JSON),
    "POST /v1/push/test": _rule(Who.PERSON),
    "GET /healthz": _rule(Who.PUBLIC),
    "GET /v1/version": _rule(Who.PUBLIC),
    "GET /openapi.json": _rule(Who.PUBLIC),
    "GET /": _rule(Who.PUBLIC),
    "GET /{path:path}": _rule(Who.PUBLIC),
}


def rule_of(method: str, path: str) -> Rule:
    """Return the row of a route.

    Raises:
        LookupError: nobody said who may call it.
    """
    rule = RULES.get(f"{method} {path}")
    if rule is None:
        raise LookupError(f"{method} {path} is in no row of the table of routes")
    return rule

"""Every route of the hub in one table: who may call it and what kind of body it takes (AU-01).

A route that is not in here cannot be built. Roles inside a route (own or foreign) are decided by ``protocol.authority``
and by the reading itself; this table is the outer door.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

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


class Rule(NamedTuple):
    """One row of the table."""

    who: Who
    takes: Takes = Takes.NOTHING


RULES: Final[dict[str, Rule]] = {
    "POST /v1/ops": Rule(Who.PARTICIPANT, Takes.JSON),
    "POST /v1/tasks": Rule(Who.SENDER, Takes.JSON),
    "GET /v1/stream": Rule(Who.LISTENER),
    "GET /v1/sync": Rule(Who.LISTENER),
    "GET /v1/snapshot": Rule(Who.PERSON),
    "GET /v1/tasks": Rule(Who.READER),
    "GET /v1/tasks/{task}": Rule(Who.READER),
    "GET /v1/threads": Rule(Who.READER),
    "GET /v1/threads/{thread}": Rule(Who.READER),
    "GET /v1/threads/{thread}/events": Rule(Who.READER),
    "GET /v1/approvals": Rule(Who.PERSON),
    "GET /v1/approvals/{approval}": Rule(Who.PERSON),
    "GET /v1/questions": Rule(Who.PERSON),
    "GET /v1/runners": Rule(Who.PERSON),
    "GET /v1/folders": Rule(Who.PERSON),
    "GET /v1/deliveries": Rule(Who.PERSON),
    "GET /v1/commands": Rule(Who.READER),
    "GET /v1/settings": Rule(Who.PERSON),
    "GET /v1/devices": Rule(Who.PERSON),
    "DELETE /v1/devices/{device}": Rule(Who.OWNER),
    "OPTIONS /v1/uploads": Rule(Who.PUBLIC),
    "POST /v1/uploads": Rule(Who.SENDER),
    "GET /v1/uploads/{upload}": Rule(Who.SENDER),
    "HEAD /v1/uploads/{upload}": Rule(Who.SENDER),
    "PATCH /v1/uploads/{upload}": Rule(Who.SENDER, Takes.CHUNK),
    "GET /v1/files/{file}/content": Rule(Who.PARTICIPANT),
    "GET /v1/artifacts/{artifact}": Rule(Who.READER),
    "GET /v1/artifacts/{artifact}/content": Rule(Who.READER),
    "PUT /v1/blobs/{sha256}": Rule(Who.RUNNER, Takes.BYTES),
    "POST /v1/pair": Rule(Who.PUBLIC, Takes.JSON),
    "POST /v1/pair/claim": Rule(Who.PUBLIC, Takes.JSON),
    "GET /v1/pair/requests": Rule(Who.OWNER),
    "POST /v1/pair/invites": Rule(Who.OWNER, Takes.JSON),
    "DELETE /v1/pair/invites/{invite}": Rule(Who.OWNER),
    "GET /v1/push/key": Rule(Who.PERSON),
    "POST /v1/push/subscriptions": Rule(Who.PERSON, Takes.JSON),
    "POST /v1/push/test": Rule(Who.PERSON),
    "GET /healthz": Rule(Who.PUBLIC),
    "GET /v1/version": Rule(Who.PUBLIC),
    "GET /openapi.json": Rule(Who.PUBLIC),
    "GET /": Rule(Who.PUBLIC),
    "GET /{path:path}": Rule(Who.PUBLIC),
}

"""What HTTP calls other than ops take and answer: batches, pairing, push subscriptions, uploads.

Pure shapes. It refuses to hold secrets in a ``repr``: whoever has one of those strings has a right.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deskhand import limits
from deskhand.protocol.objects import FolderMode, Role
from deskhand.protocol.ops import MessagePost, Op, OpResult
from deskhand.protocol.wire import At, Wire

_SECRET_CHARS_MAX = 200
_KEY_CHARS_MAX = 400


class OpBatch(Wire):
    """Several ops at once; each is atomic, the batch is not."""

    ops: tuple[Op, ...] = Field(max_length=limits.OPS_PER_BATCH_MAX)


class OpResults(Wire):
    """What became of each op, in order."""

    results: tuple[OpResult, ...]


class TaskPost(MessagePost):
    """A message that becomes a task, for scripts and shortcuts."""

    thread: str | None = Field(default=None, max_length=100)


class Part(Wire):
    """Which part of a list: the newest ``limit`` older than ``before``; ``open``: only what waits for a person."""

    before: str | None = Field(default=None, max_length=100)
    limit: int = Field(default=limits.LIST_LIMIT_DEFAULT, ge=1, le=limits.LIST_LIMIT_MAX)
    is_open: bool = Field(default=False, alias="open")


class TaskPart(Part):
    """Part of the list of tasks: of one thread, in one of these states."""

    thread: str | None = Field(default=None, max_length=100)
    state: list[str] | None = Field(default=None, max_length=10)


class Hit(Wire):
    """Where words were found: ``found`` as it stands between what is before and after it, in a thread of this title."""

    kind: Literal["thread", "message", "result", "file"]
    thread: str
    task: str | None = None
    seq: int
    title: str
    before: str
    found: str
    after: str


class HereAsk(Wire):
    """The person at this very computer says which folder of it may be used, and how."""

    folder: str = Field(max_length=4096)
    mode: FolderMode
    keep_awake: bool = False


class InviteAsk(Wire):
    """The owner wants an invitation; ``recovery``: one for a page of their own that waits for years in a drawer."""

    kind: Literal["page", "cli", "runner", "client"] = "page"
    role: Role = Role.OWNER
    person: str | None = Field(default=None, min_length=1, max_length=limits.NAME_CHARS_MAX)
    admits_alone: bool = False
    recovery: bool = False


class InviteMade(Wire):
    """An invitation as it is shown once, at the machine or on the inviting screen.

    ``url`` opens it and names its hub; ``picture`` is that for a camera, an image as a ``data:`` address. There is none
    of what only this computer could open.
    """

    id: str
    invite: str = Field(repr=False)
    code: str = Field(repr=False)
    url: str = Field(repr=False)
    picture: str | None = Field(default=None, repr=False)
    kind: Literal["page", "cli", "runner", "client"]
    role: Role
    expires_at: At


class PairAsk(Wire):
    """A device asks to join, by the link's secret or by the six digits."""

    invite: str | None = Field(default=None, max_length=_SECRET_CHARS_MAX, repr=False)
    code: str | None = Field(default=None, max_length=20, repr=False)
    name: str = Field(min_length=1, max_length=limits.NAME_CHARS_MAX)
    kind: Literal["page", "cli", "runner", "client"] | None = None
    role: Role | None = None
    public_key: str | None = Field(default=None, max_length=_KEY_CHARS_MAX)


class PairAsked(Wire):
    """The request was filed; ``match`` stands on both screens, ``secret`` claims what comes of it."""

    request: str
    secret: str = Field(repr=False)
    match: str
    expires_at: At


class PairClaim(Wire):
    """The asking device wants to know, and to have its credential."""

    request: str = Field(max_length=100)
    secret: str = Field(max_length=_SECRET_CHARS_MAX, repr=False)


class PairPending(Wire):
    """Nobody decided yet."""

    state: Literal["waiting"] = "waiting"
    match: str


class PairClaimed(Wire):
    """The credential, once. For a page ``token`` is the half for ``X-Deskhand-Key``; the other half is a cookie."""

    token: str = Field(repr=False)
    device: str
    account: str
    kind: Literal["page", "cli", "runner", "client"]
    role: Role


class PushKeys(Wire):
    """The browser's keys for sealing pushes to it."""

    p256dh: str = Field(min_length=1, max_length=_KEY_CHARS_MAX, repr=False)
    auth: str = Field(min_length=1, max_length=_KEY_CHARS_MAX, repr=False)


class PushAsk(Wire):
    """Where this browser wants its pushes, exactly as ``PushSubscription.toJSON()`` says it."""

    endpoint: str = Field(min_length=1, max_length=limits.URL_CHARS_MAX, repr=False)
    keys: PushKeys

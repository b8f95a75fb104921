"""What follows from work may never be done more widely, or for somebody with more rights, than the work itself.

Pure. One function for everything that begins work because of other work: a retry, a child, a slot of a schedule, a
message of a channel. It refuses to widen: whatever is wished, the narrower of both counts (RO-04).
"""

from __future__ import annotations

from typing import TypedDict

from deskhand.protocol.objects import FolderMode, Origin, Trust, narrowest
from deskhand.protocol.tasks import Delegated


class Terms(TypedDict):
    """How widely work is done, and whose word it is."""

    mode: FolderMode | None
    origin: Origin
    trust: Trust


def handed_on(
    work: Delegated, *, mode: FolderMode | None, origin: Origin, trust: Trust = Trust.OWNER
) -> Terms:
    """Return the terms of work that follows from other work, as somebody else wishes it.

    What was begun for a member stays the member's, whoever begins it again.
    """
    kept = work.requester is not None
    return {
        "mode": narrowest(work.mode, mode),
        "origin": work.origin if kept else origin,
        "trust": work.trust if kept else trust,
    }

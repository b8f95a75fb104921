"""``deskhand`` that is killed by SIGKILL where a test says: before a notification is sent, or just after it was taken.

It tries again after a second and not after minutes, and what a dead hub had taken is free after five seconds, not sixty:
with half of the attempts failing nobody wants to wait for the rest.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from deskhand import limits
from deskhand.cli.main import main
from deskhand.core import delivery
from deskhand.notify.webpush import WebPush
from deskhand.ports import Notice, PushSubscription, SendOutcome

ORDER = "DESKHAND_TEST_DIES"
"""Names the file in which a test writes ``before`` or ``after``; it is taken away by whoever dies of it."""
_send = WebPush.send


def _die(moment: str) -> None:
    order = Path(os.environ[ORDER])
    if order.exists() and order.read_text() == moment:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


async def send(self: WebPush, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
    """Send, or not live to."""
    _die("before")
    outcome = await _send(self, subscription, notice)
    if outcome.status == "accepted":
        _die("after")
    return outcome


if __name__ == "__main__":
    setattr(limits, "DELIVERY_CLAIM_SECONDS", 5)  # noqa: B010 - the three things that this program changes
    setattr(delivery, "DELIVERY_BACKOFF_SECONDS", (1,))  # noqa: B010 - the same
    setattr(WebPush, "send", send)  # noqa: B010 - the same
    main()

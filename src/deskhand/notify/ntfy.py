"""ntfy: one notice as one request to a topic of a server that the owner named where the hub runs.

It refuses any other host, also by a redirect, and to log the topic, which is as good as a password.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from deskhand import egress, limits
from deskhand.errors import DeskhandError
from deskhand.notify import Road
from deskhand.ports import Notice, PushSubscription, SendOutcome

_PRIORITY: Final = {"high": 4, "normal": 3, "low": 2}


class Ntfy(Road):
    """Sends notices to the topic ``notify.ntfy``; the secret of that name is its token, if it has one."""

    name = "ntfy"

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Hand the notice over; every failure is an outcome, none is raised."""
        del subscription
        server, _, topic = str(self.said("notify.ntfy")).rpartition("/")
        token = await asyncio.to_thread(self.secret, "notify.ntfy")
        said = {
            "topic": topic,
            "title": notice.title,
            "message": notice.body,
            "priority": _PRIORITY[notice.urgency],
            "click": self.link(notice),
            "sequence_id": notice.tag,  # what a newer server replaces one message with the next by
        }
        try:
            entry = egress.parse_target(server).entry
            request = egress.EgressRequest(
                method="POST",
                url=f"{server}/",
                headers={"Authorization": f"Bearer {token.reveal()}"} if token else {},
                body=json.dumps(said).encode(),
                seconds_max=limits.PUSH_SECONDS_MAX,
                response_bytes_max=limits.PUSH_ANSWER_BYTES_MAX,
            )
            response = await egress.Egress(allowed=frozenset({entry})).send(request)
        except DeskhandError as error:
            return SendOutcome(status="retry" if error.code.retryable else "refused", reason=error.code.value)
        return SendOutcome.answered(response.status, response.headers)

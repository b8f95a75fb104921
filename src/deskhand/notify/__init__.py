"""Roads to a person: each sends one notice and says what became of it. None knows another."""

from __future__ import annotations

from collections.abc import Mapping

from deskhand import egress, limits
from deskhand.errors import DeskhandError
from deskhand.ports import SendOutcome


async def posted(way_out: egress.Egress, url: str, *, headers: Mapping[str, str], body: bytes) -> SendOutcome:
    """Send a notice as one request, and return what became of it."""
    request = egress.EgressRequest(
        method="POST",
        url=url,
        headers=headers,
        body=body,
        seconds_max=limits.PUSH_SECONDS_MAX,
        response_bytes_max=limits.PUSH_ANSWER_BYTES_MAX,
    )
    try:
        response = await way_out.send(request)
    except DeskhandError as error:
        return SendOutcome(status="retry" if error.code.retryable else "refused", reason=error.code.value)
    return SendOutcome.answered(response.status, response.headers)

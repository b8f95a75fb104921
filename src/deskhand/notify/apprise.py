"""Everything else that can carry a notice, by the library ``apprise``, which comes as an extra of its own.

Where it goes is one secret, because its addresses hold passwords. It refuses to load the library before it is needed,
and to let it write a log.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import Any

from deskhand.notify import Road
from deskhand.ports import Notice, PushSubscription, SendOutcome


class Apprise(Road):
    """Sends notices to the addresses in the secret ``notify.apprise``, where the setting of that name is on."""

    name = "apprise"

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Hand the notice over; every failure is an outcome, none is raised."""
        del subscription
        return await asyncio.to_thread(self._send, notice)

    def _send(self, notice: Notice) -> SendOutcome:
        places = self.secret("notify.apprise")
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        try:
            library: Any = import_module("apprise")
        except ImportError:
            return SendOutcome(status="refused", reason="not_installed")
        roads = library.Apprise(asset=library.AppriseAsset(async_mode=False, secure_logging=True))
        if places is None or not roads.add(places.reveal().split()):
            return SendOutcome(status="refused", reason="config_invalid")
        body = f"{notice.body}\n{self.link(notice)}"
        try:
            taken = roads.notify(title=notice.title, body=body)
        except Exception:  # noqa: BLE001 - each of its many services fails in its own way
            taken = False
        return (
            SendOutcome(status="accepted", reason="accepted")
            if taken
            else SendOutcome(status="retry", reason="not_taken")
        )

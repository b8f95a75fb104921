"""Roads that the owner named where the hub runs: a topic of ntfy, e-mail, and everything else by the library ``apprise``.

ntfy is one request to that server; it refuses any other host, also by a redirect, and to log the topic, which is as good
as a password. Mail is one message for the server that was named; it refuses to speak without TLS to anything but this
machine, to let a title make a header, and to log an address. Where apprise goes is one secret, because its addresses hold
passwords; it is an extra of its own, is not loaded before it is needed, and writes no log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from importlib import import_module
from typing import Any, ClassVar, Final, Literal
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from deskhand import egress, limits
from deskhand.clock import Clock
from deskhand.errors import DeskhandError
from deskhand.notify import posted
from deskhand.ports import Notice, PushSubscription, SendOutcome
from deskhand.secret import Secret

_PRIORITY: Final = {"high": 4, "normal": 3, "low": 2}
_LASTING: Final = 500
"""From here on a mail server's no is meant for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """A road that leads where setting and secret ``notify.NAME`` of the hub's own computer say, each time anew."""

    name: ClassVar[str]
    said: Callable[[str], object]
    secret: Callable[[str], Secret | None]
    app_url: str
    clock: Clock

    def ready(self) -> bool:
        """Whether it leads somewhere."""
        return bool(self.said(f"notify.{self.name}"))

    def link(self, notice: Notice) -> str:
        """Return where a tap leads."""
        return urljoin(self.app_url, notice.url_path)


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
        headers = {"Authorization": f"Bearer {token.reveal()}"} if token else {}
        try:
            way_out = egress.Egress(allowed=frozenset({egress.parse_target(server).entry}))
        except DeskhandError as error:
            return SendOutcome(status="refused", reason=error.code.value)
        return await posted(way_out, f"{server}/", headers=headers, body=json.dumps(said).encode())


class Mail(Road):
    """Sends notices by the server ``notify.mail`` to ``notify.mail_to``; the secret ``notify.mail`` is the password."""

    name = "mail"

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Hand the notice over; every failure is an outcome, none is raised."""
        del subscription
        return await asyncio.to_thread(self._send, notice)

    def _send(self, notice: Notice) -> SendOutcome:
        place = urlsplit(str(self.said("notify.mail")))
        me = unquote(place.username or "")
        to = str(self.said("notify.mail_to")) or me
        try:
            with _connected(place) as server:
                if place.scheme == "smtp" and not egress.is_here(place.geturl()):
                    server.starttls(context=ssl.create_default_context())
                if (password := self.secret("notify.mail")) is not None:
                    server.login(me, password.reveal())
                server.send_message(self._message(notice, sender=me if "@" in me else to, to=to))
            said = ("accepted", "accepted")
        except smtplib.SMTPNotSupportedError:
            said = ("refused", "no_tls")
        except smtplib.SMTPRecipientsRefused as error:
            said = _no(max(code for code, _ in error.recipients.values()))
        except smtplib.SMTPResponseException as error:
            said = _no(error.smtp_code)
        except ssl.SSLError:
            said = ("retry", "tls")
        except ValueError:
            said = ("refused", "config_invalid")
        except (OSError, smtplib.SMTPException):
            said = ("retry", "unavailable")
        return SendOutcome(status=said[0], reason=said[1])

    def _message(self, notice: Notice, *, sender: str, to: str) -> EmailMessage:
        message, about = EmailMessage(), f"<{notice.tag}@deskhand.invalid>"
        message["From"], message["To"], message["Date"] = sender, to, format_datetime(self.clock.now())
        message["Subject"] = " ".join(f"{notice.title}: {notice.body}".split())[: limits.PUSH_TITLE_CHARS_MAX]
        message["Message-ID"] = f"<{notice.id}@deskhand.invalid>"  # twice sent is shown once
        message["References"] = about
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{notice.body}\n\n{self.link(notice)}\n")
        return message


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
        if taken:
            return SendOutcome(status="accepted", reason="accepted")
        return SendOutcome(status="retry", reason="not_taken")


def _connected(place: SplitResult) -> smtplib.SMTP:
    """Return a connection; ``ValueError`` for an address that names no server."""
    host, seconds = place.hostname or "", limits.PUSH_SECONDS_MAX
    if not host or place.scheme not in {"smtp", "smtps"}:
        raise ValueError(place.scheme)
    if place.scheme == "smtps":
        return smtplib.SMTP_SSL(host, place.port or 465, timeout=seconds, context=ssl.create_default_context())
    return smtplib.SMTP(host, place.port or 587, timeout=seconds)


def _no(code: int) -> tuple[Literal["refused", "retry"], str]:
    return "refused" if code >= _LASTING else "retry", f"smtp_{code}"

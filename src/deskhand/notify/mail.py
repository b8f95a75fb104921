"""E-mail: one notice as one message, handed to the mail server that the owner named where the hub runs.

It refuses to speak without TLS to anything but this machine, to let a title make a header, and to log an address.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from deskhand import limits
from deskhand.egress import is_here
from deskhand.notify import Road
from deskhand.ports import Notice, PushSubscription, SendOutcome

_LASTING = 500
"""From here on a server's no is meant for good."""


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
                if place.scheme == "smtp" and not is_here(place.geturl()):
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

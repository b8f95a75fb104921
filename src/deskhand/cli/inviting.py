"""Letting a device in at this terminal: link, digits and a picture of the link, then the question whether it may."""

from __future__ import annotations

import io
import sys

from deskhand.cli.screen import one_line, speak
from deskhand.limits import INVITE_SECONDS


def join_link(url: str, invite: str) -> str:
    """Return the link of an invitation; the secret stands behind ``#`` and never reaches a log."""
    return f"{url.rstrip('/')}/#join={invite}"


def show_invitation(*, link: str, code: str, kind: str) -> None:
    """Print link and digits, and the link as a code that a camera reads where there is a screen for it."""
    if kind == "page" and speak.color and not (speak.quiet or speak.json):
        import segno

        drawn = io.StringIO()
        segno.make_qr(link, error="l").terminal(drawn, compact=True, border=2)
        # Drawn by us from our own link: its escapes are meant.
        sys.stdout.write(drawn.getvalue())
        sys.stdout.flush()
    speak.out(speak.say("pair.link", link=link))
    speak.out(speak.say("pair.code", code=f"{code[:3]} {code[3:]}", minutes=INVITE_SECONDS // 60))


def admitted_by(name: str, match: str) -> bool:
    """Ask the person whether the device that shows this number may join."""
    asked = speak.say("pair.asks", name=one_line(name), match=" ".join(match))
    return speak.confirm(asked, default=True)

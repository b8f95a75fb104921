"""Showing an invitation: link, digits, and a picture of the link where there is a screen for it."""

from __future__ import annotations

import io
import sys

from deskhand.cli.screen import Screen
from deskhand.limits import INVITE_SECONDS


def join_link(url: str, invite: str) -> str:
    """Return the link of an invitation; the secret stands behind ``#`` and never reaches a log."""
    return f"{url.rstrip('/')}/#join={invite}"


def show_invitation(speak: Screen, *, link: str, code: str, kind: str) -> None:
    """Print link, QR and digits."""
    if kind == "page":
        print_qr(speak, link)
    speak.out(speak.say("pair.link", link=link))
    speak.out(speak.say("pair.code", code=f"{code[:3]} {code[3:]}", minutes=INVITE_SECONDS // 60))


def print_qr(speak: Screen, link: str) -> None:
    """Print a link as a code that a camera reads, where there is a screen for it."""
    if speak.quiet or not speak.color:
        return
    import segno

    drawn = io.StringIO()
    segno.make_qr(link, error="l").terminal(drawn, compact=True, border=2)
    # Drawn by us from our own link: its escapes are meant.
    sys.stdout.write(drawn.getvalue())
    sys.stdout.flush()

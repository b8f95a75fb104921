"""``secret set|list|remove``: what gives this computer a right elsewhere, sealed, by name.

It works on this machine's own file and no other, reads a value from a prompt or stdin and never from a command line,
where other users of the machine could see it, and refuses to print one.
"""

from __future__ import annotations

from getpass import getpass

from deskhand.cli.client import home
from deskhand.cli.flags import from_stdin
from deskhand.cli.screen import speak
from deskhand.errors import Code, DeskhandError
from deskhand.store.safe import Safe


def set_secret(name: str) -> int:
    """Seal a value."""
    asked = speak.say("secret.ask", name=name)
    Safe(home()).put(name, getpass(f"{asked} ") if speak.asks else from_stdin("-"))
    return speak.done({"set": name}, "secret.done", name=name)


def list_secrets() -> int:
    """List names."""
    items = [{"name": name, "key": key} for name, (key, _) in Safe(home()).all().items()]
    return speak.listed(
        items, "name", lambda one: speak.say(f"secret.key.{one['key']}"), none="secret.none"
    )


def remove_secret(name: str) -> int:
    """Forget a value."""
    if not Safe(home()).remove(name):
        raise DeskhandError(Code.NOT_FOUND, name)
    return speak.done({"removed": name}, "secret.gone", name=name)

"""The road from the phone to this computer: none, this network, or an address of one's own; tried before it is promised.

It refuses to print a link that was not seen to answer.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from deskhand.cli.client import healthz
from deskhand.errors import Code, DeskhandError

_ANYWHERE = "0.0.0.0"  # noqa: S104 - only after the owner said "lan" in so many words
_SOMEWHERE = ("198.51.100.1", 9)
"""A documentation address: asking for the way there sends nothing and tells which of our addresses would be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One road. ``url`` is what a phone opens; nothing where there is none. ``names``: what the hub is called on it."""

    url: str | None = None
    names: tuple[str, ...] = ()
    bind: str | None = None


def reach_of(said: str) -> Reach:
    """Return the road that a word or an address means.

    Raises:
        DeskhandError: ``invalid`` for neither; ``unavailable`` without a network.
    """
    if said in {"", "none"}:
        return Reach()
    if said == "lan":
        address = _lan_address()
        return Reach(url=f"http://{address}", names=(address,), bind=_ANYWHERE)
    parts = urlsplit(said)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise DeskhandError(Code.INVALID, f"{said}: none | lan | https://…", field="--reach")
    return Reach(url=said.rstrip("/"), names=(said.rstrip("/"),))


def _lan_address() -> str:
    """Return this computer's address in its own network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, suppress(OSError):
        asked.connect(_SOMEWHERE)
        address = ipaddress.ip_address(asked.getsockname()[0])
        if not (address.is_loopback or address.is_unspecified):
            return str(address)
    raise DeskhandError(Code.UNAVAILABLE, "no network")


def seen_to_answer(url: str) -> float:
    """Return how many milliseconds our hub took to answer under an address.

    Raises:
        DeskhandError: ``hub_unreachable``.
    """
    started = monotonic()
    response = healthz(url)
    if response.status != http.client.OK or response.getheader("Deskhand-Protocol") is None:
        raise DeskhandError(Code.HUB_UNREACHABLE, f"{url}: HTTP {response.status}")
    return (monotonic() - started) * 1000

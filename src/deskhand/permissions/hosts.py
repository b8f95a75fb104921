"""Which hosts belong to many: to name one of them is not yet to say whose things may be reached there (NE-04). Pure."""

from __future__ import annotations

from importlib.resources import files
from typing import Final
from urllib.parse import unquote

_SAID: Final = files("deskhand.permissions").joinpath("shared_hosts.txt").read_text("ascii")
_SHARED: Final = frozenset(name for line in _SAID.splitlines() if not line.startswith("#") for name in line.split())


def is_shared(host: str) -> bool:
    """Return whether many tenants are behind a host's name."""
    labels = host.lower().rstrip(".").split(".")
    return any(".".join(labels[first:]) in _SHARED for first in range(len(labels)))


def within(path: str, prefix: str) -> bool:
    """Return whether the path of an address lies beneath a prefix, in whichever way a server may read it."""
    path, prefix = path.partition("?")[0].rstrip("/"), prefix.rstrip("/")
    plain = unquote(unquote(path)).replace("\\", "/")
    odd = {".", "..", ""} & {part.partition(";")[0] for part in plain.split("/")[1:]}
    return not prefix or (not odd and f"{path}/".startswith(f"{prefix}/"))

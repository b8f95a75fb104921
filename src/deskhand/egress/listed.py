"""What the owner wrote down about the internet: which hosts may be asked for what, and what is sent along to them.

An entry is ``[METHOD ]host[:port][/path-prefix]``, a credential ``host[:port]/path-prefix Header: text {NAME}`` with
the name of a secret. It refuses to read a host of many tenants without method and path, because that says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from deskhand.egress import Target, parse_target
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.hosts import is_shared

_ENTRY: Final = re.compile(
    r"(?:(?P<method>CONNECT|DELETE|GET|HEAD|PATCH|POST|PUT) )?"
    r"(?P<where>[^ /?]+?(?P<port>:\d+)?(?P<path>/[^ ?]*)?)"
)
_CREDENTIAL: Final = re.compile(
    r"(?P<where>[^ /]+/[^ ]*) (?P<header>(?!(?i:host):)[A-Za-z][A-Za-z0-9-]*): "
    r"(?P<text>[^{}]*\{(?P<secret>[\w.-]+)\}[^{}]*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. Only one that names its port may lead to a private address."""

    method: str
    target: Target
    named_port: bool
    path: str

    def admits(self, method: str, target: Target) -> bool:
        """Return whether it speaks of such a request; a tunnel is ``CONNECT`` to ``/``."""
        same = self.target.entry == target.entry and self.method in ("", method)
        return same and _within(target.path, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What is sent along: a header with a text that has the secret of this name in it."""

    entry: Entry
    header: str
    text: str
    secret: str


def entry(said: str) -> Entry:
    """Read an entry.

    Raises:
        DeskhandError: ``config_invalid`` or ``address_refused`` with what is wrong.
    """
    match = _ENTRY.fullmatch(said)
    if match is None:
        raise DeskhandError(Code.CONFIG_INVALID, f"{said[:100]}: host or METHOD host/path")
    method, target = match["method"] or "", parse_target(f"https://{match['where']}")
    if is_shared(target.host) and not (method and match["path"]):
        cure = f"many have their things on {target.host}; say GET {target.host}/WHOSE"
        raise DeskhandError(Code.CONFIG_INVALID, cure)
    named = match["port"] is not None
    return Entry(method=method, target=target, named_port=named, path=match["path"] or "/")


def credential(said: str) -> Credential:
    """Read what is sent along to a host.

    Raises:
        DeskhandError: ``config_invalid`` or ``address_refused`` with what is wrong.
    """
    match = _CREDENTIAL.fullmatch(said)
    if match is None:
        raise DeskhandError(Code.CONFIG_INVALID, "host/path Header: text {NAME of a secret}")
    to = replace(entry(f"GET {match['where']}"), method="")
    return Credential(entry=to, header=match["header"], text=match["text"], secret=match["secret"])


def _within(path: str, prefix: str) -> bool:
    """Return whether a path lies beneath a prefix, in whichever way a server may read it."""
    path, prefix = path.partition("?")[0].rstrip("/"), prefix.rstrip("/")
    plain = unquote(unquote(path)).replace("\\", "/")
    odd = {".", "..", ""} & {part.partition(";")[0] for part in plain.split("/")[1:]}
    return not prefix or (not odd and f"{path}/".startswith(f"{prefix}/"))

"""What the owner wrote down about the internet: which hosts may be asked for what, and what is sent along to them.

An entry is ``[METHOD ]host[:port][/path-prefix]``; a credential is an entry and ``Header: text {NAME}``, with the name
of a secret. It refuses a host of many tenants without method and path, because that says nothing (NE-04).
"""

from __future__ import annotations

import re
from typing import Final

from deskhand.egress import Target, parse_target
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.hosts import is_shared, within

_ENTRY: Final = re.compile(
    r"(?:(?P<method>CONNECT|DELETE|GET|HEAD|PATCH|POST|PUT) )?"
    r"(?P<where>[^ /?]+?(?P<port>:\d+)?(?P<path>/[^ ?]*)?)"
)
_CREDENTIAL: Final = re.compile(
    r"(?P<entry>.+?) (?P<header>(?!host:)[a-z][a-z0-9-]*): "
    r"(?P<text>[^{}]*\{(?P<secret>[\w.-]+)\}[^{}]*)",
    re.IGNORECASE,
)


def entry(said: str) -> re.Match[str]:
    """Return the parts of an entry; one that names its port may lead to a private address.

    Raises:
        DeskhandError: ``config_invalid`` or ``address_refused``.
    """
    match = _ENTRY.fullmatch(said)
    if match is None:
        raise DeskhandError(Code.CONFIG_INVALID, f"{said[:100]}: host or METHOD host/path")
    host = parse_target(f"https://{match['where']}").host
    if is_shared(host) and not (match["method"] and match["path"]):
        raise DeskhandError(Code.CONFIG_INVALID, f"many share {host}; say GET {host}/WHOSE")
    return match


def credential(said: str) -> re.Match[str]:
    """Return the parts of a credential: entry, header, text and the name of the secret.

    Raises:
        DeskhandError: ``config_invalid`` or ``address_refused``.
    """
    match = _CREDENTIAL.fullmatch(said)
    if match is None:
        raise DeskhandError(Code.CONFIG_INVALID, "host/path Header: text {NAME of a secret}")
    entry(match["entry"])
    return match


def admits(said: str, method: str, target: Target) -> bool:
    """Return whether an entry speaks of such a request; a tunnel is ``CONNECT`` to ``/``."""
    match = entry(said)
    same = parse_target(f"https://{match['where']}").entry == target.entry
    return same and match["method"] in (None, method) and within(target.path, match["path"] or "/")

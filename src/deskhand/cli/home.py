"""Where state lies on this computer and who its user is to the hub. Reads only; light enough for every command.

It refuses to send the local owner's credential to any other address than the hub that wrote it.
"""

from __future__ import annotations

import os
from pathlib import Path

from deskhand.cli.client import Client
from deskhand.cli.screen import Obj, speak
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import OWNER_FILE, RUNNER_FILE, read_private


def home() -> Path:
    """Return ``DESKHAND_HOME``, or where this system keeps programs' data."""
    said = os.environ.get("DESKHAND_HOME")
    if said:
        return Path(said).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("deskhand", appauthor=False)


def client() -> Client:
    """Return who speaks to the hub of this user.

    Raises:
        DeskhandError: ``hub_unreachable`` before the first start; ``unauthorized`` for another hub without a
            token; ``home_unsafe``.
    """
    url, token = os.environ.get("DESKHAND_URL"), os.environ.get("DESKHAND_TOKEN")
    owner = read_private(home() / OWNER_FILE)
    known = str(owner["url"]).rstrip("/") if owner and owner.get("url") else None
    chosen = (url or known or "").rstrip("/")
    if not chosen:
        raise DeskhandError(Code.HUB_UNREACHABLE, "no hub was started here")
    if token is None and owner is not None and chosen == known:
        token = str(owner["token"])
    if token is None:
        raise DeskhandError(Code.UNAUTHORIZED, "DESKHAND_TOKEN")
    return Client(url=chosen, token=token)


def this_computer() -> Obj:
    """Return what this computer is to its hub.

    Raises:
        DeskhandError: ``not_found`` when it is no runner there; as :func:`client`.
    """
    known = local_runner() or {}
    for one in client().items("/v1/runners"):
        if one["id"] == known.get("device"):
            return one
    raise DeskhandError(Code.NOT_FOUND, speak.say("doctor.runner"))


def local_runner() -> Obj | None:
    """Return what this computer is as a runner, if it is one.

    Raises:
        DeskhandError: ``home_unsafe``.
    """
    return read_private(home() / RUNNER_FILE)

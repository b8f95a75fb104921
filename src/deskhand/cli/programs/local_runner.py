"""This computer as a runner of its own hub: a paired device like any other, made at the first start of ``up``."""

from __future__ import annotations

import json

from deskhand.cli.home import RUNNER_FILE, private
from deskhand.cli.programs.serving import Running
from deskhand.cli.screen import Obj
from deskhand.clock import stamp
from deskhand.hub.credentials import admit, bearer_sha256, new_token, write_private
from deskhand.ports import Store
from deskhand.protocol.authority import Principal
from deskhand.protocol.events import HUB
from deskhand.protocol.objects import Device, Role


async def ensure_local_runner(running: Running, *, name: str) -> Principal:
    """Return the runner of this home, made and written down before the hub learns of it.

    Raises:
        DeskhandError: ``home_unsafe``; what the store raises.
    """
    path, store = running.home.path, running.hub.store
    known = private(path / RUNNER_FILE)
    account = running.owner.account
    if known is None or known.get("account") != account or await _lost(store, account, known):
        known = {
            "account": account,
            "device": running.ids.new("run"),
            "token": new_token(running.ids),
            "name": name,
        }
    known = {**known, "url": running.url, "name": name}
    write_private(path / RUNNER_FILE, json.dumps(known, indent=2) + "\n")
    token_sha256 = bearer_sha256(str(known["token"]))
    device = Device(
        id=str(known["device"]),
        name=name,
        kind="runner",
        role=Role.RUNNER,
        created_at=stamp(running.clock.now()),
    )
    if await store.credential(token_sha256) is None:
        await store.write(
            account, lambda tx: admit(tx, device, token_sha256=token_sha256, actor=HUB)
        )
    return Principal(account=account, id=device.id, role=Role.RUNNER, name=name)


async def _lost(store: Store, account: str, known: Obj) -> bool:
    """Whether the device was revoked: its token stays dead, and the keyboard makes a new one."""
    token_sha256 = bearer_sha256(str(known["token"]))
    if await store.credential(token_sha256) is not None:
        return False
    return await store.get(account, Device, str(known["device"])) is not None

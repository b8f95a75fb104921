"""Secrets that let somebody in: how they look, how they are hashed, and the local owner's file.

Every secret begins with ``dhs_`` so that it can be recognised where it must not be (addresses, logs). The hub keeps
hashes only; a page's hash is over both halves and in another domain than a bearer token's, so that one can never be
used as the other. This module refuses an owner file that others may read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.ports import Credential, Draft, Store, Tx
from deskhand.protocol.authority import Principal
from deskhand.protocol.events import HUB, DeviceAdded
from deskhand.protocol.objects import Device, Role
from deskhand.store.home import sync

SECRET_PREFIX: Final = "dhs_"  # noqa: S105 - what secrets begin with, not one
SECRET: Final = re.compile(SECRET_PREFIX + r"[A-Za-z0-9_-]{20,}")
OWNER_FILE: Final = "owner.json"


def new_token(ids: Ids, size_bytes: int = 32) -> str:
    """Return a device's secret (256 bits), or a shorter one."""
    return SECRET_PREFIX + ids.secret(size_bytes)


def bearer_sha256(token: str) -> str:
    """Return what the hub keeps of a bearer token, an invitation or a claim secret."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def page_sha256(*, cookie: str, key: str) -> str:
    """Return what the hub keeps of a page's two halves."""
    return bearer_sha256(f"page\0{cookie}\0{key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOwner:
    """The owner at this computer: what the local CLI signs in with."""

    account: str
    device: str
    token: str = field(repr=False)
    url: str | None = None


def local_owner(home: Path) -> LocalOwner | None:
    """Return the owner credential of a home, or nothing before the first start.

    Raises:
        DeskhandError: ``home_unsafe`` when another user may read the file or it is damaged.
    """
    try:
        descriptor = os.open(home / OWNER_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeskhandError(Code.HOME_UNSAFE, f"{OWNER_FILE}: {error.strerror}") from None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise DeskhandError(Code.HOME_UNSAFE, f"{OWNER_FILE} must be 0600")
        try:
            return LocalOwner(**json.load(file))
        except (ValueError, TypeError):
            raise DeskhandError(Code.HOME_UNSAFE, f"{OWNER_FILE} is damaged") from None


async def ensure_owner(
    store: Store, ids: Ids, *, home: Path, name: str, url: str | None = None
) -> LocalOwner:
    """Return the home's owner, made on the first start together with the account.

    The file is written before the hub learns of it: a crash in between is mended by the next start. A revoked local
    owner gets a new device and token; the old token stays dead.

    Raises:
        DeskhandError: ``home_unsafe``; what the store raises.
    """
    known = local_owner(home)
    owner = known or LocalOwner(account=ids.new("acc"), device=ids.new("dev"), token=new_token(ids))
    let_in = await store.credential(bearer_sha256(owner.token)) is not None
    if not let_in and await store.get(owner.account, Device, owner.device) is not None:
        owner = replace(owner, device=ids.new("dev"), token=new_token(ids))
    owner = replace(owner, url=url)
    if owner != known:
        write_owner(home, owner)
    await store.create_account(owner.account)
    if not let_in:
        await store.write(owner.account, lambda tx: _admit_owner(tx, owner, name=name))
    return owner


def write_owner(home: Path, owner: LocalOwner) -> None:
    """Replace the owner file."""
    write_private(home / OWNER_FILE, json.dumps(asdict(owner), indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, all or nothing, on disk with its name."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        sync(
            path.parent
        )  # or a power cut takes the name away, and with it the way into the account
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _admit_owner(tx: Tx, owner: LocalOwner, *, name: str) -> None:
    device = Device(id=owner.device, name=name, kind="cli", role=Role.OWNER, created_at=tx.now)
    admit(tx, device, token_sha256=bearer_sha256(owner.token), actor=HUB)


def admit(tx: Tx, device: Device, *, token_sha256: str, actor: str) -> None:
    """Make a device and its way in, in the same write."""
    tx.emit(Draft(body=DeviceAdded(device=device), actor=actor))
    principal = Principal(account=tx.account, id=device.id, role=device.role, name=device.name)
    tx.add_credential(Credential(token_sha256=token_sha256, principal=principal, kind=device.kind))

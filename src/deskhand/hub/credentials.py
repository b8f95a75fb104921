"""Secrets that let somebody in: how they look, how they are hashed, and the local owner's file; and who tries them.

Every secret begins with ``dhs_`` so that it can be recognised where it must not be (addresses, logs). The hub keeps
hashes only; a page's hash is over both halves and in another domain than a bearer token's, so that one can never be
used as the other. On loopback the kernel tells which user of this machine is at the other end of a connection (Linux).
This module refuses an owner file that others may read, and to guess who somebody is.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.ports import Credential, Draft
from deskhand.protocol.authority import Principal
from deskhand.protocol.events import HUB, DeviceAdded
from deskhand.protocol.objects import Device, Role
from deskhand.secret import TOKEN_PREFIX, Secret
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import SqlStore
from deskhand.store.private import OWNER_FILE, read_private, write_private

_TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
_LOCAL, _REMOTE, _UID = 1, 2, 7
_KEYS_MAX = 10_000


def new_token(ids: Ids, size_bytes: int = 32) -> str:
    """Return a device's secret (256 bits), or a shorter one."""
    return TOKEN_PREFIX + ids.secret(size_bytes)


def bearer_sha256(token: str) -> str:
    """Return what the hub keeps of a bearer token, an invitation or a claim secret."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def page_sha256(*, cookie: str, key: str) -> str:
    """Return what the hub keeps of a page's two halves."""
    return bearer_sha256(f"page\0{cookie}\0{key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDevice:
    """A device that this computer is itself: its owner at the command line, or a runner, and the mark of its ``hub``."""

    account: str
    device: str
    token: str = field(repr=False)
    url: str | None = None
    name: str | None = None
    hub: str | None = None

    def __post_init__(self) -> None:
        """Have its way in known, so that it is written nowhere else."""
        Secret("token of this computer", self.token)


def local_device(path: Path) -> LocalDevice | None:
    """Return the device in a private file, or nothing before the first start.

    Raises:
        DeskhandError: ``home_unsafe`` when another user may read the file or it is damaged.
    """
    found = read_private(path)
    try:
        return None if found is None else LocalDevice(**found)
    except TypeError:
        raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} is damaged") from None


def write_device(path: Path, device: LocalDevice) -> None:
    """Replace the file of a device."""
    write_private(path, json.dumps(asdict(device), indent=2) + "\n")


async def ensure_owner(store: SqlStore, ids: Ids, *, home: Path, name: str, url: str | None = None) -> LocalDevice:
    """Return the home's owner, made on the first start together with the account.

    Raises:
        DeskhandError: as :func:`ensure_device`.
    """
    known = local_device(home / OWNER_FILE)
    account, device = known.account if known else ids.new("acc"), ids.new("dev")
    new = LocalDevice(account=account, device=device, token=new_token(ids), url=url, name=name)
    return await ensure_device(store, home / OWNER_FILE, new, role=Role.OWNER)


async def ensure_device(store: SqlStore, path: Path, new: LocalDevice, *, role: Role) -> LocalDevice:
    """Return the device in a file under its name and address of now; a new one if there is none in its account.

    The file is written before the hub learns of it: a crash in between is mended by the next start. A revoked device
    is replaced; the old token stays dead.

    Raises:
        DeskhandError: ``home_unsafe``; what the store raises.
    """
    known = local_device(path)
    kept = replace(known or new, url=new.url, name=new.name)
    let_in = await store.credential(bearer_sha256(kept.token)) is not None
    revoked = not let_in and await store.get(new.account, Device, kept.device) is not None
    if revoked or kept.account != new.account:
        kept, let_in = new, False
    if kept != known:
        write_device(path, kept)
    if role is Role.OWNER:
        await store.create_account(kept.account)
    if not let_in:
        await store.write(kept.account, lambda tx: _admit(tx, kept, role))
    return kept


def _admit(tx: SqlTx, local: LocalDevice, role: Role) -> None:
    kind = "runner" if role is Role.RUNNER else "cli"
    name = local.name or local.device
    device = Device(id=local.device, name=name, kind=kind, role=role, created_at=tx.now)
    admit(tx, device, token_sha256=bearer_sha256(local.token), actor=HUB)


def admit(tx: SqlTx, device: Device, *, token_sha256: str, actor: str) -> None:
    """Make a device and its way in, in the same write."""
    tx.emit(Draft(body=DeviceAdded(device=device), actor=actor))
    principal = Principal(account=tx.account, id=device.id, role=device.role, name=device.name)
    tx.add_credential(Credential(token_sha256=token_sha256, principal=principal, kind=device.kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end of the connection. ``uid`` only where the kernel tells."""

    address: str
    uid: int | None = None


def uid_of(server: tuple[str, int], client: tuple[str, int]) -> int | None:
    """Return the uid that owns the client's end of a connection to ``server``, if it is on this machine."""
    try:
        ends = [_in_table(*client), _in_table(*server)]
        version = ipaddress.ip_address(client[0]).version
        rows = _TABLES[version].read_text(encoding="ascii").splitlines()[1:]
    except (ValueError, OSError):
        return None
    found = (one for one in map(str.split, rows) if [one[_LOCAL], one[_REMOTE]] == ends)
    return next((int(one[_UID]) for one in found), None)


def _in_table(address: str, port: int) -> str:
    """Return an end of a connection as the kernel prints it: each 32-bit word in this machine's order."""
    packed = ipaddress.ip_address(address).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most ``most`` tries per key in a window of ``seconds``, which begins with the first one.

    With a ``file`` a window that is full outlives the process (AU-08); one that is not is forgotten by a restart, and
    several hubs count apart. It does not grow without end.
    """

    clock: Clock
    most: int
    seconds: float
    file: Path | None = field(default=None, kw_only=True)
    windows: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])

    def __post_init__(self) -> None:
        """Go on with what was full in the last life; a clock that was set back meanwhile begins its window anew."""
        with suppress(DeskhandError, TypeError, ValueError):
            for key, began in (read_private(self.file) or {} if self.file else {}).items():
                age = max(self.clock.now().timestamp() - float(began), 0.0)
                self.windows[key] = (self.clock.monotonic() - age, self.most)

    def count(self, key: str) -> None:
        """Note one more."""
        began, count = self.windows.pop(key, (0.0, 0))
        now = self.clock.monotonic()
        fresh = not count or now - began >= self.seconds
        self.windows[key] = (now, 1) if fresh else (began, count + 1)
        if len(self.windows) > _KEYS_MAX:
            del self.windows[next(iter(self.windows))]
        if self.file and self.windows[key][1] >= self.most:
            ago = self.clock.now().timestamp() - now
            full = {key: one + ago for key, (one, tries) in self.windows.items() if tries >= self.most}
            write_private(self.file, json.dumps(full))

    def check(self, key: str) -> None:
        """Refuse while the window is full: ``rate_limited`` with when to come back."""
        began, count = self.windows.get(key, (0.0, 0))
        left = began + self.seconds - self.clock.monotonic()
        if count >= self.most and left > 0:
            raise DeskhandError(Code.RATE_LIMITED, retry_after_seconds=left)

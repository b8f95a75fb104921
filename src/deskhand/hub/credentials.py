"""Ways in: secrets that let somebody in, the local owner's file, who tries them, and how a stranger becomes a device.

Every secret begins with ``dhs_`` so that it can be recognised where it must not be (addresses, logs). The hub keeps
hashes only; a page's hash is over both halves and in another domain than a bearer token's, so that one can never be
used as the other. It refuses an owner file that others may read, and to guess who somebody is.

Pairing takes an invitation and somebody's yes, and two secrets (security 2.3): the link carries 128 bits and may be
admitted by itself when it was shown at the machine; the six digits only file a request. Kind and role belong to the
invitation, never to who redeems it. It refuses to hand out a credential twice, and counts wrong tries per address and
for the hub as a whole; what was tried too often stays refused over a restart. Single use is decided in the store.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from deskhand import limits
from deskhand.clock import Clock, Ids, stamp, unstamp
from deskhand.egress import is_here
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Credential, Draft, Invite, Joining
from deskhand.protocol import events, objects
from deskhand.protocol import requests as wire
from deskhand.protocol.ops import Principal
from deskhand.protocol.wire import JsonObject
from deskhand.secret import TOKEN_PREFIX, Secret
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import SqlStore
from deskhand.store.private import OWNER_FILE, read_private, write_private

_KEYS_MAX = 10_000
_WHOLE_HUB = "hub"
_RECOVERY = "rec_"
_SHOWN = ("id", "kind", "role", "expires_at")
_LINK_BYTES = 16
"""128 bits, for an invitation or a waiting request."""

Claimed = tuple[wire.PairPending | wire.PairClaimed, str | None]
"""What became of a request; with a page's credential its other half, the cookie."""


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
    return await ensure_device(store, home / OWNER_FILE, new, role=objects.Role.OWNER)


async def ensure_device(store: SqlStore, path: Path, new: LocalDevice, *, role: objects.Role) -> LocalDevice:
    """Return the device in a file under its name and address of now; a new one if there is none in its account.

    The file is written before the hub learns of it: a crash in between is mended by the next start. A revoked device
    is replaced; the old token stays dead.

    Raises:
        DeskhandError: ``home_unsafe``; what the store raises.
    """
    known = local_device(path)
    kept = replace(known or new, url=new.url, name=new.name)
    let_in = await store.credential(bearer_sha256(kept.token)) is not None
    revoked = not let_in and await store.get(new.account, objects.Device, kept.device) is not None
    if revoked or kept.account != new.account:
        kept, let_in = new, False
    if kept != known:
        write_device(path, kept)
    if role is objects.Role.OWNER:
        await store.create_account(kept.account)
    if not let_in:
        await store.write(kept.account, lambda tx: _admit(tx, kept, role))
    return kept


def _admit(tx: SqlTx, local: LocalDevice, role: objects.Role) -> None:
    kind = "runner" if role is objects.Role.RUNNER else "cli"
    name = local.name or local.device
    device = objects.Device(id=local.device, name=name, kind=kind, role=role, created_at=tx.now)
    admit(tx, device, token_sha256=bearer_sha256(local.token), actor=events.HUB)


def admit(tx: SqlTx, device: objects.Device, *, token_sha256: str, actor: str) -> None:
    """Make a device and its way in, in the same write."""
    tx.emit(Draft(body=events.DeviceAdded(device=device), actor=actor))
    who = {"account": tx.account, "id": device.id, "name": device.name, "person": device.holder}
    principal = Principal(**who, role=device.role)
    tx.add_credential(Credential(token_sha256=token_sha256, principal=principal, kind=device.kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end of the connection. ``uid`` only where the kernel tells."""

    address: str
    uid: int | None = None


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


# --- pairing


class Pairing:
    """Invitations, requests and claims of one hub; a claim made for this computer counts for its user ``uid`` alone.

    ``here`` lets a folder be used where the hub shares a process with its computer's runner. ``road`` is the address
    under which a phone reaches this hub, where there is one.
    """

    def __init__(
        self,
        store: SqlStore,
        clock: Clock,
        ids: Ids,
        *,
        uid: int | None = None,
        tried: Callable[[str], Path | None] = lambda _: None,
        mark: Callable[[], str] = str,
    ) -> None:
        """Begin with all counters at nothing, but for what is in the files of what was ``tried`` too often."""
        self._store, self._clock, self._ids, self._uid, self._mark = store, clock, ids, uid, mark
        self.road = ""
        self._local: set[str] = set()
        self.here: Callable[[wire.HereAsk], Awaitable[None]] | None = None
        failures, per_code = limits.PAIR_FAILURES_PER_MINUTE_MAX, limits.INVITE_SECONDS
        self._failures = Throttle(clock, failures, 60, file=tried("pairing"))
        self._wrong_codes = Throttle(clock, limits.CODE_TRIES_MAX, per_code, file=tried("codes"))

    async def create_invite(
        self, account: str, wish: wire.InviteAsk, *, at: str = "", seconds: int = limits.INVITE_SECONDS
    ) -> wire.InviteMade:
        """Make a one-use invitation; its secret and digits are in the answer and nowhere else.

        ``at`` is where the hub is spoken to; a link to this very computer leads by the road, if there is one. A
        recovery code has no digits that could be guessed, and ends the one before it.
        """
        secret, code, name = new_token(self._ids, _LINK_BYTES), self._ids.digits(6), self._ids.new("inv")
        while await self._store.invite(code=code) is not None:
            code = self._ids.digits(6)
        if wish.recovery:
            wish, seconds = wire.InviteAsk(admits_alone=True), limits.RECOVERY_SECONDS
            code, name = new_token(self._ids), f"{_RECOVERY}{account}"
        at, mark = (self.road or at) if is_here(at) else at, self._mark()
        url = f"{at}/#join={secret}" + (f"&hub={mark}" if mark else "")
        picture = _picture(url) if wish.kind == "page" and not is_here(at) else None
        made = wire.InviteMade(
            id=name,
            invite=secret,
            code=code,
            url=url,
            picture=picture,
            kind=wish.kind,
            role=wish.role,
            expires_at=self._in(seconds),
        )
        kept = made.model_dump(exclude={"invite", "url", "picture"})
        kept |= {"secret_sha256": bearer_sha256(secret), "admits_alone": wish.admits_alone, "person": wish.person}
        invite = Invite(account=account, **kept)
        await self._store.write(account, lambda tx: tx.put_invite(invite))
        return made

    async def create_local_claim(self, account: str) -> wire.InviteMade:
        """Make the invitation with which the browser of this computer's user signs in: short, alone, same user only."""
        wish = wire.InviteAsk(kind="page", admits_alone=True)
        made = await self.create_invite(account, wish, seconds=limits.CLAIM_SECONDS)
        self._local.add(made.id)
        return made

    async def invitations(self, account: str) -> list[JsonObject]:
        """Return which ones still open something, without what opens it."""
        unused = [one for one in await self._store.invites(account) if not self._is_over(one)]
        shown = [{name: getattr(one, name) for name in _SHOWN} for one in unused]
        return [one | {"recovery": str(one["id"]).startswith(_RECOVERY)} for one in shown]

    async def close_invite(self, account: str, name: str) -> None:
        """End an invitation early, because what showed it is closed; ``not_found`` for one that never was."""

        def work(tx: SqlTx) -> None:
            invite = tx.invite(name)
            if invite is None:
                raise DeskhandError(Code.NOT_FOUND)
            if invite.used_by is None:
                tx.put_invite(replace(invite, used_by="closed"))

        await self._store.write(account, work)

    async def ask(self, wish: wire.PairAsk, *, peer: Peer) -> wire.PairAsked:
        """File a request to join; with a 128-bit invitation that admits alone it is admitted at once.

        Raises:
            DeskhandError: ``invite_invalid``, the same for wrong, used and expired; ``forbidden`` for another kind
                or role than invited; ``rate_limited``.
        """
        invite = await self._invited(wish, peer=peer)
        if (wish.kind or invite.kind) != invite.kind or (wish.role or invite.role) != invite.role:
            raise DeskhandError(Code.FORBIDDEN, "kind and role belong to the invitation")
        secret, match = new_token(self._ids, _LINK_BYTES), self._ids.digits(4)
        request = objects.PairRequest(
            id=self._ids.new("req"),
            name=wish.name,
            kind=invite.kind,
            role=objects.Role(invite.role),
            person=invite.person,
            match=match,
            asked_at=stamp(self._clock.now()),
        )
        joining = Joining(
            request=request.id,
            account=invite.account,
            invite=invite.id,
            secret_sha256=bearer_sha256(secret),
            public_key=wish.public_key,
            expires_at=self._in(limits.INVITE_SECONDS),
        )
        alone = invite.admits_alone and wish.invite is not None
        await self._store.write(invite.account, lambda tx: _file(tx, request, joining, alone=alone))
        self._stays_local(invite.id, request.id)
        return wire.PairAsked(request=request.id, secret=secret, match=match, expires_at=joining.expires_at)

    async def claim(self, wish: wire.PairClaim, *, peer: Peer) -> Claimed:
        """Return what became of a request; once admitted, make the device and hand out its credential, once.

        Raises:
            DeskhandError: ``invite_invalid`` for unknown, wrong, expired and already claimed; ``forbidden`` when
                it was refused; ``rate_limited``.
        """
        self._failures.check(peer.address)
        joining = await self._store.joining(wish.request)
        known, account = (joining.secret_sha256, joining.account) if joining else ("", "")
        right = hmac.compare_digest(known, bearer_sha256(wish.secret))
        request = await self._store.get(account, objects.PairRequest, wish.request)
        if not (joining and request and right) or self._expired(joining.expires_at):
            self._failures.count(peer.address)
            raise DeskhandError(Code.INVITE_INVALID)
        if request.state == "waiting":
            return wire.PairPending(match=request.match), None
        if request.state == "refused":
            raise DeskhandError(Code.FORBIDDEN, "refused")
        return await self._hand_out(joining, request)

    async def _invited(self, wish: wire.PairAsk, *, peer: Peer) -> Invite:
        """Return the live invitation that a wish is about; a wrong one counts against its address."""
        if (wish.invite is None) == (wish.code is None):
            raise DeskhandError(Code.INVALID, "either invite or code", field="invite")
        counters = [(self._failures, peer.address)]
        if wish.code is not None:
            # The digits alone are guessable, so strangers share one budget; the link stays open meanwhile.
            counters += [(self._failures, _WHOLE_HUB), (self._wrong_codes, peer.address)]
        for counter, key in counters:
            counter.check(key)
        if wish.invite is not None:
            invite = await self._store.invite(secret_sha256=bearer_sha256(wish.invite))
        else:
            invite = await self._store.invite(code="".join((wish.code or "").split()))
        # A claim made for this user's browser is nothing for another user of the machine.
        foreign = invite and invite.id in self._local and peer.uid not in {None, self._uid}
        if invite is None or self._is_over(invite) or foreign:
            for counter, key in counters:
                counter.count(key)
            raise DeskhandError(Code.INVITE_INVALID)
        return invite

    async def _hand_out(self, joining: Joining, request: objects.PairRequest) -> Claimed:
        token = new_token(self._ids)
        cookie = new_token(self._ids) if request.kind == "page" else None
        kept = page_sha256(cookie=cookie, key=token) if cookie else bearer_sha256(token)
        device = objects.Device(
            id=self._ids.new("run" if request.kind == "runner" else "dev"),
            name=request.name,
            kind=request.kind,
            role=request.role,
            person=request.person,
            public_key=joining.public_key,
            created_at=stamp(self._clock.now()),
        )

        def work(tx: SqlTx) -> None:
            now = tx.joining(joining.request)
            if now is None or now.device is not None:
                raise DeskhandError(Code.INVITE_INVALID)
            admit(tx, device, token_sha256=kept, actor=events.HUB)
            tx.put_joining(replace(now, device=device.id))

        await self._store.write(joining.account, work)
        self._stays_local(request.id, device.id)
        answer = wire.PairClaimed(
            token=token, device=device.id, account=joining.account, kind=device.kind, role=device.role
        )
        return answer, cookie

    async def use_here(self, device: str, wish: wire.HereAsk, *, peer: Peer) -> None:
        """Let the browser that came in through the claim of this computer's user widen what may be used on it.

        Raises:
            DeskhandError: ``forbidden`` for everybody else; why a folder may not be used.
        """
        if self.here is None or device not in self._local or peer.uid != self._uid:
            raise DeskhandError(Code.FORBIDDEN, "deskhand folders add")
        await self.here(wish)

    def _stays_local(self, before: str, after: str) -> None:
        """What comes of the claim of this computer's user is theirs too."""
        if before in self._local:
            self._local = self._local - {before} | {after}

    def _in(self, seconds: int) -> str:
        return stamp(self._clock.now() + timedelta(seconds=seconds))

    def _is_over(self, invite: Invite) -> bool:
        kept = limits.RECOVERY_SECONDS if invite.id.startswith(_RECOVERY) else limits.INVITE_SECONDS
        return self._expired(invite.expires_at, kept)

    def _expired(self, at: str, kept: float = limits.INVITE_SECONDS) -> bool:
        """Whether its time is over, or so far away as it can only be by a clock that was set back since."""
        left = (unstamp(at) - self._clock.now()).total_seconds()
        return not 0 < left <= 2 * kept


def write_claim_page(home: Path, *, url: str, secret: str) -> Path:
    """Write the page that the browser is opened on, so that the secret never stands in an argv.

    Remove it after ``CLAIM_SECONDS`` or as soon as the claim was used.
    """
    target = html.escape(f"{url}/#claim={secret}", quote=True)
    path = home / "open-deskhand.html"
    write_private(
        path,
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
        f'<title>Deskhand</title><meta http-equiv="refresh" content="0;url={target}">\n',
    )
    return path


def _picture(url: str) -> str:
    """Return a link for a camera, as an image in a ``data:`` address."""
    import segno  # noqa: PLC0415 - a tenth of a second that most starts do not need

    return segno.make_qr(url, error="l").svg_data_uri(light="#fff", omitsize=True)


def _file(tx: SqlTx, request: objects.PairRequest, joining: Joining, *, alone: bool) -> None:
    """Use the invitation up and note the request, in one write: of two at once, one finds it used."""
    invite = tx.invite(joining.invite)
    if invite is None or invite.used_by is not None:
        raise DeskhandError(Code.INVITE_INVALID)
    for one in tx.find(objects.PairRequest, states=("waiting",)):
        kept = tx.joining(one.id)
        if kept is None or kept.expires_at <= tx.now:
            _emit(tx, events.PairDecided(request=one.id, state="refused"))
    if len(tx.find(objects.PairRequest, states=("waiting",))) >= limits.PAIR_PENDING_MAX:
        # More than people could look at.
        raise DeskhandError(Code.RATE_LIMITED, "requests wait", retry_after_seconds=60)
    _emit(tx, events.PairRequested(request=request))
    if alone:
        _emit(tx, events.PairDecided(request=request.id, state="admitted"))
    tx.put_invite(replace(invite, used_by=request.id))
    tx.put_joining(joining)


def _emit(tx: SqlTx, body: events.PairDecided | events.PairRequested) -> None:
    tx.emit(Draft(body=body, actor=events.HUB, audience="owner"))

"""The hub, composed: log, fan-out, dispatch, deliveries, and what every road in may ask of it. No HTTP here.

It refuses to work on a task itself, and to know what a runner is made of.

Files on their way in are resumable and bound to the principal that sends them. Size is said first and reserved against
the quota; one writer at a time; the type is what the bytes are, never what the sender says (its name only decides
between kinds of plain text, and nothing is called what a browser would run). How far an upload is, the disk knows: an
answer that got lost is not sent twice.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath, PureWindowsPath

from deskhand import limits
from deskhand.clock import Clock, Ids, stamp, unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.hub.credentials import Pairing, Throttle
from deskhand.hub.delivering import Courier, Roads
from deskhand.hub.submitting import Submitter, dispatch
from deskhand.hub.timing import Alarm, Attendance, Sweeper
from deskhand.ports import Blobs, Frame, Notifier, Page
from deskhand.protocol import objects, wire
from deskhand.protocol.objects import LinkState, Role, Upload
from deskhand.protocol.ops import Op, OpResult, Principal
from deskhand.protocol.signing import hub_of
from deskhand.protocol.tasks import FINAL, OPEN, Approval, FileRef, Question, Task
from deskhand.store.opening import SqlStore
from deskhand.texts import table

TYPES = table("deskhand.hub", "types.toml")
OCTETS = "application/octet-stream"
PLAIN = "text/plain"
_ID_BYTES = 16
_LOOK_BYTES = 4096
_SNAPSHOT_TRIES = 5
_RECENT = 200


@dataclass(eq=False, kw_only=True)
class Hub:
    """One hub process. ``start`` before use; ``stop`` ends streams and the courier.

    ``spread`` gives random numbers from 0 to 1; ``names`` are the hosts and origins it answers to, beside loopback.
    """

    store: SqlStore
    blobs: Blobs
    clock: Clock
    ids: Ids
    notifiers: Mapping[str, Notifier]
    spread: Callable[[], float]
    roads: Roads = tuple
    names: tuple[str, ...] = ()
    prove: Callable[[str], wire.Json] = lambda _: None
    """Signs a word of whoever wants to know whether this is the hub that they know (PA-09)."""
    home: Path | None = None
    """Where what strangers tried too often is kept; without one it is forgotten with the process."""

    def __post_init__(self) -> None:
        """Wire the services; nothing runs yet."""
        store, blobs, clock = self.store, self.blobs, self.clock
        self.uploads = Uploads(store=store, blobs=blobs, clock=clock, ids=self.ids)
        self.pairing = Pairing(store, clock, self.ids, uid=os.getuid(), tried=self.tried, mark=self.mark)
        self.attendance = Attendance(store=store, clock=clock, moved=self._dispatch)
        self.streams = self.attendance.streams
        self.stream = self.streams.stream
        most, seconds = limits.APPROVAL_TRIES_MAX, limits.APPROVAL_TRIES_SECONDS
        guesses = Throttle(clock, most, seconds, file=self.tried("approvals"))
        hear = self.attendance.hear
        submitter = Submitter(store=store, blobs=blobs, ids=self.ids, guesses=guesses, hear=hear, roads=self.roads)
        self.submit, self.do = submitter.submit, submitter.do
        self.courier = Courier(
            store=store, clock=clock, ids=self.ids, notifiers=self.notifiers, roads=self.roads, spread=self.spread
        )
        self.courier.screens = self.streams.screens
        self.alarm = Alarm(store=store, clock=clock, give_out=self._give_out)
        self.sweeper = Sweeper(store=store, clock=clock, blobs=blobs)
        self._loops = (self.courier, self.alarm, self.sweeper, self.attendance)
        for one in self._loops:
            store.on_commit(one.look_at)
        self._running: list[asyncio.Task[None]] = []

    def tried(self, what: str) -> Path | None:
        """Return the file of a counter of wrong tries."""
        return self.home / f"tried-{what}.json" if self.home else None

    def mark(self) -> str:
        """Return the fingerprint by which this hub is told from others; empty where it cannot prove itself."""
        nonce = self.ids.secret(16)
        return hub_of(said, nonce) if (said := self.prove(nonce)) else ""

    async def start(self) -> None:
        """Begin to deliver and to note who is there: nobody, so far."""
        await self.store.lose_links()
        self._running = [asyncio.ensure_future(one.run()) for one in self._loops]

    async def stop(self) -> None:
        """End streams first, then what runs; the store is the caller's to close."""
        self.streams.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running = []

    async def going(self, state: LinkState) -> None:
        """Tell everybody who listens that this machine sleeps now, or is switched off."""
        self.streams.say_bye("asleep" if state == "asleep" else "stopped")

    async def sync(self, principal: Principal, *, after: int, limit: int, wait: float) -> Page:
        """Return the next events as one page; with none, wait up to ``wait`` seconds for some."""
        page = await self.store.events(principal, after=after, limit=limit)
        if page.events or wait <= 0:
            return page
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                async for frame in self.stream(principal, after=page.looked_at):
                    if frame.kind == "event":
                        break
        return await self.store.events(principal, after=after, limit=limit)

    async def snapshot(self, principal: Principal) -> bytes:
        """Return where a device starts from, as JSON: the cursor, and the objects it shows first.

        Objects go out as the text they are stored as. They are read again when the log moved meanwhile, because the
        stream after the cursor must not fold into them what they already hold.
        """
        account = principal.account
        cursor, lists = 0, dict[str, list[str]]()
        for _ in range(_SNAPSHOT_TRIES):
            cursor, lists = await self.store.head(account), await self._lists(principal)
            if cursor == await self.store.head(account):
                break
        me = await self.store.get(account, objects.Device, principal.id)
        parts = {
            "cursor": str(cursor),
            "incarnation": json.dumps(await self.store.incarnation(account)),
            "me": me.model_dump_json(exclude_none=True) if me else "null",
            **{name: f"[{','.join(found)}]" for name, found in lists.items()},
            "read": json.dumps(await self._read(principal)),
        }
        said = ",".join(f'"{name}":{text}' for name, text in parts.items())
        return f"{{{said}}}".encode()

    async def _read(self, reader: Principal) -> dict[str, int]:
        """Return how far each thread was read, on whichever device of the same person."""
        known = await self.store.find(reader.account, objects.Device, limit=limits.LIST_LIMIT_MAX)
        mine = {one.id for one in known if one.holder == reader.person} | {reader.id}
        marks = [mark for one in mine for mark in (await self.store.read_marks(reader.account, one)).items()]
        return dict(sorted(marks, key=lambda mark: mark[1]))

    async def _lists(self, principal: Principal) -> dict[str, list[str]]:
        account = principal.account

        async def some(kind: type[wire.Wire], *states: str, limit: int = _RECENT) -> list[str]:
            return await self.store.texts(account, kind, reader=principal, states=states, limit=limit)

        presence = (await self.store.presence(account)).values()
        owner = principal.role is Role.OWNER
        return {
            # An old conversation that goes on is among the first that a person looks for.
            "threads": await self.store.texts(account, objects.Thread, reader=principal, latest=True, limit=_RECENT),
            "tasks": await some(Task, *OPEN, limit=500) + await some(Task, *(state.value for state in FINAL)),
            "approvals": await some(Approval, "open"),
            "questions": await some(Question, "open"),
            "runners": await some(objects.Runner),
            "presence": [one.model_dump_json(exclude_none=True) for one in presence],
            "folders": await some(objects.Folder, "granted"),
            "devices": await some(objects.Device),
            "pair_requests": await some(objects.PairRequest, "waiting") if owner else [],
            "settings": await some(objects.Setting),
        }

    async def store_blob(self, data: AsyncIterator[bytes], *, sha256: str) -> int:
        """Store bytes before an event names them and return how many; their hash must be the one announced."""
        stored, size = await self.blobs.put(data, limit=limits.ARTIFACT_BYTES_MAX)
        if stored != sha256:
            raise DeskhandError(Code.CONFLICT, "the bytes are not what was announced")
        return size

    async def file_of(self, reader: Principal, file: str) -> FileRef:
        """Return a file that came with one of the newest tasks that the reader may see, or ``not_found``."""
        works, most = reader.role is Role.RUNNER, limits.LIST_LIMIT_MAX
        sees, states = (None, OPEN) if works else (reader, ())
        found = await self.store.find(reader.account, Task, reader=sees, states=states, limit=most)
        refs = (ref for task in found if not works or task.runner == reader.id for ref in task.files)
        if (ref := next((ref for ref in refs if ref.id == file), None)) is None:
            raise DeskhandError(Code.NOT_FOUND, file)
        return ref

    async def _dispatch(self, account: str) -> None:
        """Give a computer that came up what waited for it; tell of a task whose computer went."""
        self.alarm.watch(account)
        await self._give_out(account)

    async def _give_out(self, account: str) -> None:
        await self.store.write(account, lambda tx: dispatch(tx, ids=self.ids, roads=self.roads))


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """All uploads of one hub."""

    store: SqlStore
    blobs: Blobs
    clock: Clock
    ids: Ids
    written_now: set[str] = field(default_factory=set[str])

    async def create(self, me: Principal, *, name: str, size: int) -> Upload:
        """Reserve room for a file; ``too_large`` for one file or for the quota."""
        if size > (most := limits.UPLOAD_BYTES_MAX):
            raise DeskhandError(Code.TOO_LARGE, f"{most} bytes", field="Upload-Length")
        upload = Upload(
            id=f"upl_{self.ids.secret(_ID_BYTES)}",
            name=plain_name(name),
            size=size,
            offset=0,
            media_type=OCTETS,
            expires_at=stamp(self.clock.now() + timedelta(seconds=limits.UPLOAD_KEPT_SECONDS)),
        )
        await self.store.create_upload(me.account, me.id, upload)
        return upload if size else await self.look(me, upload.id)

    async def look(self, me: Principal, name: str) -> Upload:
        """Return an upload with the offset that is on disk; whole bytes that nobody named yet become a file.

        Somebody else's and an expired one are ``not_found``.
        """
        upload = await self._known(me, name)
        unnamed = upload.sha256 is None and upload.offset == upload.size
        if unnamed and name not in self.written_now:
            return await self.append(me, name, _nothing(), offset=upload.offset)
        return upload

    async def append(self, me: Principal, name: str, chunks: AsyncIterator[bytes], *, offset: int) -> Upload:
        """Add bytes at the offset; the last ones make it a file.

        Raises:
            DeskhandError: ``not_found``; ``conflict`` while another request writes; ``upload_offset``;
                ``too_large``; ``disk_full``.
        """
        if name in self.written_now:
            raise DeskhandError(Code.CONFLICT, "another request writes this upload")
        self.written_now.add(name)
        try:
            upload = await self._known(me, name)
            if offset != upload.offset:
                raise DeskhandError(Code.UPLOAD_OFFSET, str(upload.offset))
            if upload.sha256 is not None:
                return upload
            reached = await self.blobs.append(name, chunks, offset=offset, limit=upload.size)
            if reached < upload.size:
                return upload.but(offset=reached)
            sha256, _ = await self.blobs.finish(name)
            came = {"sha256": sha256, "media_type": await sniff_blob(self.blobs, sha256, upload.name)}
            await self.store.finish_upload(me.account, name, **came)
            return upload.but(offset=reached, **came)
        finally:
            self.written_now.discard(name)

    async def _known(self, me: Principal, name: str) -> Upload:
        upload = await self.store.upload(me.account, me.id, name)
        if upload is not None and upload.sha256 is not None:
            return upload.but(offset=upload.size)
        if upload is None or unstamp(upload.expires_at) <= self.clock.now():
            raise DeskhandError(Code.NOT_FOUND)
        return upload.but(offset=await self.blobs.partial(upload.id))


def plain_name(name: str) -> str:
    """Return the last part of a name, without anything that shows or acts as something else (UP-03)."""
    last = PureWindowsPath(PurePosixPath(name).name).name
    shown = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    return shown[-limits.NAME_CHARS_MAX :] or "file"


async def _nothing() -> AsyncIterator[bytes]:
    """Yield no bytes."""
    for none in ():
        yield none


async def sniff_blob(blobs: Blobs, sha256: str, name: str) -> str:
    """Return the media type of stored bytes, from the first of them."""
    size = min(blobs.size(sha256) or 0, _LOOK_BYTES)
    beginning = b"".join([chunk async for chunk in blobs.open(sha256, start=0, size=size)])
    known = (one["type"] for one in TYPES["magic"] if beginning.startswith(one["bytes"].encode("latin-1"), one["at"]))
    found = next(known, None) or (PLAIN if _is_text(beginning) else OCTETS)
    return TYPES["named"].get(found, {}).get(PurePosixPath(name.lower()).suffix, found)


def _is_text(beginning: bytes) -> bool:
    try:
        # Not the end of the file, perhaps: a letter may be cut where we stopped looking.
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False


class Participant:
    """A participant in the same process as the hub: the ``Link`` of ``deskhand up``, without HTTP in between.

    It passes objects, not bytes, and otherwise goes through the very same doors as HTTP does.
    """

    def __init__(self, hub: Hub, principal: Principal) -> None:
        """Speak as ``principal``."""
        self._hub, self._principal = hub, principal

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Send ops and return their results, in order."""
        return await self._hub.submit(self._principal, ops)

    def stream(self, *, after: int) -> AsyncGenerator[Frame]:
        """Yield frames after a cursor until the hub stops."""
        return self._hub.stream(self._principal, after=after)

    async def upload_blob(self, data: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store bytes; again is nothing.

        Raises:
            DeskhandError: ``conflict`` when the bytes are not what was announced.
        """
        if self._hub.blobs.size(sha256) != size:
            await self._hub.store_blob(data, sha256=sha256)

    async def download_file(self, file: str) -> AsyncGenerator[bytes]:
        """Yield the bytes of an upload that came with a message of a task of this runner."""
        found = await self._hub.file_of(self._principal, file)
        async for chunk in self._hub.blobs.open(found.sha256):
            yield chunk

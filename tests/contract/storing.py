"""What the store's tests share: a still clock, drafts, and one box per kind of database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, text

from deskhand.clock import stamp
from deskhand.ports import (
    Audience,
    Committed,
    Credential,
    Draft,
    Invite,
    PlannedDelivery,
    PushSubscription,
)
from deskhand.protocol.events import ArtifactCreated, DeviceAdded, MessagePosted, TaskCreated, ThreadCreated, body_of
from deskhand.protocol.objects import Delivery, Device, Origin, Role, Thread, Trust, Upload
from deskhand.protocol.ops import Principal
from deskhand.protocol.tasks import Artifact, FileRef, Task, TaskState
from deskhand.store import tables
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import SqlStore, open_sqlite_store
from deskhand.testing import golden
from deskhand.testing.memory_store import open_memory_disk, open_memory_store

A, B = "acc_a", "acc_b"
PHONE = "dev_phone"
OWNER = Principal(account=A, id="dev_any", role=Role.OWNER)
PAGE = Origin(surface="page", device=PHONE)
START = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


class StillClock:
    """Wall time that moves only when told."""

    def __init__(self) -> None:
        """Begin at a fixed moment."""
        self.moment = START

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return the same as seconds."""
        return self.moment.timestamp()

    def elapsed(self) -> float:
        """Return the same: this machine never sleeps."""
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Move the moment."""
        self.moment += timedelta(seconds=seconds)

    def later(self, seconds: float) -> str:
        """Return the stamp of a moment to come."""
        return stamp(self.moment + timedelta(seconds=seconds))


@dataclass(slots=True, kw_only=True)
class Box:
    """An open store, the hand that may spoil its rows, and how to open it once more."""

    store: SqlStore
    clock: StillClock
    engine: Engine
    again: Callable[[], SqlStore]

    def spoil(self, statement: str, **values: object) -> None:
        """Change rows behind the store's back."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def one(self, query: str, **values: object) -> object:
        """Read one value behind the store's back."""
        with self.engine.begin() as connection:
            return connection.execute(text(query), values).scalar()


def memory_box() -> Box:
    """Make a box in memory, written inline."""
    clock, disk = StillClock(), open_memory_disk()
    again = lambda: open_memory_store(disk, clock)  # noqa: E731 - shorter than a function
    return Box(store=again(), clock=clock, engine=disk, again=again)


def sqlite_box(path: Path, spoiling: Engine) -> Box:
    """Make a box on a file, written by a thread."""
    clock = StillClock()
    again = lambda: open_sqlite_store(path, clock)  # noqa: E731 - shorter than a function
    return Box(store=again(), clock=clock, engine=spoiling, again=again)


# --- drafts and objects ------------------------------------------------------------------------------------------


def thread(name: str = "thr_1", *, person: str | None = None) -> Draft:
    """Begin a conversation."""
    return Draft(body=ThreadCreated(title=f"About {name}", person=person), actor=PHONE, thread=name)


def said(
    words: str = "hello",
    *,
    thread: str | None = "thr_1",
    files: tuple[FileRef, ...] = (),
    audience: Audience = "account",
    runner: str | None = None,
) -> Draft:
    """Say something."""
    body = MessagePosted(message="msg_1", role="user", text="", origin=PAGE, trust=Trust.OWNER)
    body = body.but(text=words, files=files)
    return Draft(body=body, actor=PHONE, thread=thread, audience=audience, runner=runner)


def task(name: str = "tsk_1", *, thread: str = "thr_1") -> Draft:
    """Delegate something."""
    made = Task(
        id=name,
        thread=thread,
        title="Sort it",
        text="Sort it",
        state=TaskState.QUEUED,
        agent="commands",
        origin=PAGE,
        trust=Trust.OWNER,
        created_by=PHONE,
        created_at=stamp(START),
    )
    return Draft(body=TaskCreated(task=made), actor=PHONE, thread=thread, task=name)


def artifact(name: str = "art_1", *, task: str = "tsk_1", sha256: str = "ab" * 32) -> Draft:
    """Make a file result."""
    made = Artifact(
        id=name,
        task=task,
        name="list.csv",
        media_type="text/csv",
        size=3,
        sha256=sha256,
        runner="run_1",
        path="/home/me/list.csv",
        origin=PAGE,
        trust=Trust.OWNER,
        created_at=stamp(START),
    )
    return Draft(body=ArtifactCreated(epoch=1, artifact=made), actor="run_1", task=task)


def device(name: str = PHONE) -> Draft:
    """Let a device act for the account."""
    made = Device(id=name, name=name, kind="page", role=Role.OWNER, created_at=stamp(START))
    return Draft(body=DeviceAdded(device=made), actor="hub")


def upload(name: str = "upl_1", *, size: int = 10) -> Upload:
    """Make an upload that has just begun."""
    return Upload(
        id=name,
        name="notes.txt",
        size=size,
        offset=0,
        media_type="text/plain",
        expires_at=stamp(START + timedelta(hours=24)),
    )


def file_ref(name: str = "upl_1") -> FileRef:
    """Name an upload in a message."""
    return FileRef(id=name, name="notes.txt", size=10, sha256="cd" * 32, media_type="text/plain")


def subscription(name: str = "sub_1", *, device: str = PHONE, account: str = A) -> PushSubscription:
    """Make a push subscription with an endpoint of its own."""
    return PushSubscription(
        id=name,
        account=account,
        device=device,
        endpoint=f"https://push.example/{account}/{name}",
        p256dh="key",
        auth="auth",
    )


def planned(name: str = "dlv_1", *, tag: str = "tsk_1", at: str, subscription: str | None = "sub_1") -> PlannedDelivery:
    """Plan a notification."""
    delivery = Delivery.from_json(
        {
            "id": name,
            "class": "finished",
            "road": "webpush",
            "device": PHONE,
            "task": "tsk_1",
            "tag": tag,
            "fate": "planned",
            "at": at,
        }
    )
    return PlannedDelivery(delivery=delivery, subscription=subscription)


def credential(token: str = "11" * 32, *, who: str = PHONE, account: str = A) -> Credential:
    """Make a way in."""
    principal = Principal(account=account, id=who, role=Role.OWNER, name="phone")
    return Credential(token_sha256=token, principal=principal, kind="page")


def invite(name: str = "inv_1", *, account: str = A) -> Invite:
    """Make an invitation."""
    return Invite(
        id=name,
        account=account,
        secret_sha256=f"secret of {name}",
        code="123456",
        kind="page",
        role="owner",
        admits_alone=False,
        expires_at=stamp(START + timedelta(minutes=10)),
    )


def story(log: str) -> list[Draft]:
    """Return a golden log as drafts, without the kind that nobody knows."""
    return [
        Draft(body=body, actor=event.actor, thread=event.thread, task=event.task)
        for event in golden.LOGS[log]()
        if (body := body_of(event)) is not None
    ]


# --- doing -------------------------------------------------------------------------------------------------------


async def emit(store: SqlStore, *drafts: Draft, account: str = A) -> list[int]:
    """Append drafts in one write; return their seqs."""

    def work(tx: SqlTx) -> list[int]:
        return [tx.emit(draft).seq for draft in drafts]

    return await store.write(account, work)


async def emit_each(store: SqlStore, *drafts: Draft, account: str = A) -> None:
    """Append drafts, a write for each."""
    for draft in drafts:
        await emit(store, draft, account=account)


async def begun(store: SqlStore) -> None:
    """Begin both accounts, with one conversation and one task in the first."""
    for account in (A, B):
        await store.create_account(account)
    await emit(store, thread(), task())


async def until(seen: list[Committed], count: int) -> None:
    """Wait for the state "hooks saw this many events"."""
    while len(seen) < count:  # noqa: ASYNC110 - the hook is a plain function of the test
        await asyncio.sleep(0.005)  # noqa: TID251 - waits for another thread or process, not for time


def title(tx: SqlTx, name: str = "thr_1") -> str | None:
    """Read a thread's title inside a write."""
    found = tx.get(Thread, name)
    return found.title if found else None


def drift(connection: Connection) -> list[object]:
    """Return where revisions and metadata differ in tables and columns: rules and indexes are in the revisions alone."""

    def told(_: object, __: object, kind: str, *___: object) -> bool:
        return kind in {"table", "column"}

    context = MigrationContext.configure(connection, opts={"include_object": told})
    return compare_metadata(context, tables.metadata)

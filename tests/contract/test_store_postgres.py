"""What several hub processes on one PostgreSQL must do, and how many round trips a write costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed
from deskhand.protocol.ops import Op, OpResult
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import SqlStore, open_postgres_store
from tests.contract.round_trips import CountingProxy
from tests.contract.storing import OWNER, A, B, Box, StillClock, begun, drift, emit, said, thread, title, until
from tests.postgres import Cluster

pytestmark = [pytest.mark.needs("postgresql"), pytest.mark.timeout(60)]


@pytest.fixture
async def other(postgres: Box) -> AsyncIterator[SqlStore]:
    """A second hub process on the same log."""
    opened = postgres.again()
    yield opened
    await opened.close()


def tell_nobody(_: object, __: str) -> None:
    """Stand where other hubs are woken."""


async def test_hubs_wake_each_other_and_both_see_one_order(postgres: Box, other: SqlStore) -> None:
    """Every hub's hooks get every event once, in log order, whoever wrote it (R5); none looks by itself here."""
    await begun(postgres.store)
    seen: tuple[list[Committed], list[Committed]] = ([], [])
    postgres.store.on_commit(seen[0].extend)
    other.on_commit(seen[1].extend)

    await asyncio.gather(*(emit(store, said(str(turn))) for turn in range(40) for store in (postgres.store, other)))
    await until(seen[0], 80)
    await until(seen[1], 80)

    page = await postgres.store.events(OWNER, after=2, limit=500)
    orders = [[item.event.seq for item in hooked if item.event.seq > 2] for hooked in seen]
    assert orders == [list(range(3, 83))] * 2
    assert [event.seq for event in page.events] == list(range(3, 83))
    assert await other.verify(A) == []


async def test_a_lost_wake_up_is_found_by_looking(postgres: Box, postgres_url: str) -> None:
    """NOTIFY is a hint; the log is the truth."""
    await begun(postgres.store)
    seen: list[Committed] = []
    looking = open_postgres_store(postgres_url, StillClock(), offload=asyncio.to_thread, look_seconds=0.25)
    looking.on_commit(seen.extend)
    postgres.store.writer._committed = tell_nobody  # type: ignore[attr-defined] - its commits tell nobody

    await emit(postgres.store, said("unheard"))
    await until(seen, 1)

    await looking.close()
    assert seen[-1].event.body["text"] == "unheard"


async def test_events_of_an_account_that_another_hub_began_arrive(postgres: Box, other: SqlStore) -> None:
    """A log that began after this hub started is heard from its first event."""
    seen: list[Committed] = []
    other.on_commit(seen.extend)

    await postgres.store.create_account(B)
    await emit(postgres.store, thread("thr_b"), account=B)
    await until(seen, 1)

    assert [(item.account, item.event.seq) for item in seen] == [(B, 1)]


async def test_writes_of_many_accounts_do_not_lock_each_other(postgres: Box, other: SqlStore) -> None:
    """A commit holds one account's lock, so two hubs never wait in a ring."""
    accounts = [f"acc_{number}" for number in range(12)]
    for account in accounts:
        await postgres.store.create_account(account)

    await asyncio.gather(
        *(emit(store, thread(), account=account) for account in accounts * 5 for store in (postgres.store, other))
    )

    assert [await other.head(account) for account in accounts] == [10] * 12


async def test_the_server_going_away_is_told_and_survived(postgres: Box) -> None:
    """Cut connections are opened again; nothing is half written."""
    await begun(postgres.store)

    with postgres.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    first = await asyncio.gather(emit(postgres.store, said("cut")), return_exceptions=True)
    seqs = await emit(postgres.store, said("again"))

    assert isinstance(first[0], DeskhandError)
    assert first[0].code is Code.UNAVAILABLE
    assert seqs == [3]
    assert await postgres.store.verify(A) == []


def test_the_migrated_schema_is_the_one_in_the_tables(postgres: Box) -> None:
    """Revisions and metadata agree on PostgreSQL too."""
    with postgres.engine.connect() as connection:
        differences = drift(connection)

    assert differences == []


async def test_a_newer_schema_is_refused(postgres_cluster: Cluster) -> None:
    """An older hub never touches what a newer one wrote (R16)."""
    name = postgres_cluster.create()
    url = postgres_cluster.url(name)
    store = open_postgres_store(url, StillClock(), offload=asyncio.to_thread)
    await store.close()
    with postgres_cluster.connect(name) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DeskhandError) as refused:
        open_postgres_store(url, StillClock(), offload=asyncio.to_thread)

    postgres_cluster.drop(name)
    assert refused.value.code is Code.SCHEMA_NEWER


async def test_two_hubs_may_start_on_an_empty_database_at_once(postgres_cluster: Cluster) -> None:
    """One migrates, the other waits for it."""
    name = postgres_cluster.create()
    url, clock, opened = postgres_cluster.url(name), StillClock(), list[SqlStore]()
    loop = asyncio.get_running_loop()

    async def start() -> SqlStore:
        return open_postgres_store(url, clock, offload=asyncio.to_thread)

    def in_thread() -> None:
        opened.append(asyncio.run_coroutine_threadsafe(start(), loop).result())

    threads = [threading.Thread(target=in_thread) for _ in range(2)]
    for each in threads:
        each.start()
    await asyncio.gather(*(asyncio.to_thread(each.join) for each in threads))

    await begun(opened[0])
    assert await opened[1].head(A) == 2
    for store in opened:
        await store.close()
    postgres_cluster.drop(name)


@pytest.mark.parametrize("url", ["sqlite:///x", "not an address"])
async def test_an_address_of_something_else_is_refused(url: str) -> None:
    """A wrong setting is named, its value is not repeated."""
    with pytest.raises(DeskhandError) as refused:
        open_postgres_store(url, StillClock(), offload=asyncio.to_thread)

    assert refused.value.code is Code.CONFIG_INVALID
    assert url not in str(refused.value)


async def test_posting_a_message_takes_three_round_trips(postgres: Box, postgres_url: str) -> None:
    """Lock, look up the op, flush with the commit; counted on the wire."""
    await begun(postgres.store)
    folder = postgres_url.partition("?host=")[2]
    with CountingProxy(f"{folder}/.s.PGSQL.5432") as proxy:
        url = postgres_url.replace(folder, str(proxy.folder))
        store = open_postgres_store(url, StillClock(), offload=asyncio.to_thread, look_seconds=600)
        writer: Any = store.writer  # waking others follows the answer
        writer._committed = tell_nobody
        await store.write(A, title)  # what this process remembers of the account from then on
        for turn in range(8):  # the driver prepares statements it met five times
            await post(store, turn)
        counted = [await proxy.during(post(store, turn)) for turn in range(100, 110)]
        await store.close()

    assert sorted(counted) == [3] * 10


async def post(store: SqlStore, turn: int) -> OpResult:
    """Do what the hub does for ``message.post``: look up the op, read, emit, remember."""
    op = Op(op_id=f"op_{turn:08}", kind="message.post", thread="thr_1", body={"text": "hello"})

    def work(tx: SqlTx) -> OpResult:
        assert tx.op_result("dev_phone", op.op_id) is None
        assert title(tx) is not None
        event = tx.emit(said("hello"))
        result = OpResult(op_id=op.op_id, status="ok", seq=event.seq)
        tx.remember_op("dev_phone", op, result)
        return result

    return await store.write(A, work)

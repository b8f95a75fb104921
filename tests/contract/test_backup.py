"""Backups: whole under load, refused when a bit is wrong, and nothing of the old home comes back with them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from time import perf_counter

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.tasks import Task, TaskState
from deskhand.store import private
from deskhand.store.backup import add, read_manifest, unpack, written
from deskhand.store.opening import FILE
from deskhand.store.private import KEY_FILE, SECRETS_FILE, Safe, exchanged, open_home, place
from deskhand.testing.promises import note
from tests.contract.restoring import LANES, differences, go_back, house, talk, words_in
from tests.contract.storing import A, credential, emit, invite, planned, said, subscription

BACKUPS = int(os.environ.get("N_BACKUPS", "20"))
FLIPS = 150


@pytest.mark.timeout(60 + BACKUPS)
async def test_a_backup_taken_under_load_holds_all_that_was_acknowledged(tmp_path: Path) -> None:
    """Each one passes every check and has each word said before it began, and each file that it names (BR-01, R17)."""
    lacking: list[object] = []
    ended = asyncio.Event()
    slowest = 0.0

    async with house(tmp_path / "home") as found, asyncio.TaskGroup() as group:
        for lane in range(LANES):
            group.create_task(talk(found, lane, ended))
        for number in range(BACKUPS):
            before = set(found.words)
            made = await asyncio.to_thread(found.back_up)
            restored = tmp_path / f"copy-{number}"
            began = perf_counter()
            go_back(made, restored)
            slowest = max(slowest, perf_counter() - began)
            named = _named_files(restored)
            whole = before <= words_in(restored)
            if not whole or not named <= _files(restored) or await differences(restored):
                lacking.append(number)
        ended.set()

    figure = f"{BACKUPS} backups under {LANES} writers, {len(found.words)} words, {len(lacking)} lacking"
    note("R17", figure, runs=BACKUPS, of="backups", failing=lacking)
    assert lacking == []
    assert len(found.words) > BACKUPS


def _named_files(home: Path) -> set[str]:
    with closing(sqlite3.connect(home / FILE)) as driver:
        return {name for (name,) in driver.execute("SELECT blob FROM artifacts")}


def _files(home: Path) -> set[str]:
    return {path.name for path in (home / "blobs").rglob("*") if path.is_file()}


async def test_a_backup_with_one_wrong_bit_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    """Flipped or cut anywhere, it is called damaged and the home stays as it is (BR-03)."""
    async with house(tmp_path / "home") as found:
        await found.say("1.7")
        made = found.back_up()
    whole = made.read_bytes()
    chance = random.Random(15)
    accepted: list[object] = []

    for turn in range(FLIPS):
        spoiled, place = bytearray(whole), chance.randrange(len(whole))
        if turn % 3:
            spoiled[place] ^= 1 << chance.randrange(8)
        else:
            del spoiled[place:]
        made.write_bytes(spoiled)
        try:
            go_back(made, found.home)
        except DeskhandError as error:
            if error.code is not Code.BACKUP_DAMAGED:
                accepted.append((turn, place, error.code))
        else:
            accepted.append((turn, place))

    assert accepted == []
    assert words_in(found.home) == {"1.7"}
    assert left_behind(tmp_path) == []


def left_behind(folder: Path) -> list[str]:
    """List what an unfinished restore would leave beside a home."""
    return [path.name for path in folder.iterdir() if "restor" in path.name]


async def test_a_backup_is_refused_while_the_home_is_in_use(tmp_path: Path) -> None:
    """Nobody's ground is exchanged under their feet."""
    async with house(tmp_path / "home") as found:
        made = found.back_up()

    with open_home(found.home), pytest.raises(DeskhandError) as refused:
        go_back(made, found.home)

    assert refused.value.code is Code.HOME_LOCKED


async def test_stale_side_files_are_never_played_into_a_restored_database(tmp_path: Path) -> None:
    """A write-ahead log of the home before says nothing in the home after (BR-04)."""
    async with house(tmp_path / "home") as found:
        await found.say("before")
        made = found.back_up()
        await found.say("after")
        side = {suffix: (found.home / f"{FILE}{suffix}").read_bytes() for suffix in ("-wal", "-shm")}
    for suffix, data in side.items():
        (found.home / f"{FILE}{suffix}").write_bytes(data)

    came_to = go_back(made, found.home)

    assert words_in(found.home) == {"before"}
    assert (Path(str(came_to["aside"])) / f"{FILE}-wal").read_bytes() == side["-wal"]
    assert await differences(found.home) == []


async def test_a_backup_holds_no_secrets_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Push addresses, invitations, tokens and keys stay where they are; secrets go sealed, without their key (BR-05)."""
    async with house(tmp_path / "home") as found:
        (found.home / "owner.json").write_text("dhs_TOKEN", encoding="utf-8")
        (found.home / "signing.json").write_text("PRIVATE KEY", encoding="utf-8")
        Safe(found.home).put("host", "sk-canary")
        await found.store.put_subscription(subscription())
        await found.store.write(A, lambda tx: tx.put_invite(invite()))
        made = found.back_up()

    data = made.read_bytes()

    assert made.stat().st_mode & 0o777 == 0o600
    key = json.loads((found.home / KEY_FILE).read_bytes())["key"].encode()
    planted = (b"dhs_", b"PRIVATE KEY", b"push.example", b"secret of inv_1", b"sk-canary", key)
    assert [secret for secret in planted if secret in data] == []
    with tarfile.open(made) as tar:
        assert sorted(tar.getnames())[:2] == [FILE, "manifest.json"]
        assert SECRETS_FILE in tar.getnames()


async def test_a_restore_names_the_secrets_that_must_be_set_again(tmp_path: Path) -> None:
    """Another computer has not their key; on this one they stay as they are now, and what was forgotten stays so."""
    async with house(tmp_path / "home") as found:
        for name in ("one", "two", "vapid"):
            Safe(found.home).put(name, f"value of {name}")
        made = found.back_up()
        Safe(found.home).remove("two")

    elsewhere = go_back(made, tmp_path / "elsewhere")
    here = go_back(made, found.home)

    assert (elsewhere["secrets_locked"], here["secrets_locked"]) == (["one", "two"], [])
    assert {name for name, (_, value) in Safe(found.home).all().items() if value} == {"one", "vapid"}
    assert all(value is None for _, value in Safe(tmp_path / "elsewhere").all().values())


async def test_devices_that_stay_are_pushed_to_as_before(tmp_path: Path) -> None:
    """Their addresses come from the home that is replaced, those of a removed device do not."""
    async with house(tmp_path / "home") as found:
        await found.store.write(A, lambda tx: tx.add_credential(credential()))
        await found.store.write(A, lambda tx: tx.add_credential(credential("22" * 32, who="lost")))
        made = found.back_up()
        for name, device in (("sub_1", "dev_phone"), ("sub_2", "lost")):
            await found.store.put_subscription(subscription(name, device=device))
        await found.store.write(A, lambda tx: tx.revoke_credentials("lost"))

    came_to = go_back(made, found.home)

    with closing(sqlite3.connect(found.home / FILE)) as driver:
        kept = driver.execute("SELECT id FROM subscriptions").fetchall()
        out = driver.execute("SELECT principal FROM credentials WHERE revoked").fetchall()
    assert (came_to["all_devices"], kept, out) == (False, [("sub_1",)], [("lost",)])


async def test_what_was_due_then_is_not_sent_now(tmp_path: Path) -> None:
    """A notification of yesterday is over, and the ledger says why; a waiting task does not begin (BR-02)."""
    async with house(tmp_path / "home") as found:
        await found.store.write(A, lambda tx: tx.plan_delivery(planned(at=tx.now)))
        made = found.back_up()

    go_back(made, found.home)

    async with house(found.home, begin=False) as again:
        due = await again.store.next_delivery_at()
        (told,) = await again.store.deliveries(A, before=None, limit=10)
        task = await again.store.get(A, Task, "tsk_1")
    assert (due, told.fate, told.reason) == (None, "failed", "restored")
    assert task is not None
    assert task.state is TaskState.PAUSED


async def test_a_restored_log_has_another_name(tmp_path: Path) -> None:
    """Whoever has read the log that was replaced is told to read again: the same numbers are other events."""
    async with house(tmp_path / "home") as found:
        made = found.back_up()
        await emit(found.store, said("gone"))

    go_back(made, found.home)

    with closing(sqlite3.connect(found.home / FILE)) as driver:
        (name,) = driver.execute("SELECT incarnation FROM accounts WHERE id = ?", [A]).fetchone()
    assert re.fullmatch(r"log_\w+", name)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_home_changes_places_and_nothing_is_lost_where_the_system_cannot_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    """The home before is beside the new one; with nothing to swap it takes two steps."""
    for name in ("home", "prepared"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name, encoding="utf-8")

    def swap(one: Path, other: Path) -> bool:
        return at_once and exchanged(one, other)

    monkeypatch.setattr(private, "exchanged", swap)
    aside = place(tmp_path / "prepared", tmp_path / "home", aside=tmp_path / "before")

    found = {path.parent.name: path.read_text() for path in tmp_path.glob("*/who")}
    assert aside == tmp_path / "before"
    assert found == {"home": "prepared", "before": "home"}


async def test_a_strange_member_is_refused(tmp_path: Path) -> None:
    """A sealed file that somebody else made cannot write where it likes (FS-04)."""
    async with house(tmp_path / "home") as found:
        made = found.back_up()
    strange = tmp_path / "strange.tar"
    with written(strange) as tar:
        add(tar, "../../escaped", made)

    with pytest.raises(DeskhandError) as no_manifest:
        read_manifest(strange)
    with pytest.raises(DeskhandError) as refused:
        unpack(strange, tmp_path)

    assert {no_manifest.value.code, refused.value.code} == {Code.BACKUP_DAMAGED}
    assert not (tmp_path.parent / "escaped").exists()

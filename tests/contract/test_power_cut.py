"""A power cut takes only what nobody was told is safe: 120 of them under the hub's store and the runner's journal."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskhand.clock import Ids
from deskhand.hub.credentials import ensure_owner, local_device
from deskhand.protocol.objects import FolderMode
from deskhand.runner.ceiling import Ceiling, grant_folder
from deskhand.store.opening import FILE, open_sqlite_store
from deskhand.store.private import OWNER_FILE, open_home
from deskhand.testing.promises import note
from tests.contract.storing import StillClock
from tests.powercut.disk import Act, Change, Disk, Rule
from tests.powercut.machine import Machine
from tests.powercut.os_calls import followed
from tests.powercut.run import MEMORY, run
from tests.powercut.vfs import PowerVfs, power_vfs

pytestmark = [pytest.mark.needs("file layer"), pytest.mark.timeout(180)]
CUTS = 120
SYNCS = 20


@pytest.fixture
def vfs() -> PowerVfs:
    """The layer under SQLite."""
    layer = power_vfs()
    assert layer is not None
    return layer


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a modelled disk lies."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.mark.survives(
    "The power fails, or the computer hangs and is switched off",
    "Everything Deskhand had confirmed is still there when it starts again, on the hub and on your computer",
)
async def test_no_power_cut_takes_what_was_acknowledged(vfs: PowerVfs) -> None:
    """Rows, results of ops, files, steps and unsent ops outlive every cut, and nothing is broken (R2, BR-04)."""
    report = await run(vfs, cuts=CUTS, seed=1)

    note("R2", str(report), runs=report.cuts, of="power cuts", failing=report.failing)
    assert report.wrong == []
    assert report.cuts == CUTS
    assert report.at_stake > CUTS // 3
    assert min(report.acts["in a write"], report.acts["in a sync"]) >= 10


@pytest.mark.parametrize("weaker", ["NORMAL", "OFF"])
async def test_the_same_cuts_with_a_weaker_setting_lose_something(vfs: PowerVfs, weaker: str) -> None:
    """The control: were a commit not on the disk, these cuts would show it (R2)."""
    report = await run(vfs, cuts=15, seed=1, weaken=f"PRAGMA synchronous={weaker}")

    assert len(report.failing) >= 3
    assert any(line.startswith(("lost", "step", "cannot")) for line in report.wrong)


async def test_a_first_start_outlives_a_power_cut_a_moment_later(vfs: PowerVfs, folder: Path) -> None:
    """The folders of a new home are on the disk before anything is promised in them (R2)."""
    machine = Machine(folder, seed=1, vfs=vfs)
    await machine.live(1)

    cut = await machine.lose_power(kept=0)

    assert len(machine.said.words) > 0
    assert cut.wrong == []


async def test_who_owns_the_home_and_which_folders_are_granted_outlive_a_power_cut(
    vfs: PowerVfs, folder: Path, tmp_path: Path
) -> None:
    """Files beside the database are on the disk, name and all, before anybody relies on them (R2)."""
    work = tmp_path / "work"
    work.mkdir()
    disk_folder, left, clock = folder / "disk", folder / "left", StillClock()
    disk_folder.mkdir()
    disk = Disk(disk_folder, seed=1)
    with vfs.under(disk), followed(disk), open_home(disk_folder / "home") as home:
        store = open_sqlite_store(home / FILE, clock)
        owner = await ensure_owner(store, Ids(clock), home=home, name="laptop")
        granted = grant_folder(home, work, mode=FolderMode.WORKSPACE)
        disk.off = True
        await store.close()
    disk.survivors(left, kept=0)

    assert local_device(left / "home" / OWNER_FILE) == owner
    assert Ceiling(left / "home").entries() == (granted,)


async def test_what_a_failed_sync_left_in_the_cache_is_never_built_upon(vfs: PowerVfs) -> None:
    """Syncs fail, the process dies; the next one must not add to rows the disk never got (R2, R14)."""
    wrong: list[str] = []
    refused = 0
    for seed in range(SYNCS):
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            machine = Machine(Path(name), seed=seed, vfs=vfs)
            await machine.live(2)
            machine.disk.rule = syncs_fail_from(1 + seed % 7)
            await machine.live(1)
            refused += machine.said.refused.total()
            machine.be_killed()
            machine.disk.cut_at = machine.disk.number + 60 + 3 * seed % 150
            await machine.live(4)
            wrong += (await machine.lose_power(kept=0)).wrong

    assert wrong == []
    assert refused > SYNCS


def syncs_fail_from(number: int) -> Rule:
    """Let this sync of a log, and every later one of anything, fail."""
    left = number

    def rule(act: Act, path: Path, _: int) -> bool:
        nonlocal left
        left -= act == "sync" and path.name.endswith("-wal")
        return left <= 0 and act == "sync"

    return rule


def test_the_layer_itself_forgets_what_was_not_synced(tmp_path: Path) -> None:
    """The model is a disk: synced bytes stay, others go, torn at sectors; names need their folder's sync."""
    root = tmp_path / "disk"
    root.mkdir()
    disk = Disk(root, seed=1)
    for name in ("synced", "named"):
        (root / name).write_bytes(b"")
        disk.act("write", root / name, change=Change(0, b"a" * 1000))
        disk.act("sync", root / name)
    disk.folder_synced(root)
    disk.act("write", root / "named", change=Change(500, b"b" * 3000))
    (root / "unnamed").write_bytes(b"")
    disk.act("write", root / "unnamed", change=Change(0, b"c"))
    disk.act("sync", root / "unnamed")

    nothing, most = tmp_path / "nothing", tmp_path / "most"
    disk.survivors(nothing, kept=0)
    disk.survivors(most, kept=1)

    assert {path.name: path.read_bytes() for path in nothing.iterdir()} == {"synced": b"a" * 1000, "named": b"a" * 1000}
    torn = (most / "named").read_bytes()
    assert torn[:500] == b"a" * 500
    assert set(torn[500:]) <= set(b"ab\x00")
    assert (most / "unnamed").read_bytes() == b"c"

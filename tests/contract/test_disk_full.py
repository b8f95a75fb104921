"""A disk that is full, or fails, at any write: refused with the reason, still readable, nothing half done, and it passes."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.rules import Kind
from deskhand.ports import Done, Effect, Place, ToolResult, Turn
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import TaskState
from deskhand.protocol.wire import JsonObject
from deskhand.store.opening import open_sqlite_store
from deskhand.testing.agents import Obedient, call, wish
from deskhand.testing.promises import note
from tests.laptop import Laptop, until
from tests.powercut.disk import Disk, Rule
from tests.powercut.machine import Machine
from tests.powercut.os_calls import followed
from tests.powercut.run import MEMORY
from tests.powercut.vfs import PowerVfs, power_vfs
from tests.rim import TUS, code_of, open_rim, thread_op

pytestmark = [pytest.mark.timeout(180)]
PLACES = 12
OF_A_DECISION = 4
"""The commit by which a yes comes in."""
GROWS = frozenset({"write", "create", "mkdir", "grow"})


@pytest.fixture
def vfs() -> PowerVfs:
    """The layer under SQLite."""
    layer = power_vfs()
    assert layer is not None
    return layer


def full_from(number: int) -> Rule:
    """Let there be no room from this act on."""
    return lambda act, _, now: now >= number and act in GROWS


def broken_at(number: int) -> Rule:
    """Let one act fail, whatever it is."""
    return lambda _act, _path, now: now == number


def unsynced_from(number: int) -> Rule:
    """Let nothing be synced from this act on."""
    return lambda act, _, now: now >= number and act in {"sync", "folder"}


FAULTS = {"full": full_from, "broken once": broken_at, "never synced": unsynced_from}


@pytest.mark.needs("file layer")
async def test_a_disk_that_says_no_at_any_write_costs_only_what_was_refused(vfs: PowerVfs) -> None:
    """Refused with its reason, reads go on, nothing half done, and without a restart it works again (R14)."""
    refused: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {}
    for kind, failing in FAULTS.items():
        for place in range(PLACES):
            with tempfile.TemporaryDirectory(dir=MEMORY) as name:
                machine = Machine(Path(name), seed=place, vfs=vfs)
                await machine.live(1)
                machine.disk.full = kind == "full"
                said = await machine.live_through(failing, after=1 + 5 * place)
                said += (await machine.lose_power(kept=0)).wrong
                wrong |= {f"{kind} from act {1 + 5 * place}": said} if said else {}
                refused += Counter({f"{kind}: {code}": n for code, n in machine.said.refused.items()})

    figure = (
        f"{refused.total()} writes refused by disks that were full, broken or not synced, at {PLACES}"
        f" places each; {len(wrong)} times anything else was lost, broken or refused afterwards"
    )
    runs = PLACES * len(FAULTS)
    note("R14", figure, runs=runs, of="disk faults", failing=list(wrong))
    assert wrong == {}
    assert set(refused) == {"full: disk_full", "broken once: unavailable", "never synced: unavailable"}
    assert min(refused.values()) >= PLACES


@pytest.mark.needs("file layer")
def test_a_log_whose_index_finds_no_room_is_a_full_disk(vfs: PowerVfs, tmp_path: Path) -> None:
    """SQLite calls it an I/O error; people can do something about a full disk (R14)."""
    disk = Disk(tmp_path, seed=1)
    disk.rule = lambda act, _path, _number: act == "grow"
    with vfs.under(disk), pytest.raises(DeskhandError) as refused:
        open_sqlite_store(tmp_path / "hub.sqlite3", SystemClock())

    assert refused.value.code is Code.DISK_FULL


@dataclass(slots=True)
class Room:
    """A runner's disk that takes no commit while it is full."""

    full_when: Callable[[], bool] = lambda: False
    commits: int = 0
    refused: int = 0

    def before_commit(self) -> None:
        """Refuse while it is full."""
        self.commits += 1
        if self.full_when():
            self.refused += 1
            raise DeskhandError(Code.DISK_FULL)

    def free(self) -> None:
        """Make room."""
        self.full_when = lambda: False


@dataclass(slots=True)
class Mail:
    """A tool whose effect can neither be repeated nor looked for."""

    sent: list[str] = field(default_factory=list[str])
    name: str = "mail"
    effect: Effect = "unknown"
    writes: bool = True
    kind: Kind = "safe"

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return a file in the results place."""
        return str(place.results.root / str(arguments["path"]))

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Have the effect."""
        del place
        self.sent.append(str(arguments["path"]))
        return ToolResult(outcome="ok", value={})


@pytest.mark.survives(
    "The disk of the computer is full while it works on a task",
    "The task waits, says so, and goes on by itself when there is room; nothing is done twice",
)
@pytest.mark.parametrize("full_from", range(1, 8))
async def test_a_runner_with_a_full_disk_waits_and_goes_on_by_itself(tmp_path: Path, full_from: int) -> None:
    """At any commit: it does not end, keeps in mind what it did, says why it waits, and finishes (R4, R14)."""
    heard: list[str] = []

    def end(history: Sequence[Turn]) -> Done:
        heard[:] = [result.outcome for turn in history for result in turn.results]
        return Done(summary="x")

    mail, room = Mail(), Room()
    moves = [wish(call("list_files", path=".")), wish(call("mail", path="a")), end]
    laptop = Laptop(tmp_path, [Obedient(moves)], tools={"mail": mail})
    folder = laptop.grant(FolderMode.ASK)
    laptop.before_commit = room.before_commit
    async with laptop:
        room.commits = 0
        room.full_when = lambda: room.commits >= full_from
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(lambda: yes_to_all(laptop) or room.refused >= 3)
        ended, messages = laptop.ended, said_in(laptop, task)
        room.free()
        await until(lambda: yes_to_all(laptop) or laptop.hub.task(task).final)

    assert not ended
    assert laptop.hub.task(task).state is TaskState.COMPLETED
    assert (mail.sent, heard) == (["a"], ["ok", "ok"])
    assert laptop.hub.kinds(task).count("task.finished") == 1
    if full_from != OF_A_DECISION:  # then nothing is under way that could speak
        assert len([one for one in messages if "The disk is full" in one]) == 1


def yes_to_all(laptop: Laptop) -> bool:
    """Allow whatever is asked; return False, so that it can be done while waiting."""
    for approval in laptop.hub.approvals():
        laptop.hub.decide(approval, "allow")
    return False


def said_in(laptop: Laptop, task: str) -> list[str]:
    """Return what the system said in the conversation of a task."""
    log = laptop.hub.account.log
    return [str(one.body["text"]) for one in log if one.task == task and one.kind == "message.posted"]


def message_of(laptop: Laptop, op_id: str) -> object:
    """Return what the op with this id would have said in the conversation."""
    bodies = [op.body["body"] for op in laptop.hub.received if op.op_id == op_id]
    return bodies[0]["text"] if bodies and isinstance(bodies[0], dict) else None


async def test_a_runner_that_can_note_nothing_at_all_lives_on_and_does_not_spin(tmp_path: Path) -> None:
    """Not even what the hub took, or refused for good, can be noted: it pauses between tries, and goes on (R14).

    What it says and what it answers are messages, and each is refused and noted as refused exactly once.
    """
    laptop = Laptop(tmp_path, [Obedient([wish(call("list_files", path="."), say="Hi"), Done(summary="x")])])
    laptop.hub.faults.refuse["message.posted"] = Code.INVALID
    room, clock = Room(), SystemClock()
    laptop.before_commit = room.before_commit
    async with laptop:
        room.full_when = lambda: any(op.body.get("kind") == "message.posted" for op in laptop.hub.received)
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: room.refused)
        began = clock.monotonic()
        await until(lambda: room.refused >= 12)
        took, ended = clock.monotonic() - began, laptop.ended
        room.free()
        done = await laptop.finish(task)
        await until(lambda: len(laptop.rows.refused()) > 1)
        refused = [(message_of(laptop, op), code) for op, code in laptop.rows.refused()]

    assert not ended
    assert took > 1
    assert done.state is TaskState.COMPLETED
    assert refused == [("Hi", "invalid"), ("x", "invalid")]


async def test_an_order_that_cannot_be_stored_is_not_asked_for_without_a_pause(tmp_path: Path) -> None:
    """Each try opens a stream: they come further and further apart, until there is room (R14)."""
    laptop = Laptop(tmp_path, [Obedient([Done(summary="x")])])
    room, clock = Room(), SystemClock()
    laptop.before_commit = room.before_commit
    async with laptop:
        room.full_when = lambda: True
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: room.refused)
        began = clock.monotonic()
        await until(lambda: room.refused >= 4)
        took = clock.monotonic() - began
        room.free()
        done = await laptop.finish(task)

    assert took > 0.6
    assert done.state is TaskState.COMPLETED


@pytest.mark.needs("file layer")
async def test_a_hub_with_a_full_disk_says_so_to_every_caller_and_serves_what_it_has(
    vfs: PowerVfs, tmp_path: Path
) -> None:
    """507 with the cure for each op of a batch; lists, files and half an upload stay; then all goes on (R14)."""
    disk = Disk(tmp_path, seed=1)
    disk.full = True
    with vfs.under(disk), followed(disk):
        async with open_rim(tmp_path, on_disk=True) as rim, rim.local as cli:
            ops = {"ops": [thread_op(f"op-thread-{n}") for n in range(3)]}
            upload = await cli.post("/v1/uploads", headers=TUS | {"Upload-Length": "20"})
            place = upload.headers["Location"]
            chunk = TUS | {"Content-Type": "application/offset+octet-stream"}
            await cli.patch(place, content=b"x" * 8, headers=chunk | {"Upload-Offset": "0"})
            disk.rule = lambda act, _path, _number: act in GROWS
            refused = await cli.post("/v1/ops", json=ops)
            cut = await cli.patch(place, content=b"x" * 12, headers=chunk | {"Upload-Offset": "8"})
            listed = await cli.get("/v1/devices")
            reached = await cli.head(place, headers=TUS)
            disk.rule = lambda _act, _path, _number: False
            taken = await cli.post("/v1/ops", json=ops)
            rest = await cli.patch(place, content=b"x" * 12, headers=chunk | {"Upload-Offset": "8"})

    assert [one.status_code for one in (refused, cut)] == [507, 507]
    assert [code_of(one) for one in (refused, cut)] == ["disk_full", "disk_full"]
    assert refused.json()["error"]["cure"]
    assert (listed.status_code, reached.headers["Upload-Offset"]) == (200, "8")
    assert [one["status"] for one in taken.json()["results"]] == ["ok"] * 3
    assert (rest.status_code, rest.headers["Upload-Offset"]) == (204, "20")

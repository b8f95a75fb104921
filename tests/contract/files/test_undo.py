"""What a task did to a folder can be taken back, byte for byte, whatever it was and wherever it was killed."""

from __future__ import annotations

import itertools
import os
import signal
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import ToolResult
from deskhand.protocol.wishes import TrashFile, UndoFiles
from deskhand.tools.changing import Trash, Undoing
from deskhand.tools.undo.keeping import Checkpoints, Kept
from tests.contract.files.handles import refusal
from tests.driven import place_of

_FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, so that syncing costs nothing
DEATHS_MIN = 50

Tree = dict[str, tuple[int, bytes]]


@dataclass(kw_only=True)
class Desk:
    """A folder and the checkpoints of the tasks that work in it, one after the other."""

    base: Path
    most: int = 64 * 1024**2
    busy: set[str] = field(default_factory=set[str])

    @property
    def root(self) -> Path:
        return self.base / "work"

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(place=self.base / "checkpoints", most=lambda: self.most, busy=self.busy.__contains__)

    def work(self, task: str) -> closing[Kept]:
        return closing(self.checkpoints.open(self.root, task=task))

    def undo(self, task: str, *, by: str = "tsk_undo", **more: object) -> ToolResult:
        wish = UndoFiles.from_json({"task": task, **more})
        with self.work(by) as folder:
            return self.undoing.undo_files(wish, place_of(folder))

    def shown(self, task: str, **more: object) -> str:
        wish = UndoFiles.from_json({"task": task, **more})
        with self.work("tsk_undo") as folder:
            return self.undoing.shown_undo(wish, place_of(folder))

    @property
    def undoing(self) -> Undoing:
        return Undoing(checkpoints=self.checkpoints, trash=Trash(SystemClock()))

    def tree(self) -> Tree:
        """Return every name with its permissions and bytes, directories too."""
        return {
            str(path.relative_to(self.root)): (
                stat.S_IMODE(path.lstat().st_mode),
                path.read_bytes() if path.is_file() else b"/",
            )
            for path in sorted(self.root.rglob("*"))
        }


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder with files of several kinds."""
    return _desk(tmp_path)


def _desk(base: Path) -> Desk:
    made = Desk(base=base)
    (made.root / "notes" / "deep").mkdir(parents=True)
    (made.root / "empty").mkdir(mode=0o750)
    (made.root / "notes" / "a.md").write_text("one\ntwo\n", encoding="utf-8")
    (made.root / "notes" / "deep" / "b.bin").write_bytes(bytes(range(256)))
    (made.root / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (made.root / "run.sh").chmod(0o755)
    return made


def test_all_kinds_of_changes_are_taken_back(desk: Desk) -> None:
    """G-09: contents, permissions, names, directories and empty directories are as they were before the task."""
    before = desk.tree()
    with desk.work("tsk_1") as folder:
        folder.write("notes/a.md", b"one\n2\n")
        _set_mode(folder, "run.sh", 0o644)
        folder.remove("empty")
        folder.mkdir("new/inner")
        folder.write("new/inner/c.txt", b"c")
        folder.move("notes", "archive")
        folder.write("archive/a.md", b"again")
        folder.remove("archive/deep/b.bin")

    undone = desk.undo("tsk_1")

    assert desk.tree() == before
    assert undone.value["stays"] == []


def test_an_undo_can_be_undone(desk: Desk) -> None:
    """G-09: it is a task with a checkpoint of its own."""
    with desk.work("tsk_1") as folder:
        folder.write("notes/a.md", b"new")
        folder.move("run.sh", "notes/go.sh")
    after = desk.tree()

    desk.undo("tsk_1", by="tsk_2")
    desk.undo("tsk_2", by="tsk_3")

    assert desk.tree() == after


def test_only_what_came_after_a_step_is_taken_back(desk: Desk) -> None:
    """G-09: each step is a point to go back to."""
    with desk.work("tsk_1") as folder:
        for folder.step in (1, 2, 3):
            folder.write("notes/a.md", str(folder.step).encode())

    desk.undo("tsk_1", step=2)

    assert (desk.root / "notes" / "a.md").read_bytes() == b"2"


def test_what_somebody_changed_since_stays_unless_it_is_forced(desk: Desk) -> None:
    """G-09: a person's version is never lost: it stays, and when forced it goes into the trash."""
    with desk.work("tsk_1") as folder:
        folder.write("notes/a.md", b"task")
        folder.write("run.sh", b"task")
    (desk.root / "notes" / "a.md").write_bytes(b"person")

    shown = desk.shown("tsk_1")
    stays = desk.undo("tsk_1").value["stays"]
    kept = (desk.root / "notes" / "a.md").read_bytes()
    desk.undo("tsk_1", by="tsk_3", force=True)

    assert "notes/a.md: changed since, so it stays as it is" in shown
    assert stays == ["notes/a.md: changed since, so it stays as it is"]
    assert kept == b"person"
    assert (desk.root / "notes" / "a.md").read_bytes() == b"one\ntwo\n"
    assert [one.read_bytes() for one in desk.root.glob(".deskhand-trash/*/notes/a.md")] == [b"person"]


def test_the_diff_says_names_lines_permissions_and_what_cannot_come_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G-09: an undo shows what it would change, and what was too large to keep."""
    monkeypatch.setattr("deskhand.tools.undo.keeping.KEPT_FILE_BYTES_MAX", 100)
    with desk.work("tsk_1") as folder:
        folder.write("notes/a.md", b"one\n2\nthree\n")
        _set_mode(folder, "run.sh", 0o600)
        folder.write("notes/deep/b.bin", b"large file was here")
        folder.move("empty", "full")
        folder.write("full/new.txt", b"x\n")

    shown = desk.shown("tsk_1").splitlines()

    assert shown == [
        "- full/new.txt",
        "  @@ -1 +0,0 @@",
        "  -x",
        "full → empty",
        "notes/deep/b.bin: too large to be kept, so it stays as it is",
        "~ run.sh  600 → 755",
        "~ notes/a.md",
        "  @@ -1,3 +1,2 @@",
        "   one",
        "  -2",
        "  -three",
        "  +two",
    ]


def test_a_link_planted_since_is_not_followed(desk: Desk) -> None:
    """FS-03: an undo writes and deletes through the handle as everything does."""
    outside = desk.base / "outside"
    outside.mkdir()
    (outside / "a.md").write_bytes(b"private")
    with desk.work("tsk_1") as folder:
        folder.write("notes/a.md", b"task")
    (desk.root / "notes").rename(desk.root / "moved")
    (desk.root / "notes").symlink_to(outside)

    undone = desk.undo("tsk_1", force=True)

    assert (outside / "a.md").read_bytes() == b"private"
    assert len(undone.value["stays"]) == 1  # pyright: ignore[reportArgumentType] - a list


def _work(folder: Kept) -> None:
    """Do what a task does, of every kind."""
    folder.write("notes/a.md", b"one\n2\n")
    with folder.together():
        folder.keep(["notes", "run.sh"])
        _set_mode(folder, "run.sh", 0o644)
        folder.remove("notes/deep/b.bin")
        folder.remove("notes/deep")
    folder.remove("empty")
    folder.write("notes/deep", b"a file now")
    folder.move("notes", "archive")
    folder.mkdir("notes")
    folder.write("notes/a.md", b"another")


_POINTS = ("rename", "unlink", "rmdir", "mkdir", "write", "fsync", "open")


def _dies_at(point: int, act: Callable[[], object], *, after: bool) -> bool:
    """Act in a process that is killed at this system call, before or after it; return whether it came so far."""
    child = os.fork()
    if child == 0:
        left = itertools.count(-point)
        for name in _POINTS:
            real = getattr(os, name)

            def dying(*what: object, real: Callable[..., object] = real, **how: object) -> object:
                last = next(left) == 0
                if last and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                try:
                    return real(*what, **how)
                finally:
                    if last:
                        os.kill(os.getpid(), signal.SIGKILL)

            setattr(os, name, dying)
        try:
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_point_the_folder_can_be_brought_back(*, after: bool) -> None:
    """R4: wherever the process dies, what it changed is written down with the bytes that were there."""
    died = 0
    for point in itertools.count(1):
        with TemporaryDirectory(dir=_FAST) as base:
            desk = _desk(Path(base))
            before = desk.tree()
            if not _dies_at(point, lambda desk=desk: _worked(desk), after=after):
                break
            died += 1
            _clear(desk)

            stays = desk.undo("tsk_1").value["stays"]

            assert (point, stays, desk.tree()) == (point, [], before)
    assert died > DEATHS_MIN


@pytest.mark.parametrize("after", [False, True])
def test_an_undo_that_is_killed_at_any_point_is_finished_by_the_next(*, after: bool) -> None:
    """R4: repeated after a crash it takes back the rest, and nothing is lost."""
    died = 0
    for point in itertools.count(1):
        with TemporaryDirectory(dir=_FAST) as base:
            desk = _desk(Path(base))
            before = desk.tree()
            _worked(desk)
            if not _dies_at(point, lambda desk=desk: desk.undo("tsk_1"), after=after):
                break
            died += 1
            _clear(desk)

            desk.undo("tsk_1")

            assert (point, desk.tree()) == (point, before)
    assert died > DEATHS_MIN


def _worked(desk: Desk) -> None:
    with desk.work("tsk_1") as folder:
        _work(folder)


def _clear(desk: Desk) -> None:
    """Remove what only a killed write leaves: a name that nobody uses."""
    for rubbish in desk.root.rglob(".deskhand-*.tmp"):
        rubbish.unlink()


def test_the_oldest_checkpoints_of_finished_tasks_go_when_there_is_no_room(desk: Desk) -> None:
    """G-09: a home keeps to its budget, spares what is under way, and says what it dropped."""
    desk.most, desk.busy = 1_500, {"tsk_1"}
    for n in range(1, 5):
        with desk.work(f"tsk_{n}") as folder:
            folder.write("notes/deep/b.bin", bytes([n]) * 256)

    codes = {
        n: refusal(lambda n=n: desk.shown(f"tsk_{n}"))
        for n in (1, 2, 3, 4)
        if (desk.base / "checkpoints" / f"tsk_{n}").read_bytes() == b"-"
    }

    assert codes == {2: Code.UNDO_GONE, 3: Code.UNDO_GONE}


def test_bytes_that_are_not_what_was_kept_are_not_put_back(desk: Desk) -> None:
    """BR-03: a damaged checkpoint spoils nothing."""
    with desk.work("tsk_1") as folder:
        folder.write("notes/a.md", b"task")
    kept = desk.base / "checkpoints" / "tsk_1"
    kept.write_bytes(kept.read_bytes().replace(b"one\n", b"eno\n"))

    stays = desk.undo("tsk_1").value["stays"]

    assert isinstance(stays, list)
    assert len(stays) == 1
    assert (desk.root / "notes" / "a.md").read_bytes() == b"task"


# --- whatever a task does

NAMES = st.sampled_from(["a", "b", "d", "d/x", "d/y", "d/e/z", "e", "e/x"])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.binary(max_size=3)),
        st.tuples(st.just("mode"), NAMES, st.sampled_from([0o600, 0o755])),
        st.tuples(st.just("mkdir"), NAMES, st.none()),
        st.tuples(st.just("remove"), NAMES, st.none()),
        st.tuples(st.just("move"), NAMES, NAMES),
        st.tuples(st.just("trash"), NAMES, st.none()),
        st.tuples(st.just("step"), NAMES, st.none()),
    ),
    max_size=25,
)


def _set_mode(folder: Kept, path: str, mode: int) -> None:
    """Do as a command's chmod is carried over: the same bytes again, with other permissions."""
    data = folder.read(path, limit=999)
    folder.write_from(path, BytesIO(data), limit=999, mode=mode)


def _do(folder: Kept, what: str, path: str, more: object) -> None:
    match what, more:
        case "write", bytes(data):
            folder.mkdir(path.rpartition("/")[0])
            folder.write(path, data)
        case "mode", int(mode):
            _set_mode(folder, path, mode)
        case "mkdir", _:
            folder.mkdir(path)
        case "remove", _:
            folder.remove(path)
        case "move", str(to):
            folder.move(path, to)
        case "trash", _:
            Trash(SystemClock()).trash_file(TrashFile(path=path), place_of(folder))
        case _:
            folder.step += 1


@settings(max_examples=150, deadline=None)
@given(ACTS, ACTS)
def test_after_an_undo_the_folder_is_what_it_was(
    acts: list[tuple[str, str, object]], more: list[tuple[str, str, object]]
) -> None:
    """G-09: whatever two tasks did, undoing the second and then the first gives both states back."""
    with TemporaryDirectory(dir=_FAST) as base:
        desk = _desk(Path(base))
        trees = [desk.tree()]
        for task, list_of in (("tsk_1", acts), ("tsk_2", more)):
            with desk.work(task) as folder:
                folder.step = 1
                for act in list_of:
                    try:
                        _do(folder, *act)
                    except (DeskhandError, OSError):
                        continue
            trees.append(desk.tree())

        for task in ("tsk_2", "tsk_1"):
            trees.pop()
            desk.undo(task, by=f"tsk_undo_{task[-1]}")

            assert desk.tree() == trees[-1]

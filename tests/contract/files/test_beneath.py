"""Files beneath a handle: both resolvers keep the same promises, and the naive way is shown to break them.

Sections follow the threat list: links, races, hard links, special files, a replaced root, temporary files.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Entry, FolderAccess
from deskhand.tools.beneath import Folder
from deskhand.tools.leaf import Resolver
from deskhand.tools.reading import entries_of
from tests.contract.files.handles import LIMIT, SECRET, every_use, names_below, open_files, refusal

RACE_OPERATIONS = 10_000
CONTROL_OPERATIONS_MAX = 100_000

# --- ordinary use


def test_a_file_can_be_written_read_listed_hashed_moved_and_removed(folder: Folder) -> None:
    """What a person expects of a folder works, with plain relative paths."""
    folder.mkdir("out/deep")
    folder.write("out/deep/b.txt", b"first")
    folder.write("out/deep/b.txt", b"second")
    folder.move("out/deep/b.txt", "out/c.txt")
    folder.remove("out/deep")

    assert folder.read("out/c.txt", limit=LIMIT) == b"second"
    assert folder.sha256("out/c.txt") == hashlib.sha256(b"second").hexdigest()
    assert [(each.path, each.kind) for each in folder.list("out")] == [("out/c.txt", "file")]
    assert names_below(folder) == ["notes", "notes/a.md", "out", "out/c.txt"]
    assert folder.stat("out/deep") is None


def test_the_folder_is_what_the_sandbox_and_tools_ask_for(folder: Folder) -> None:
    """The handle fits the port, so nothing needs a path of its own."""
    access: FolderAccess = folder

    access.write_from("b.bin", io.BytesIO(b"12345"), limit=5)

    found = access.stat("b.bin")
    assert isinstance(found, Entry)
    assert (found.kind, found.size) == ("file", 5)


def test_a_listing_stops_at_its_limit_with_the_first_names(folder: Folder) -> None:
    """A huge directory costs no more than asked for, and the cut is the same every time."""
    for number in range(20):
        folder.write(f"f{number:02}", b"")

    assert [each.path for each in folder.list(limit=3)] == ["f00", "f01", "f02"]


def test_a_write_keeps_permissions_but_never_a_setuid_bit(folder: Folder) -> None:
    """Replacing a script leaves it executable; a mode with special bits loses them."""
    script = folder.root / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o750)

    folder.write("run.sh", b"#!/bin/sh\necho\n")
    folder.write_from("other.sh", io.BytesIO(b""), limit=0, mode=0o6755)

    assert script.stat().st_mode & 0o7777 == 0o750
    assert (folder.root / "other.sh").stat().st_mode & 0o7777 == 0o755


def test_a_write_bound_to_a_hash_fails_when_the_file_changed(folder: Folder) -> None:
    """What was shown is what is replaced, or nothing is."""
    seen = folder.sha256("notes/a.md")
    (folder.root / "notes" / "a.md").write_bytes(b"changed by the person")

    assert refusal(lambda: folder.write("notes/a.md", b"x", expect=seen)) is Code.CONFLICT
    assert refusal(lambda: folder.write("notes/a.md", b"x", expect="")) is Code.CONFLICT
    assert folder.read("notes/a.md", limit=LIMIT) == b"changed by the person"


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(folder: Folder) -> None:
    """A write beyond its bound changes nothing and cleans up."""
    before = names_below(folder)

    code = refusal(lambda: folder.write_from("notes/a.md", io.BytesIO(b"123456"), limit=5))

    assert code is Code.TOO_LARGE
    assert names_below(folder) == before
    assert folder.read("notes/a.md", limit=LIMIT) == b"hello"


def test_many_writes_together_are_as_complete_as_single_ones(folder: Folder) -> None:
    """What is made durable at once is there at once; a failure inside changes nothing about that."""
    with contextlib.suppress(LookupError), folder.together():
        folder.write("notes/a.md", b"replaced")
        folder.write("b.md", b"new")
        raise LookupError

    assert folder.read("notes/a.md", limit=LIMIT) == b"replaced"
    assert folder.read("b.md", limit=LIMIT) == b"new"
    assert names_below(folder) == ["b.md", "notes", "notes/a.md"]


def test_moving_never_replaces(folder: Folder) -> None:
    """A move onto a taken name is a conflict."""
    folder.write("b.md", b"b")

    assert refusal(lambda: folder.move("b.md", "notes/a.md")) is Code.CONFLICT
    assert refusal(lambda: folder.move("b.md", "notes")) is Code.CONFLICT
    assert folder.read("notes/a.md", limit=LIMIT) == b"hello"


def test_refusals_leak_no_descriptors(folder: Folder) -> None:
    """200 errors cost no open file."""
    (folder.root / "link").symlink_to("notes")
    before = open_files()

    for _ in range(200):
        with contextlib.suppress(DeskhandError):
            folder.read("link/a.md", limit=LIMIT)
        with contextlib.suppress(DeskhandError):
            folder.write("link/a.md", b"")
        with contextlib.suppress(DeskhandError):
            folder.read("notes/missing", limit=LIMIT)

    assert open_files() == before


# --- FS-03, FS-07, FS-14: links


@pytest.mark.parametrize("target", ["outside", "inside"])
@pytest.mark.parametrize("form", ["leaf", "directory"])
def test_no_link_is_followed_by_anything(folder: Folder, outside: Path, target: str, form: str) -> None:
    """FS-03: read, list, stat, hash, write, delete and move refuse a link, wherever it leads."""
    where = outside if target == "outside" else folder.root / "notes"
    name = "secret.txt" if target == "outside" else "a.md"
    (folder.root / "link").symlink_to(where / name if form == "leaf" else where)
    rel = "link" if form == "leaf" else f"link/{name}"

    codes = {use: refusal(act) for use, act in every_use(folder, rel).items()}

    taken = {"move to": Code.CONFLICT} if form == "leaf" else {}
    assert codes == dict.fromkeys(codes, Code.PATH_REFUSED) | taken
    assert (outside / "secret.txt").read_bytes() == SECRET
    assert (folder.root / "link").is_symlink()


def test_a_dangling_link_is_not_written_through(folder: Folder, outside: Path) -> None:
    """FS-03: a link to a file that does not exist yet does not make it."""
    (folder.root / "new.txt").symlink_to(outside / "planted.txt")

    assert refusal(lambda: folder.write("new.txt", b"x")) is Code.PATH_REFUSED
    assert not (outside / "planted.txt").exists()


def test_a_link_in_a_listing_is_shown_as_other(folder: Folder, outside: Path) -> None:
    """FS-03: a listing tells that there is something, not what is behind it."""
    (folder.root / "link").symlink_to(outside)

    kinds = {each.path: (each.kind, each.size) for each in entries_of(folder, ".")[0]}

    assert kinds == {"link": ("other", 0), "notes": ("directory", 0), "notes/a.md": ("file", 5)}


def test_proc_magic_links_lead_nowhere(folder: Folder, outside: Path) -> None:
    """FS-08: the way through a process's root or descriptors is a link like any other."""
    (folder.root / "root").symlink_to("/proc/self/root")
    (folder.root / "cwd").symlink_to("/proc/self/cwd")

    assert refusal(lambda: folder.read(f"root{outside}/secret.txt", limit=LIMIT)) is Code.PATH_REFUSED
    assert refusal(lambda: folder.list("cwd")) is Code.PATH_REFUSED


def test_the_working_directory_of_the_process_means_nothing(
    folder: Folder, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FS-14: a relative path is relative to the folder, wherever the process stands."""
    monkeypatch.chdir(outside)

    assert refusal(lambda: folder.read("secret.txt", limit=LIMIT)) is Code.NOT_FOUND
    assert folder.read("notes/a.md", limit=LIMIT) == b"hello"


# --- FS-04: races


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """A folder whose directory and leaf are being swapped for links by two other processes."""

    root: Path
    outside: Path


SWAPPER = textwrap.dedent(
    """
    import os, sys
    victim, real, target = sys.argv[1:4]
    os.symlink(target, victim + ".link")
    print("ready", flush=True)
    while True:
        os.rename(victim, real)
        os.rename(victim + ".link", victim)
        os.rename(victim, victim + ".link")
        os.rename(real, victim)
    """
)


@pytest.fixture
def arena() -> Iterator[Arena]:
    """Two processes swap ``dir`` and ``flat/leaf`` as fast as they can."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory of its own in it
    with tempfile.TemporaryDirectory(dir=memory) as place:
        root, outside = Path(place) / "work", Path(place) / "work-private"
        for directory in (root / "dir", root / "flat", outside):
            directory.mkdir(parents=True)
        for each in (root / "dir" / "leaf", root / "flat" / "leaf"):
            each.write_bytes(b"inside")
        (outside / "leaf").write_bytes(SECRET)
        victims = ((root / "dir", outside), (root / "flat" / "leaf", outside / "leaf"))
        swappers = [
            subprocess.Popen(
                [sys.executable, "-c", SWAPPER, str(victim), f"{victim}.real", str(target)], stdout=subprocess.PIPE
            )
            for victim, target in victims
        ]
        for each in swappers:
            assert each.stdout is not None
            each.stdout.readline()
        yield Arena(root=root, outside=outside)
        for each in swappers:
            each.send_signal(signal.SIGKILL)
            each.communicate()


def naive_read(root: Path, rel: str) -> bytes:
    """Do what is usually done: resolve, compare the prefix, open."""
    path = Path(os.path.realpath(root / rel))
    if not path.is_relative_to(root):
        raise DeskhandError(Code.PATH_REFUSED)
    return path.read_bytes()


def naive_write(root: Path, rel: str, data: bytes) -> None:
    """Do what is usually done: resolve, compare the prefix, open."""
    path = Path(os.path.realpath(root / rel))
    if not path.is_relative_to(root):
        raise DeskhandError(Code.PATH_REFUSED)
    path.write_bytes(data)


def race(
    arena: Arena, read: Callable[[str], bytes], write: Callable[[str, bytes], None]
) -> Iterator[tuple[bool, bool]]:
    """Use both swapped paths again and again; yield (succeeded, escaped) for each operation."""
    for number in itertools.count():
        rel = ("dir/leaf", "flat/leaf")[number % 2]
        succeeded = escaped = False
        with contextlib.suppress(DeskhandError, OSError):
            if number % 4 < 2:
                escaped = read(rel) == SECRET
            else:
                write(rel, b"inside")
            succeeded = True
        if (arena.outside / "leaf").read_bytes() != SECRET:
            escaped = True
            (arena.outside / "leaf").write_bytes(SECRET)
        yield succeeded, escaped


@pytest.mark.timeout(90)  # three busy processes on two cores
def test_ten_thousand_races_end_in_no_escape_while_the_naive_way_escapes(arena: Arena, resolver: Resolver) -> None:
    """FS-04: a swapped directory or leaf is never followed; the same race does catch resolve-and-compare."""
    with closing(Folder(arena.root, resolver=resolver)) as folder:
        ours = race(arena, lambda rel: folder.read(rel, limit=LIMIT), folder.write)
        outcomes = list(itertools.islice(ours, RACE_OPERATIONS))
    naive = race(arena, lambda rel: naive_read(arena.root, rel), lambda rel, data: naive_write(arena.root, rel, data))
    control = itertools.islice(naive, CONTROL_OPERATIONS_MAX)

    assert sum(escaped for _, escaped in outcomes) == 0
    assert sum(succeeded for succeeded, _ in outcomes) > RACE_OPERATIONS // 100
    assert any(escaped for _, escaped in control)
    assert sorted(each.name for each in arena.outside.iterdir()) == ["leaf"]


# --- FS-05: hard links


def test_a_file_with_a_second_name_is_not_written(folder: Folder, outside: Path) -> None:
    """FS-05: a hard link to an outside file is refused for writing, and the outside file stays."""
    os.link(outside / "secret.txt", folder.root / "hard.txt")

    assert refusal(lambda: folder.write("hard.txt", b"x")) is Code.PATH_REFUSED
    assert (outside / "secret.txt").read_bytes() == SECRET


# --- FS-09: special files


def make_fifo(path: Path) -> None:
    """A pipe nobody reads."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A socket somebody listens on."""
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(path.parent):
        server.bind(path.name)


@pytest.mark.parametrize("make", [make_fifo, make_socket])
def test_special_files_are_refused_at_once(folder: Folder, make: Callable[[Path], None]) -> None:
    """FS-09: a pipe or socket is neither opened nor replaced, and nothing hangs."""
    make(folder.root / "special")
    started = time.monotonic()

    codes = {refusal(act) for use, act in every_use(folder, "special").items() if use in SPECIAL_USES}

    assert codes == {Code.PATH_REFUSED}
    assert time.monotonic() - started < 1


SPECIAL_USES = {"read", "hash", "list", "write", "mkdir", "remove", "move from"}


def test_a_device_is_refused(folder: Folder) -> None:
    """FS-09: a device node is never opened."""
    try:
        os.mknod(folder.root / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device node")

    assert refusal(lambda: folder.read("null", limit=LIMIT)) is Code.PATH_REFUSED


def test_a_giant_sparse_file_is_refused_before_it_is_read(folder: Folder) -> None:
    """FS-09: one terabyte of nothing is too large within a second."""
    with (folder.root / "sparse").open("wb") as file:
        file.truncate(1024**4)
    started = time.monotonic()

    assert refusal(lambda: folder.read("sparse", limit=LIMIT)) is Code.TOO_LARGE
    assert refusal(lambda: folder.sha256("sparse")) is Code.TOO_LARGE
    assert time.monotonic() - started < 1


# --- FS-10: the root


@pytest.mark.parametrize("replacement", ["directory", "link", "nothing"])
def test_a_replaced_root_stops_every_use(folder: Folder, outside: Path, replacement: str) -> None:
    """FS-10: when the path leads somewhere else, the folder says so instead of working on."""
    folder.root.rename(folder.root.parent / "moved")
    if replacement == "directory":
        folder.root.mkdir()
    if replacement == "link":
        folder.root.symlink_to(outside)

    codes = {refusal(act) for act in every_use(folder, "notes/a.md").values()}

    assert not folder.still_there()
    assert codes == {Code.FOLDER_CHANGED}


# --- FS-12: temporary files


def test_a_prepared_temporary_name_is_not_used(folder: Folder, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FS-12: even an attacker who knows the name beforehand wins nothing; the next write takes another name."""
    guesses = iter(["0" * 16, "1" * 16])
    monkeypatch.setattr("secrets.token_hex", lambda _size: next(guesses))  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType] - a planted guess
    (folder.root / f".deskhand-{'0' * 16}.tmp").symlink_to(outside / "secret.txt")

    planted = refusal(lambda: folder.write("a.txt", b"mine"))
    folder.write("a.txt", b"mine")

    assert planted is Code.CONFLICT
    assert (outside / "secret.txt").read_bytes() == SECRET
    assert folder.read("a.txt", limit=LIMIT) == b"mine"


def test_a_file_is_private_until_it_is_complete(folder: Folder) -> None:
    """FS-12: while it is written, nobody else may read it."""
    seen: list[int] = []

    class Watching(io.BytesIO):
        @override
        def read(self, size: int | None = -1, /) -> bytes:
            temporary = next(folder.root.glob(".deskhand-*.tmp"))
            seen.append(temporary.stat().st_mode & 0o777)
            return super().read(size)

    folder.write_from("a.txt", Watching(b"data"), limit=10, mode=0o644)

    assert set(seen) == {0o600}
    assert (folder.root / "a.txt").stat().st_mode & 0o777 == 0o644

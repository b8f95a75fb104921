"""The policy file of a runner: written at the keyboard, read before each effect, believed only when it is safe."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Brief
from deskhand.runner.ceiling import FOLDERS, Ceiling, Lending, grant_folder, revoke_folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder."""
    path = tmp_path / "Work"
    path.mkdir()
    return path


def brief(task: str, *, op: str | None = None, member: str | None = None) -> Brief:
    """Return a task for the owner, or for a member."""
    return Brief.from_json(
        {
            "task": task, "epoch": 1, "thread": "thr_1", "title": "t", "text": "t", "agent": "commands", "op_id": op,
            "origin": {"surface": "page", "device": member or "dev_owner"},
            "trust": "untrusted" if member else "owner", "created_at": "2026-01-02T03:04:05.000Z",
        }
    )  # fmt: skip


def test_a_granted_folder_is_there_for_every_task(home: Path, work: Path) -> None:
    """By id and by path; the file is the owner's alone."""
    granted = grant_folder(home, work, mode=FolderMode.ASK, label="My work")
    ceiling = Ceiling(home)

    assert ceiling.entries() == (granted,)
    assert ceiling.mode(granted.id, brief("tsk_1")) is FolderMode.ASK
    assert ceiling.mode(str(work), brief("tsk_2")) is FolderMode.ASK
    assert stat.S_IMODE((home / FOLDERS).stat().st_mode) == 0o600


def test_granting_again_changes_the_mode_and_keeps_the_id(home: Path, work: Path) -> None:
    """One folder has one entry."""
    first = grant_folder(home, work, mode=FolderMode.TRUSTED)
    second = grant_folder(home, work, mode=FolderMode.READ_ONLY)

    assert second.id == first.id
    assert [entry.mode for entry in Ceiling(home).entries()] == [FolderMode.READ_ONLY]


def test_a_revoked_folder_is_gone(home: Path, work: Path) -> None:
    """By id or path; again is nothing."""
    granted = grant_folder(home, work, mode=FolderMode.TRUSTED)

    assert revoke_folder(home, granted.id) is True
    assert revoke_folder(home, str(work)) is False
    assert Ceiling(home).mode(granted.id, brief("tsk_1")) is None


def test_a_grant_for_one_task_belongs_to_the_task_of_its_op_alone(home: Path, work: Path) -> None:
    """Another task, or the hub naming the op a second time, gets nothing."""
    granted = grant_folder(home, work, mode=FolderMode.WORKSPACE, for_op="op_12345678")
    ceiling = Ceiling(home)

    assert ceiling.mode(granted.id, brief("tsk_1")) is None
    assert ceiling.mode(granted.id, brief("tsk_1", op="op_other")) is None
    bound = ceiling.bind(granted.id, brief("tsk_1", op="op_12345678"))
    assert bound is not None
    assert ceiling.mode(granted.id, brief("tsk_1")) is FolderMode.WORKSPACE
    assert ceiling.mode(granted.id, brief("tsk_2", op="op_12345678")) is None


@pytest.mark.parametrize("name", ["/", "~", "/etc", "~/.ssh", "{home}", "{missing}"])
def test_places_that_nobody_should_lend_are_refused(
    home: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """System, home, credentials, our own state, and what is not there."""
    person = tmp_path / "person"
    (person / ".ssh").mkdir(parents=True)
    home.mkdir()
    monkeypatch.setenv("HOME", str(person))
    path = Path(name.format(home=home, missing=tmp_path / "missing")).expanduser()

    with pytest.raises(DeskhandError) as refused:
        grant_folder(home, path, mode=FolderMode.ASK)

    assert refused.value.code is Code.FOLDER_REFUSED


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"folders": [{}]}', '{"folders": [1]}', '{"folders": [], "folders": []}']
)
def test_a_file_that_cannot_be_understood_grants_nothing(home: Path, text: str) -> None:
    """It is said to be broken, and meanwhile nothing is allowed."""
    home.mkdir()
    (home / FOLDERS).write_text(text)
    (home / FOLDERS).chmod(0o600)

    with pytest.raises(DeskhandError) as refused:
        Ceiling(home).entries()

    assert refused.value.code is Code.CONFIG_INVALID
    assert Ceiling(home).mode("fld_1", brief("tsk_1")) is None


def test_a_file_that_others_may_write_grants_nothing(home: Path, work: Path) -> None:
    """Else any program of another user could widen it."""
    granted = grant_folder(home, work, mode=FolderMode.TRUSTED)
    (home / FOLDERS).chmod(0o666)

    with pytest.raises(DeskhandError) as refused:
        Ceiling(home).entries()

    assert refused.value.code is Code.HOME_UNSAFE
    assert Ceiling(home).mode(granted.id, brief("tsk_1")) is None


def test_a_link_in_the_place_of_the_file_is_not_followed(home: Path, work: Path, tmp_path: Path) -> None:
    """A planted link cannot bring another policy."""
    granted = grant_folder(home, work, mode=FolderMode.TRUSTED)
    (home / FOLDERS).rename(tmp_path / "other.json")
    (home / FOLDERS).symlink_to(tmp_path / "other.json")

    assert Ceiling(home).mode(granted.id, brief("tsk_1")) is None


def test_a_left_over_of_a_crash_is_in_nobodys_way(home: Path, work: Path) -> None:
    """The next change replaces it, and never writes through it (FS-12)."""
    home.mkdir()
    outside = home.parent / "outside"
    outside.write_text("mine")
    (home / f".{FOLDERS}.tmp").symlink_to(outside)

    grant_folder(home, work, mode=FolderMode.ASK)

    assert outside.read_text() == "mine"
    assert json.loads((home / FOLDERS).read_text())["folders"][0]["root"] == str(work)


def test_a_folder_is_lent_by_name_and_only_to_whom_it_is_lent(home: Path, work: Path) -> None:
    """PA-03, FS-14: work for a member finds the folders that are lent to that member, and no others."""
    lent = grant_folder(home, work, mode=FolderMode.ASK, lending=Lending(to=("dev_a",)))
    ceiling = Ceiling(home)

    modes = [ceiling.mode(lent.id, brief("tsk_1", member=who)) for who in (None, "dev_a", "dev_b")]
    lends = [ceiling.lends(brief("tsk_1", member=who)) for who in (None, "dev_a", "dev_b")]

    assert modes == [FolderMode.ASK, FolderMode.ASK, None]
    assert lends == [True, True, False]


def test_a_new_mode_keeps_to_whom_a_folder_is_lent(home: Path, work: Path) -> None:
    """What was not said again stands; what was said counts, also when it is nobody."""
    grant_folder(home, work, mode=FolderMode.ASK, lending=Lending(marked="mixed", to=("dev_a",)))

    kept = grant_folder(home, work, mode=FolderMode.READ_ONLY)
    taken = grant_folder(home, work, mode=FolderMode.READ_ONLY, lending=Lending(marked="mine", to=()))

    assert (kept.marked, kept.lent_to) == ("mixed", ("dev_a",))
    assert (taken.marked, taken.lent_to) == ("mine", ())


@pytest.mark.parametrize(
    ("path", "config", "marked"),
    [
        ("Work", "", "mine"),
        ("Downloads/July", "", "mixed"),
        ("다운로드", "", "mixed"),
        ("Google Drive/Plans", "", "mixed"),
        ("Maildir", "", "mixed"),
        ("own/repository", "[core]\n", "mine"),
        ("cloned/repository", '[remote "origin"]\n', "mixed"),
    ],
)
def test_what_others_probably_wrote_is_marked_mixed(
    home: Path, tmp_path: Path, path: str, config: str, marked: str
) -> None:
    """PI-04: downloads, mail, synced and cloned folders hold words of others, unless the owner says otherwise."""
    folder = tmp_path / path
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text(config)

    granted = grant_folder(home, folder, mode=FolderMode.ASK)

    assert granted.marked == marked


def test_whoever_narrows_is_not_kept_waiting_by_those_who_go_on(home: Path) -> None:
    """RO-05: among changes that overlap without a gap, a stricter word still gets its turn."""
    ceiling, over = Ceiling(home), threading.Event()

    def change_and_change() -> None:
        while not over.is_set():
            with ceiling.holding():
                over.wait(0.05)

    busy = [threading.Thread(target=change_and_change) for _ in range(8)]
    for one in busy:
        one.start()
        over.wait(0.05 / len(busy))  # so that there is no moment without a change
    settled = threading.Thread(target=ceiling.settle)
    settled.start()
    settled.join(timeout=5)
    waiting = settled.is_alive()
    over.set()
    for one in (*busy, settled):
        one.join()

    assert not waiting

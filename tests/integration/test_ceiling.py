"""The policy file of a runner: written at the keyboard, read before each effect, believed only when it is safe."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import FolderMode
from deskhand.runner.ceiling import FILE, Ceiling, grant_folder, revoke_folder


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


def test_a_granted_folder_is_there_for_every_task(home: Path, work: Path) -> None:
    """By id and by path; the file is the owner's alone."""
    granted = grant_folder(home, work, mode=FolderMode.ASK, label="My work")
    ceiling = Ceiling(home)

    assert ceiling.entries() == (granted,)
    assert ceiling.mode(granted.id, task="tsk_1") is FolderMode.ASK
    assert ceiling.mode(str(work), task="tsk_2") is FolderMode.ASK
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600


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
    assert Ceiling(home).mode(granted.id, task="tsk_1") is None


def test_a_grant_for_one_task_belongs_to_the_task_of_its_op_alone(home: Path, work: Path) -> None:
    """Another task, or the hub naming the op a second time, gets nothing."""
    granted = grant_folder(home, work, mode=FolderMode.WORKSPACE, for_op="op_12345678")
    ceiling = Ceiling(home)

    assert ceiling.mode(granted.id, task="tsk_1") is None
    assert ceiling.mode(granted.id, task="tsk_1", op="op_other") is None
    bound = ceiling.bind(granted.id, task="tsk_1", op="op_12345678")
    assert bound is not None
    assert ceiling.mode(granted.id, task="tsk_1") is FolderMode.WORKSPACE
    assert ceiling.mode(granted.id, task="tsk_2", op="op_12345678") is None


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
    "text",
    ["{", "[]", "{}", '{"folders": [{}]}', '{"folders": [1]}', '{"folders": [], "folders": []}'],
)
def test_a_file_that_cannot_be_understood_grants_nothing(home: Path, text: str) -> None:
    """It is said to be broken, and meanwhile nothing is allowed."""
    home.mkdir()
    (home / FILE).write_text(text)
    (home / FILE).chmod(0o600)

    with pytest.raises(DeskhandError) as refused:
        Ceiling(home).entries()

    assert refused.value.code is Code.CONFIG_INVALID
    assert Ceiling(home).mode("fld_1", task="tsk_1") is None


def test_a_file_that_others_may_write_grants_nothing(home: Path, work: Path) -> None:
    """Else any program of another user could widen it."""
    granted = grant_folder(home, work, mode=FolderMode.TRUSTED)
    (home / FILE).chmod(0o666)

    with pytest.raises(DeskhandError) as refused:
        Ceiling(home).entries()

    assert refused.value.code is Code.HOME_UNSAFE
    assert Ceiling(home).mode(granted.id, task="tsk_1") is None


def test_a_link_in_the_place_of_the_file_is_not_followed(
    home: Path, work: Path, tmp_path: Path
) -> None:
    """A planted link cannot bring another policy."""
    granted = grant_folder(home, work, mode=FolderMode.TRUSTED)
    (home / FILE).rename(tmp_path / "other.json")
    (home / FILE).symlink_to(tmp_path / "other.json")

    assert Ceiling(home).mode(granted.id, task="tsk_1") is None


def test_a_left_over_of_a_crash_is_in_nobodys_way(home: Path, work: Path) -> None:
    """The next change replaces it, and never writes through it (FS-12)."""
    home.mkdir()
    outside = home.parent / "outside"
    outside.write_text("mine")
    (home / f".{FILE}.tmp").symlink_to(outside)

    grant_folder(home, work, mode=FolderMode.ASK)

    assert outside.read_text() == "mine"
    assert json.loads((home / FILE).read_text())["folders"][0]["root"] == str(work)

"""A home is private, on a local disk, and used by one Deskhand at a time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.store.private import NETWORK, file_system_of, open_home


def mode(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def refusal(path: Path, *, kind: str = "ext4") -> DeskhandError:
    """Open a home that must be refused; return why."""
    with pytest.raises(DeskhandError) as refused, open_home(path, file_system=lambda _: kind):
        pass
    return refused.value


def test_a_new_home_is_private(tmp_path: Path) -> None:
    """Directories and files are for their owner only (SE-02)."""
    with open_home(tmp_path / "deep" / "home") as home:
        found = (mode(home), mode(home.parent), mode(home / "lock"))

    assert found == (0o700, 0o700, 0o600)


def test_loose_modes_are_repaired(tmp_path: Path) -> None:
    """What others could read is closed at the next start (SE-02)."""
    home = tmp_path / "home"
    (home / "blobs").mkdir(parents=True)
    (home / "hub.sqlite3").write_text("")
    for path, loose in ((home, 0o755), (home / "blobs", 0o777), (home / "hub.sqlite3", 0o644)):
        path.chmod(loose)

    with open_home(home):
        pass

    assert [mode(path) for path in (home, home / "blobs", home / "hub.sqlite3")] == [0o700, 0o700, 0o600]


def test_a_second_deskhand_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    """One exclusive lock per home."""
    with open_home(tmp_path):
        refused = refusal(tmp_path)

    assert refused.code is Code.HOME_LOCKED
    with open_home(tmp_path) as again:
        assert again == tmp_path


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_folder_is_refused(tmp_path: Path, kind: str) -> None:
    """Locks and write-ahead logs do not hold there; the person hears which kind it is."""
    refused = refusal(tmp_path, kind=kind)

    assert (refused.code, refused.detail) == (Code.HOME_UNSAFE, kind)


def test_the_innermost_mount_decides(tmp_path: Path) -> None:
    """Mount points nest, later ones hide earlier ones, and names with spaces are spelled in octal."""
    mounts = [
        "/dev/sda / ext4 rw 0 0",
        "server:/x /home nfs4 rw 0 0",
        "/dev/sdb /home/me ext4 rw 0 0",
        "server:/y /home/me/my\\040share cifs rw 0 0",
        "tmpfs /home/me/over nfs rw 0 0",
        "tmpfs /home/me/over tmpfs rw 0 0",
    ]
    (tmp_path / "mounts").write_text("\n".join(mounts) + "\n", encoding="utf-8")

    found = [
        file_system_of(Path(path), mounts=tmp_path / "mounts")
        for path in ("/etc", "/home/you", "/home/me/a", "/home/me/my share/a", "/home/me/over")
    ]

    assert found == ["ext4", "nfs4", "ext4", "cifs", "tmpfs"]


def test_this_machine_says_what_its_disk_is(tmp_path: Path) -> None:
    """The real table of mounts can be read."""
    kind = file_system_of(tmp_path)

    assert kind
    assert not NETWORK.fullmatch(kind)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """A home is a directory."""
    (tmp_path / "home").write_text("")

    assert refusal(tmp_path / "home").code is Code.HOME_UNSAFE


def test_a_link_as_lock_is_not_followed(tmp_path: Path) -> None:
    """A planted link is no lock (FS-12)."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    refused = refusal(tmp_path)

    assert refused.code in {Code.HOME_UNSAFE, Code.UNAVAILABLE}
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_home_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """What another user owns, that user can open again (SE-02)."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "hub.sqlite3").write_text("")
    os.chown(home / "hub.sqlite3", 12345, 12345)

    refused = refusal(home)

    assert refused.code is Code.HOME_UNSAFE
    assert str(home) not in str(refused)

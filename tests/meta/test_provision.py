"""What `make test` installs on a machine, seen with a package tool that only writes down its orders."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.meta.findings import ROOT

PLAIN_TOOLS = ("bash", "env", "grep", "head", "ls", "mktemp", "rm", "tail")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs as on a machine without sandbox and browser, where we are nobody special."""
    for name in PLAIN_TOOLS:
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "apt-get", f'echo "$@" >> {tmp_path}/orders')
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    """Put a small program into the folder."""
    path = folder / name
    path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
    path.chmod(0o755)


def provision(bare: Path, **environment: str) -> str:
    """Run the script with nothing but that folder's programs."""
    done = subprocess.run(
        [ROOT / "scripts" / "provision"],
        env={"PATH": str(bare), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def orders(bare: Path) -> str:
    """Read what the package tool was told to do."""
    written = bare / "orders"
    return written.read_text() if written.exists() else ""


def test_without_any_right_it_says_the_cure_and_installs_nothing(bare: Path) -> None:
    """A person without root is told the one command that helps."""
    said = provision(bare)

    assert "sudo apt-get install bubblewrap chromium" in said
    assert orders(bare) == ""


def test_as_root_it_installs_what_is_lacking(bare: Path) -> None:
    """Root needs no sudo; recommended extras are not pulled in."""
    program(bare, "id", "echo 0")

    provision(bare)

    assert "install -y -q --no-install-recommends bubblewrap chromium" in orders(bare)


def test_it_can_be_told_to_leave_the_machine_alone(bare: Path) -> None:
    """PROVISION=0 is obeyed also by root."""
    program(bare, "id", "echo 0")

    said = provision(bare, PROVISION="0")

    assert "nothing is installed" in said
    assert orders(bare) == ""


def test_where_everything_is_there_it_says_and_does_nothing(bare: Path) -> None:
    """The second run is silent."""
    program(bare, "fc-list", "echo font")
    for name in ("bwrap", "chromium", "initdb"):
        program(bare, name, "exit 0")

    said = provision(bare)

    assert (said, orders(bare)) == ("", "")

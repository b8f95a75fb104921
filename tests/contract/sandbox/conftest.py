"""Who runs commands: this user, and when that is root a normal user too."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskhand.sandbox import landlock
from deskhand.sandbox.walls import Bubblewrap, Copied, Landlocked
from tests.contract.sandbox.parties import NORMAL_UID, Party, warm_up


@pytest.fixture(scope="session")
def warm() -> None:
    """Have everything imported before anybody gives up root."""
    warm_up()


WALLS = {"overlay": Bubblewrap, "copy": Copied, "Landlock": Landlocked}
BOXED = pytest.mark.needs("bubblewrap")
LAYERED = pytest.mark.needs("overlay")
PARTIES = (
    pytest.param("this user, overlay", marks=(BOXED, LAYERED)),
    pytest.param("normal user, overlay", marks=(BOXED, LAYERED)),
    pytest.param("this user, copy", marks=BOXED),
    pytest.param("normal user, copy", marks=BOXED),
)
"""Who runs commands behind a wall that has a network of its own."""


@pytest.fixture(params=[*PARTIES, "normal user, Landlock"])
def party(request: pytest.FixtureRequest, warm: None) -> Iterator[Party]:
    """This user, and when that is root a normal user too; behind each wall that can hold them."""
    del warm
    who, wall = request.param.split(", ")
    if wall == "Landlock" and landlock.version() < landlock.VERSION_MIN:
        pytest.skip("this kernel has no Landlock that holds")
    is_root = os.geteuid() == 0
    if who == "normal user" and not is_root and wall != "Landlock":
        pytest.skip("this user is a normal user already")
    uid = NORMAL_UID if who == "normal user" and is_root else None
    home = Path(tempfile.mkdtemp(prefix="deskhand-test-"))
    someone = Party(uid=uid, home=home, kind=WALLS[wall])
    for name in ("work", "outside", "state"):
        someone.put(f"{name}/.keep", "")
        (home / name / ".keep").unlink()
    someone.put("outside/secret.txt", "outside: nobody may read this")
    yield someone
    shutil.rmtree(home, ignore_errors=True)

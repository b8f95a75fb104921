"""Who runs commands: this user, and when that is root a normal user too."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.sandbox.parties import (
    NORMAL_UID,
    Party,
    warm_up,
)


@pytest.fixture(scope="session")
def warm() -> None:
    """Have everything imported before anybody gives up root."""
    warm_up()


@pytest.fixture(params=["this user", "normal user"])
def party(request: pytest.FixtureRequest, warm: None) -> Iterator[Party]:
    """This user, and when that is root a normal user too."""
    del warm
    is_root = os.geteuid() == 0
    if request.param == "normal user" and not is_root:
        pytest.skip("this user is a normal user already")
    uid = NORMAL_UID if request.param == "normal user" else None
    home = Path(tempfile.mkdtemp(prefix="deskhand-test-"))
    someone = Party(uid=uid, home=home)
    for name in ("work", "outside", "state"):
        someone.put(f"{name}/.keep", "")
        (home / name / ".keep").unlink()
    someone.put("outside/secret.txt", "outside: nobody may read this")
    yield someone
    shutil.rmtree(home, ignore_errors=True)

"""A granted folder, opened in both ways, beside something that is not granted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deskhand.tools.beneath import Folder
from deskhand.tools.leaf import Resolver, by_openat2, by_walk, openat2_works
from deskhand.tools.undo.keeping import Checkpoint, Kept
from tests.contract.files.handles import SECRET

OPENAT2 = pytest.param(
    by_openat2, id="openat2", marks=pytest.mark.skipif(not openat2_works(), reason="this kernel has no openat2")
)
WALK = pytest.param(by_walk, id="walk")
_ROOM = 64 * 1024**2


@pytest.fixture(params=[OPENAT2, WALK])
def resolver(request: pytest.FixtureRequest) -> Resolver:
    """Both ways to open a directory."""
    chosen: Resolver = request.param
    return chosen


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the folder, with the same name as prefix (FS-02)."""
    place = tmp_path / "work-private"
    place.mkdir()
    (place / "secret.txt").write_bytes(SECRET)
    return place


@pytest.fixture(params=["bare", "kept"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, outside: Path, resolver: Resolver) -> Iterator[Folder]:
    """A granted folder with one file, beside something that is not granted; as it is, and with all changes kept."""
    assert outside.exists()
    root = tmp_path / "work"
    (root / "notes").mkdir(parents=True)
    (root / "notes" / "a.md").write_bytes(b"hello")
    checkpoint = Checkpoint(path=tmp_path / "checkpoints" / "tsk_1", most=_ROOM)
    kept = request.param == "kept"
    with closing(
        Kept(root, checkpoint=checkpoint, resolver=resolver) if kept else Folder(root, resolver=resolver)
    ) as opened:
        yield opened

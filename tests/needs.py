"""What a test may need of the machine, tried out rather than looked up.

A test says `@pytest.mark.needs("postgresql")`; `tests/ran.py` acts on it. Nothing is installed
here: that is the work of `scripts/provision`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

PROBE_SECONDS_MAX = 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The answer of one attempt: usable or not, and the version or the reason."""

    works: bool
    detail: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something tests may ask for: the name people know it by, and how to try it."""

    label: str
    attempt: Callable[[], Probe]


def works(detail: str) -> Probe:
    """Answer that the thing did its work here."""
    return Probe(works=True, detail=detail)


def missing(reason: str) -> Probe:
    """Answer that the thing cannot be used here, and why."""
    return Probe(works=False, detail=reason)


def first_on_path(*names: str) -> str | None:
    """Find the first of several programs."""
    return next((found for name in names if (found := shutil.which(name))), None)


def run(*command: str) -> tuple[bool, str]:
    """Run a probe command; answer whether it ended well, with the last line it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return done.returncode == 0, said[-1] if said else f"exit {done.returncode}"


def try_program(*names: str) -> Probe:
    """Try a program by asking it for its version."""
    path = first_on_path(*names)
    if path is None:
        return missing(f"no {' or '.join(names)} on PATH")
    ended_well, said = run(path, "--version")
    return works(said) if ended_well else missing(said)


CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str | None:
    """Find the browser that tests with a real page drive."""
    return first_on_path(*CHROMIUM_NAMES)


def postgres_folder() -> Path | None:
    """Find the folder with `initdb` and `postgres`, the newest where there are several."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
    return next((each for each in folders if (each / "postgres").exists()), None)


def try_postgresql() -> Probe:
    """Find the server's own programs; the fixture starts a private one from them."""
    folder = postgres_folder()
    if folder is None:
        return missing("no initdb and postgres, neither on PATH nor in /usr/lib/postgresql")
    if importlib.util.find_spec("psycopg") is None:
        return missing("the Python package psycopg is not installed")
    ended_well, said = run(str(folder / "postgres"), "--version")
    return works(said) if ended_well else missing(said)


def try_bubblewrap() -> Probe:
    """Run one command in a sandbox: being installed is not being allowed."""
    found = try_program("bwrap")
    if not found.works:
        return found
    sandboxed = ("--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true")
    ended_well, said = run("bwrap", *sandboxed)
    return found if ended_well else missing(said)


def try_overlay() -> Probe:
    """Mount an overlay in a user namespace and see that a write does not reach the layer below."""
    if first_on_path("unshare") is None:
        return missing("no unshare on PATH")
    with tempfile.TemporaryDirectory() as folder:
        below, above, work, seen = (Path(folder) / name for name in ("below", "above", "work", "seen"))
        for each in (below, above, work, seen):
            each.mkdir()
        (below / "kept").write_text("old")
        options = f"lowerdir={below},upperdir={above},workdir={work}"
        script = f"mount -t overlay overlay -o {options} {seen} && echo new > {seen}/kept"
        ended_well, said = run("unshare", "-U", "-r", "-m", "sh", "-c", script)
        untouched = (below / "kept").read_text() == "old"
        # The kernel leaves a folder without any permission behind, which cleaning up must enter.
        for inner in work.iterdir():
            inner.chmod(0o700)
    if not ended_well:
        return missing(said)
    return works("in a user namespace") if untouched else missing("a write went through")


def try_llama() -> Probe:
    """See whether the embedded model server is installed."""
    found = importlib.util.find_spec("xllamacpp") is not None
    return works("xllamacpp") if found else missing("the Python package xllamacpp is not installed")


def try_layer() -> Probe:
    """See whether a file layer of ours can be put under the SQLite that Python's `sqlite3` uses."""
    from tests.powercut.vfs import power_vfs  # noqa: PLC0415 - only for tests that ask

    if power_vfs() is None:
        return missing("Python's sqlite3 has its library built in, or this is not Linux")
    return works(f"SQLite {sqlite3.sqlite_version}")


NEEDS: Mapping[str, Need] = {
    "postgresql": Need(label="PostgreSQL", attempt=try_postgresql),
    "chromium": Need(label="Chromium", attempt=functools.partial(try_program, *CHROMIUM_NAMES)),
    "bubblewrap": Need(label="bubblewrap", attempt=try_bubblewrap),
    "overlay": Need(label="overlay", attempt=try_overlay),
    "git": Need(label="git", attempt=functools.partial(try_program, "git")),
    "node": Need(label="Node", attempt=functools.partial(try_program, "node")),
    "file layer": Need(label="file layer", attempt=try_layer),
    "llama": Need(label="llama.cpp server", attempt=try_llama),
}


@functools.cache
def probe(name: str) -> Probe:
    """Try a need once per process."""
    return NEEDS[name].attempt()

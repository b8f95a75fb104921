"""Walks the README with a stopwatch: clone, set up, start, pair a phone-sized browser, first finished result.

    python -m scripts.walk                 # of what is committed here, in a new folder
    python -m scripts.walk --json

Commands, folder and task are read from README.md, so that it is the document that is walked. HOME is new and empty, and
pip keeps nothing, as on a computer that never saw Deskhand. At the terminal the folder is named and every other question
gets Enter; all else happens on the page, by what a person sees. It refuses to call it walked when a step fails or all of
them take longer than promised: it ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.test_first_run import Terminal
from tests.acceptance.test_page import FLAGS, PHONE
from tests.needs import chromium_path

ROOT = Path(__file__).parents[1]
SECONDS_MAX: Final = 180.0
PATIENCE_MS = 60_000
TABLE = "campaign,clicks,cost\nautumn,1200,340.50\nwinter,800,120.25\nspring,950,210.00\n"
QUESTIONS = ("2 ask first", "Enter: none", "Keep this computer awake", "How will your phone")
"""What `deskhand up` asks after the folder; Enter is the narrow answer to each."""
_FOREIGN = ("DESKHAND_", "PIP_CACHE_DIR", "PYTHONPATH", "VIRTUAL_ENV", "XDG_", "DISPLAY", "WAYLAND_DISPLAY", "MAKE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """What the README tells a newcomer to type: two commands, and one task in one folder."""

    setup: str
    start: str
    task: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """One step and how long it took."""

    step: str
    seconds: float


@dataclass(slots=True)
class Stopwatch:
    """Keeps how long each step took, and what went wrong."""

    laps: list[Lap] = field(default_factory=list[Lap])
    failed: str = ""

    @contextmanager
    def lap(self, step: str) -> Generator[None]:
        """Measure a step; one that fails is kept with its reason, and none comes after it."""
        began = monotonic()
        try:
            yield
        except BaseException as error:
            self.failed = f"{step}: {error}"
            raise
        finally:
            self.laps.append(Lap(step=step, seconds=round(monotonic() - began, 1)))

    @property
    def total(self) -> float:
        """Return the sum of all."""
        return round(sum(lap.seconds for lap in self.laps), 1)

    @property
    def complaint(self) -> str:
        """Return why this is no walk that was promised, or nothing."""
        late = f"{self.total} s is more than {SECONDS_MAX:.0f} s" if self.total > SECONDS_MAX else ""
        return self.failed or late


def guide(readme: str) -> Guide:
    """Read what to type from the README.

    Raises:
        ValueError: it does not say it (any more).
    """
    typed = re.findall(r"^\$ (.*?)\s*(?:#.*)?$", readme, re.MULTILINE)
    start = next((line for line in typed if line.endswith("deskhand up")), "")
    task = re.search(r'deskhand do "(/[^"]+)" --folder (\S+)', readme)
    if not (typed and start and task):
        raise ValueError("README.md names no command to set up, none to start, or no task without a model")
    return Guide(setup=typed[0], start=start, task=task[1], folder=task[2])


def newcomer(home: Path) -> dict[str, str]:
    """Return the environment of somebody who was never here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    own = {"HOME": str(home), "PIP_NO_CACHE_DIR": "1", "TERM": "dumb", "DESKHAND_LANGUAGE": "en"}
    return kept | own | {"DESKHAND_HUB_PORT": "0"}  # another hub may live on this machine


def run(command: str, folder: Path, env: Mapping[str, str]) -> None:
    """Type a command and wait for its end.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(shlex.split(command), cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")


def walk(clone: Path, said: Guide, watch: Stopwatch, env: Mapping[str, str]) -> None:
    """Start what was set up, pair a phone and get a result."""
    folder = Path(env["HOME"]) / said.folder.removeprefix("~/")
    file = folder / said.task.split()[1]
    file.parent.mkdir(parents=True)
    file.write_text(TABLE)
    with at_terminal(said.start, clone, env) as terminal, sync_playwright() as driver:
        with watch.lap("start, and its questions"):
            link = started(terminal, said)
        browser = driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            with watch.lap("pair the phone"):
                page = paired(browser, link, terminal)
            with watch.lap("first finished result"):
                handed_over(page, said, folder.name)
        finally:
            browser.close()


@contextmanager
def at_terminal(command: str, folder: Path, env: Mapping[str, str]) -> Generator[Terminal]:
    """Keep a command running in a terminal of its own."""
    ours, theirs = pty.openpty()
    words = [*shlex.split(command), *(["--as-root"] if os.geteuid() == 0 else [])]
    process = subprocess.Popen(
        words, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_MS / 1000)
        os.close(ours)


def started(terminal: Terminal, said: Guide) -> str:
    """Answer what is asked; return the link for the phone."""
    terminal.answer(("Which folder", said.folder))
    waiting = [*QUESTIONS]
    while not (read := terminal.until("#join=", *waiting)).endswith("#join="):
        waiting = [one for one in waiting if not read.endswith(one)]
        terminal.type("")
    return read.split()[-1] + terminal.until("\n").strip()


def paired(browser: Browser, link: str, terminal: Terminal) -> Page:
    """Open the link on a phone, compare the numbers, say yes at the terminal."""
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, locale="en-US")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(link)
    number = page.get_by_role("img", name=re.compile(r"Number to compare: \d{4}")).get_attribute("aria-label") or ""
    terminal.until(" ".join(number[-4:]))
    terminal.type("y")
    expect(page.get_by_role("textbox", name="What should be done?")).to_be_visible(timeout=PATIENCE_MS)
    return page


def handed_over(page: Page, said: Guide, folder: str) -> None:
    """Hand the task over, allow what it asks for, wait for the check, and open the file."""
    page.get_by_label("Folder").select_option(label=folder)
    page.get_by_role("textbox", name="What should be done?").fill(said.task)
    page.get_by_role("button", name="Send", exact=True).click()
    card = page.get_by_role("article", name=f"Task: {said.task}")
    verified, review = card.get_by_text("Verified", exact=True), page.get_by_role("button", name="Review")
    expect(verified.or_(review).first).to_be_visible(timeout=PATIENCE_MS)
    if review.is_visible():
        review.click()
        page.get_by_role("dialog", name="Approval").get_by_role("button", name="Allow once").click()
    expect(verified).to_be_visible(timeout=PATIENCE_MS)
    if shots := os.environ.get("DESKHAND_SHOTS"):
        page.screenshot(path=Path(shots) / "walk.png")


def main() -> int:
    """Walk, print the stopwatch, and say whether it is as promised."""
    parser = argparse.ArgumentParser(prog="walk", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object instead of a table")
    parser.add_argument("--from", dest="source", default=str(ROOT), help="what to clone")
    asked = parser.parse_args()
    said, watch = guide((ROOT / "README.md").read_text(encoding="utf-8")), Stopwatch()
    with tempfile.TemporaryDirectory() as place:
        clone, home = Path(place) / "deskhand", Path(place) / "home"
        home.mkdir(mode=0o700)
        env = newcomer(home)
        try:
            with watch.lap("git clone"):
                run(f"git clone --quiet --no-local {shlex.quote(asked.source)} {clone}", home, env)
            with watch.lap(said.setup):
                run(said.setup, clone, env)
            walk(clone, said, watch, env)
        except Exception as error:  # noqa: BLE001 - whatever stops the walk is what it has to say
            watch.failed = watch.failed or str(error)
    print(json.dumps(report(watch)) if asked.json else table(watch))
    return 1 if watch.complaint else 0


def report(watch: Stopwatch) -> dict[str, object]:
    """Return what came of it."""
    laps = [asdict(lap) for lap in watch.laps]
    where = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    user = "root" if os.geteuid() == 0 else "a normal user"
    return {"laps": laps, "total": watch.total, "machine": where, "user": user, "complaint": watch.complaint}


def table(watch: Stopwatch) -> str:
    """Return the same for a person."""
    said = report(watch)
    lines = [f"{lap.seconds:>8.1f} s  {lap.step}" for lap in watch.laps]
    lines += [f"{watch.total:>8.1f} s  in all, of {SECONDS_MAX:.0f} s   ({said['machine']}, {said['user']})"]
    return "\n".join([*lines, *([f"FAILED {watch.complaint}"] if watch.complaint else [])])


if __name__ == "__main__":
    sys.exit(main())

"""A computer that stands still in the middle of a task: real processes, a real minute, and what a person sees."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from deskhand.clock import SystemClock
from deskhand.testing.promises import note
from tests.acceptance.test_cli import stopping, until_connected
from tests.acceptance.test_page import FLAGS, PHONE, shot
from tests.desk import SECONDS, Desk, first_line, make_desk
from tests.needs import chromium_path

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

FROZEN_SECONDS = 60.0
SHOWN_SECONDS_MAX = 45.0
RESUMED_SECONDS_MAX = 30.0
NOTES = 60


def with_children(pid: int) -> list[int]:
    """A process and everything it started, as a machine that sleeps stops all of it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def freeze(pid: int) -> list[int]:
    """Stop a computer's process and its children; return who was stopped."""
    stopped = with_children(pid)
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    return stopped


@asynccontextmanager
async def page_of(ready: dict[str, Any]) -> AsyncGenerator[Page]:
    """A phone that joined by the hub's invitation."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        page = await browser.new_page(viewport=cast("Any", PHONE), locale="en-US")
        await page.goto(f"{ready['url']}/#join={ready['page_invite']}")
        await expect(page.get_by_role("textbox")).to_be_visible()
        yield page
        await browser.close()


async def shows(page: Page, words: str, *, within: float) -> float:
    """Wait until the pill at the top says something; return after how many seconds it did."""
    clock = SystemClock()
    began = clock.monotonic()
    pill = page.get_by_role("button", name=re.compile(f"Connection: {words}"))
    await expect(pill).to_be_visible(timeout=within * 1000)
    return clock.monotonic() - began


def ask(desk: Desk, path: str) -> dict[str, Any]:
    """Ask the hub as its owner's command line does, only faster."""
    token = json.loads((desk.home / "owner.json").read_text())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    return cast("dict[str, Any]", httpx.get(desk.url + path, headers=headers, timeout=SECONDS).json())


async def until(desk: Desk, task: str, *states: str, within: float) -> dict[str, Any]:
    """Ask for the task until it is in one of these states and, as long as it is open, has done something."""
    async with asyncio.timeout(within):
        while True:
            found = await asyncio.to_thread(ask, desk, f"/v1/tasks/{task}")
            if found["state"] in states and (found.get("verdict") or found.get("now_doing")):
                return found


@contextmanager
def working(hub: Desk, box: Desk) -> Generator[tuple[Any, int]]:
    """A hub and a computer with many notes, each in its own process; the ready line, and the computer's pid."""
    for number in range(NOTES):
        lines = "".join(f"TODO: call number {number} of {line}\n" for line in range(150))
        (box.folder / "notes" / f"{number:03}.md").write_text(lines, encoding="utf-8")
    with stopping(hub.spawn("hub", "--port", "0", "--json")) as serving:
        ready = first_line(serving)
        hub.url = ready["url"]
        box.run("folders", "add", str(box.folder), "--mode", "workspace")
        start = ["runner", "--url", hub.url, "--name", "box", "--json", *box.as_root()]
        with stopping(box.spawn(*start, DESKHAND_INVITE=ready["invite"])) as runner:
            first_line(runner)
            until_connected(hub)
            yield ready, runner.pid


async def sleep_and_wake(desk: Desk, page: Page, *, pid: int, thread: str) -> tuple[float, float]:
    """Freeze a computer for a minute; return how soon the page said so, and how soon after it work went on."""
    clock = SystemClock()
    stopped, began = freeze(pid), clock.monotonic()
    await page.goto(f"{desk.url}/#/threads/{thread}")
    seen_after = await shows(page, "Computer asleep", within=SHOWN_SECONDS_MAX)
    await expect(page.get_by_text("box is asleep since").first).to_be_visible()
    await shot(page, "asleep-task")
    await page.goto(f"{desk.url}/#/computers")
    await expect(page.get_by_text("Asleep since")).to_be_visible()
    await shot(page, "asleep-computers")
    assert [one["link"] for one in ask(desk, "/v1/runners")["items"]] == ["asleep"]
    await clock.sleep(max(0.0, FROZEN_SECONDS - (clock.monotonic() - began)))

    cursor, woken = ask(desk, "/v1/snapshot")["cursor"], clock.monotonic()
    for one in reversed(stopped):
        os.kill(one, signal.SIGCONT)
    page_of_events = await asyncio.to_thread(ask, desk, f"/v1/sync?after={cursor}&wait=25")
    assert page_of_events["events"]
    resumed_after = clock.monotonic() - woken
    await shows(page, "Connected", within=RESUMED_SECONDS_MAX)
    await expect(page.get_by_text(re.compile(r"Slept (5\d s|1 min)"))).to_be_visible()
    await shot(page, "woken-computers")
    return seen_after, resumed_after


@pytest.mark.survives(
    "The lid is closed, or the computer sleeps, in the middle of a task",
    "The phone says asleep and since when; the task goes on within seconds of waking, and nothing is done twice.",
)
async def test_a_frozen_computer_is_shown_asleep_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """R8: SIGSTOP for 60 s: asleep on the page within 45 s, at work again within 30 s, each effect once."""
    here, there = make_desk(tmp_path / "hub"), make_desk(tmp_path / "box")
    with working(here, there) as (ready, pid):
        async with page_of(ready) as page:
            await shows(page, "Connected", within=20)
            words = ("do", "/brief notes/", "--folder", str(there.folder), "--no-wait")
            task = (await asyncio.to_thread(here.run, *words)).out.split()[0]
            begun = await until(here, task, "working", within=20)
            seen_after, resumed_after = await sleep_and_wake(here, page, pid=pid, thread=begun["thread"])
            ended = await until(here, task, "completed", "failed", within=90)
            events = ask(here, f"/v1/threads/{begun['thread']}/events?limit=500")["items"]

    kinds = Counter(event["kind"] for event in events)
    lost = kinds["step.started"] - kinds["step.finished"]
    files = [one.name for one in there.folder.iterdir() if one.is_file()]
    note(
        "R8",
        f"frozen for {FROZEN_SECONDS:.0f} s in mid-task: shown asleep after {seen_after:.0f} s, at "
        f"work again {resumed_after:.1f} s after waking, {lost} steps lost, the effect once",
        runs=1,
        of="frozen computer, in earnest",
    )
    assert seen_after <= SHOWN_SECONDS_MAX
    assert resumed_after <= RESUMED_SECONDS_MAX
    assert (ended["state"], ended["verdict"], files) == ("completed", "verified", ["briefing.md"])
    assert (lost, kinds["task.finished"], kinds["artifact.created"]) == (0, 1, 1)


def test_a_killed_computer_has_stopped(tmp_path: Path) -> None:
    """R8: `kill -9` of the runner: its system closes the line, and the hub tells it from sleep and from no network."""
    here, there = make_desk(tmp_path / "hub"), make_desk(tmp_path / "box")
    with working(here, there) as (_, pid):
        began = SystemClock().monotonic()
        os.kill(pid, signal.SIGKILL)
        while (link := ask(here, "/v1/runners")["items"][0]["link"]) == "up":
            assert SystemClock().monotonic() - began <= SHOWN_SECONDS_MAX
        said = here.run("runners", "list").out

    assert link == "stopped"
    assert "start it there: deskhand up" in said

"""The first run on the page: the browser of whoever sits at the computer grants a folder; a phone only takes away."""

from __future__ import annotations

import asyncio
import html
import json
import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.acceptance.test_first_run import DESKHAND, config, granted
from tests.acceptance.test_page import FLAGS, PHONE
from tests.desk import SECONDS, Desk, make_desk
from tests.needs import chromium_path

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a home that was never started, of a person who keeps work where most do."""
    (tmp_path / "Documents" / "Work").mkdir(parents=True)
    return make_desk(tmp_path)


@contextmanager
def opening_a_browser(desk: Desk) -> Generator[tuple[str, str]]:
    """Keep ``deskhand up`` running; yield what it opens the browser on, and the link for a phone."""
    seen, browser = desk.home.parent / "opened", desk.home.parent / "browser"
    browser.write_text(f'#!/bin/sh\nsed -n "s/.*url=\\([^\\"]*\\)\\".*/\\1/p" "${{1#file://}}" > {seen}\n')
    browser.chmod(0o755)
    up = [*DESKHAND, "up", "--port", "0", "--reach", "none", *desk.as_root()]
    env = desk.env(BROWSER=str(browser), DISPLAY=":0")
    with subprocess.Popen(up, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            said = ""
            while "#join=" not in said or "Ctrl-C" not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            ends = monotonic() + SECONDS
            while not (seen.exists() and seen.read_text()) and monotonic() < ends:
                pass
            link = re.search(r"http\S+#join=\S+", said)
            assert link is not None
            desk.url = link[0].split("/#")[0]
            yield html.unescape(seen.read_text().strip()), link[0]
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


def card(page: Page):  # noqa: ANN201 - Playwright's own
    """Return what says what may be used."""
    return page.get_by_role("region", name="What may be used")


async def test_at_the_computer_a_folder_is_granted_on_the_page(desk: Desk, tmp_path: Path) -> None:
    """G-03: one tap with the narrow answers, in less than a minute from the start of the program."""
    began = monotonic()
    with opening_a_browser(desk) as (claim, _):
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
            page = await browser.new_page(locale="en-US", viewport=PHONE)
            await page.goto(claim)
            await expect(card(page).get_by_text("Off", exact=True)).to_be_visible()
            await expect(card(page).get_by_role("radio", name="Ask first")).to_be_checked()
            await page.screenshot(path=tmp_path / "first-run.png")
            await card(page).get_by_role("button", name="Use this folder").click()
            await expect(page.get_by_label("Folder").locator("option", has_text="Work")).to_have_count(1)
            took = monotonic() - began
            await browser.close()

    assert granted(desk) == [(str(tmp_path / "Documents" / "Work"), "ask")]
    assert config(desk)["runner"] == {"keep_awake": True}
    assert took < 60


async def test_a_phone_takes_away_at_once_and_is_told_where_more_is_given(desk: Desk) -> None:
    """G-02, G-03: it grants no folder; a ceiling goes down with a tap, and up only where deskhand is typed."""
    with opening_a_browser(desk) as (_, link):
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
            page = await browser.new_page(locale="en-US", viewport=PHONE)
            await page.goto(link)
            await card(page).get_by_role("button", name="Use this folder").click()
            await expect(card(page).get_by_text("deskhand folders add")).to_be_visible()
            await page.get_by_role("link", name="Settings").click()
            await card(page).get_by_role("button", name="Ask first everywhere").click()
            await expect(card(page).get_by_text("At most: asks first")).to_be_visible()
            await card(page).get_by_role("button", name="Turn off everywhere").click()
            more = card(page).get_by_text("deskhand config set ceiling.internet true")
            await expect(more).to_be_visible()
            narrow = await asyncio.to_thread(lambda: desk.run("config", "get", "ceiling.mode", "--json"))
            typed = await asyncio.to_thread(lambda: desk.run("config", "set", "ceiling.mode", "trusted"))
            await expect(card(page).get_by_text("As each folder was granted")).to_be_visible()
            await browser.close()

    assert granted(desk) == []
    assert json.loads(narrow.out)["value"] == "ask"
    assert typed.status == 0

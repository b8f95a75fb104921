"""The page against the program as people start it: `deskhand up`, its own runner, a real folder."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from deskhand.testing.standin.server import StandIn
from tests.acceptance.test_page import FLAGS, hand_over, talk
from tests.desk import make_desk, running_up
from tests.needs import chromium_path

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120)]

READY_SECONDS = 60
STAND_IN = {"DESKHAND_STAND_IN": "1"}
DESKHAND = (sys.executable, "-m", "deskhand")


def environment(home: Path) -> dict[str, str]:
    """Everything of this process, with a home of its own."""
    return {**os.environ, "DESKHAND_HOME": str(home)}


@asynccontextmanager
async def up(home: Path) -> AsyncGenerator[dict[str, str]]:
    """`deskhand up`, until the block ends; its ready line."""
    options = ["up", "--port", "0", "--reach", "none", "--no-browser", "--json"]
    if os.getuid() == 0:
        options.append("--as-root")
    process = await asyncio.create_subprocess_exec(*DESKHAND, *options, env=environment(home), stdout=PIPE)
    try:
        yield await ready_line(process)
    finally:
        process.terminate()
        await process.wait()


async def ready_line(process: Process) -> dict[str, str]:
    """Wait for the one line that says where it answers."""
    assert process.stdout is not None
    async with asyncio.timeout(READY_SECONDS):
        line = await process.stdout.readline()
    said: dict[str, str] = json.loads(line)
    assert "url" in said, said
    return said


async def test_from_the_link_to_a_verified_briefing_with_the_real_program(tmp_path: Path) -> None:
    """S-11: no model, no account, no fake: link, folder, `/brief`, verified, and the planted line in the file."""
    home, notes = tmp_path / "home", tmp_path / "notes"
    home.mkdir(mode=0o700)
    notes.mkdir()
    (notes / "call.md").write_text("# Call\n- TODO: Call the printer on Friday\n- Decision: blue\n")

    async with up(home) as said, async_playwright() as driver:
        added = await asyncio.create_subprocess_exec(
            *DESKHAND, "folders", "add", str(notes), "--mode", "workspace", env=environment(home)
        )
        assert await added.wait() == 0
        browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        page = await browser.new_page(locale="en-US")
        await page.goto(f"{said['url']}/#join={said['invite']}")
        await page.get_by_label("Folder").select_option(label="notes")
        await page.get_by_role("textbox", name="What should be done?").fill("/brief . --pages 1")
        await page.get_by_role("textbox", name="What should be done?").press("Enter")

        await expect(talk(page).get_by_text("Verified", exact=True)).to_be_visible(timeout=30_000)
        await talk(page).get_by_role("button", name=re.compile("briefing.md")).click()
        file = page.get_by_role("dialog", name="briefing.md")
        await expect(file.get_by_text("Call the printer on Friday")).to_be_visible()
        await browser.close()


async def test_a_sentence_waits_for_a_model_and_then_runs_by_it_with_the_real_program(tmp_path: Path) -> None:
    """A-03, A-06, A-07: real suggestions, the one question, the built-in agent over HTTP, and the stand-in by its name."""
    desk = make_desk(tmp_path)
    async with StandIn() as standin, async_playwright() as driver:
        with running_up(desk, **STAND_IN):
            granted = desk.run("folders", "add", str(desk.folder), "--mode", "workspace")
            assert granted.status == 0, granted.err
            browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
            page = await browser.new_page(locale="en-US")
            await page.goto(f"{desk.ready['url']}/#join={desk.ready['invite']}")
            await page.get_by_label("Folder").select_option(label="work")
            await hand_over(page, "Summarise my notes into a one-page briefing and mail it")
            offered = talk(page).get_by_role("button", name="Run this: /brief notes --pages 1")
            await expect(offered).to_be_enabled()
            await expect(talk(page).get_by_text(re.compile("Would not do:.*mail")).first).to_be_visible()

            chosen = await asyncio.to_thread(
                lambda: desk.run("model", "set", "stand-in", "--base-url", standin.url, extra=STAND_IN)
            )
            assert chosen.status == 0, chosen.err
            assert standin.requests == []
            await talk(page).get_by_role("button", name="Run now").click()

            card = page.get_by_role("article", name=re.compile("Task: Summarise"))
            await expect(card.get_by_role("button", name=re.compile("briefing"))).to_be_visible(timeout=30_000)
            await expect(card.get_by_text("not a language model")).to_be_visible()
            await expect(card.get_by_text(re.compile(r"Plan · (\d+) of \1"))).to_be_visible()
            await browser.close()

"""A phone that was away for long, in a real browser: what it shows when it is back, and how soon (R5)."""

from __future__ import annotations

import re
from pathlib import Path
from time import perf_counter

import pytest
from playwright.async_api import expect

from deskhand.core.drafting import Draft
from deskhand.protocol.events import ThreadCreated, ThreadRenamed
from deskhand.testing.promises import note
from tests.acceptance.stage import Stage
from tests.acceptance.test_page import hand_over, opened, phone, talk

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120)]

EVENTS = 5000
THREADS = 20
SECONDS = 5.0


async def happen(here: Stage, count: int) -> str:
    """Let so many things happen in a few threads; return the title that the last of them got."""
    ids, owner = here.rim.ids, here.rim.owner
    threads = [ids.new("thr") for _ in range(THREADS)]
    drafts = [Draft(body=ThreadCreated(title="Matter"), actor=owner.device, thread=thread) for thread in threads]
    for number in range(count - THREADS):
        body = ThreadRenamed(title=f"Matter, word {number}")
        drafts.append(Draft(body=body, actor=owner.device, thread=threads[number % THREADS]))
    await here.rim.hub.store.write(owner.account, lambda tx: list(map(tx.emit, drafts)))
    return f"Matter, word {count - THREADS - 1}"


@pytest.mark.survives(
    "A phone is without a network for a month while thousands of things happen",
    "Back again it shows how everything stands within five seconds, and sends what was written on it meanwhile.",
)
async def test_a_phone_that_was_away_for_long_shows_the_present_within_seconds(tmp_path: Path) -> None:
    """R5: 5,000 events behind; the list is the hub's, the message written offline is sent, an old thread opens."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)
        await hand_over(page, "brief the notes before I go")
        await expect(talk(page).get_by_text("Verified", exact=True)).to_be_visible()
        await page.goto(f"{here.url}/#/")
        await expect(page.get_by_role("textbox", name="What should be done?")).to_be_visible()
        await page.context.set_offline(True)
        await hand_over(page, "written in a tunnel")
        await expect(talk(page).get_by_text("written in a tunnel")).to_be_visible()
        await page.goto(f"{here.url}/#/")
        await expect(page.get_by_role("textbox", name="What should be done?")).to_be_visible()
        newest = await happen(here, EVENTS)
        head = await here.rim.hub.store.head(here.rim.owner.account)

        began = perf_counter()
        await page.context.set_offline(False)
        await expect(page.get_by_role("link", name=newest).last).to_be_visible(timeout=20_000)
        took = perf_counter() - began
        for title in ("written in a tunnel", "before I go"):
            await page.get_by_role("link", name=re.compile(title)).last.click()
            await expect(talk(page).get_by_role("article", name=re.compile(title))).to_be_visible()
            await expect(talk(page).get_by_text("Verified", exact=True)).to_be_visible()
            await page.goto(f"{here.url}/#/")

    note(
        "R5",
        f"a page that was offline during {head:,} events shows the present {took:.1f} s after the network is back",
        runs=1,
        of="absences",
    )
    assert took <= SECONDS

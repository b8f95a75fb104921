"""What an agent writes is shown and asks nothing of anybody: the page reaches no place that a message names."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.acceptance.test_page import hand_over, talk
from tests.acceptance.test_page_agent import thinking
from tests.canary import canary

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(90)]

FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SAID = """
before ![a picture](URL/image.png?d=secret) [a link](URL/link?d=secret) <URL/auto?d=secret>
<img src="URL/html.png?d=secret"><link rel="prefetch" href="URL/prefetch"><link rel="stylesheet" href="URL/style.css">
<iframe src="URL/frame"></iframe><video poster="URL/poster" src="URL/video"></video><object data="URL/object"></object>
<svg><image href="URL/svg.png"/><use href="URL/use.svg#x"/></svg><base href="URL/base/"><img src="relative.png">
<div style="background:url(URL/css.png)">styled</div><script src="URL/script.js"></script>
<img srcset="URL/set.png 2x"><audio src="URL/audio" autoplay></audio><meta http-equiv="refresh" content="0;url=URL/refresh">
after
"""


async def _load(page: Page, url: str) -> None:
    """Fetch as the test and not as the page, to see that the canary sings."""
    await page.request.get(f"{url}/control")


async def test_words_with_pictures_and_links_in_them_fetch_nothing(tmp_path: Path) -> None:
    """PI-07: neither while they are typed nor when they are said does the page ask their host for anything."""
    async with canary() as site, thinking(tmp_path, "llama") as (_, computer, page):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        said = SAID.replace("URL", site.url)
        await hand_over(page, "what is in the notes?")
        brief = await computer.given(watched=True)

        await computer.type(brief, said)
        await expect(talk(page).get_by_text("is writing")).to_be_visible()
        await computer.tell(brief, said)
        await expect(talk(page).get_by_text("is writing")).to_have_count(0)
        await expect(talk(page).get_by_text("after").first).to_be_visible()
        await page.evaluate(FRAMES)
        await _load(page, site.url)

    assert [head.split()[1] for head in site.heads] == ["/control"]
    assert [url for url in asked if site.host in url] == []

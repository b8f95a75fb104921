"""The page in the hand: files on their way up, what others share, what hostile words can do, and very long threads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from deskhand.core.drafting import Draft
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Origin, Trust
from deskhand.store.log.transaction import SqlTx
from tests.acceptance.hand import Hands, hands, kept, left, picture, tell
from tests.acceptance.test_page import DRAWN, talk
from tests.acceptance.thinker import until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

FIELD = "What should be done?"
FIRST_LOAD_BYTES_MAX = 150_000
TAKEN = "performance.getEntries().reduce((sum, one) => sum + (one.transferSize ?? 0), 0)"
"""What came over the air, headers included; what a cache had is 0."""
MANY = 10_000
DROP = """(node, [name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type: "text/plain" }));
  node.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""
DRAG = """(node, [name, text]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], name, { type: "text/plain" }));
  node.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""
HOSTILE = """before <img src="https://evil.example/a.png" onerror="window.hacked=1"> <script>window.hacked = 1</script>
![pixel](https://evil.example/b.png) [tap me](javascript:window.hacked=1) [your bank](https://evil.example/?leak=1)
<iframe src="https://evil.example/"></iframe><form action="https://evil.example/"><button>send</button></form> after"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Hands]:
    """Everything, opened once."""
    async with hands(tmp_path_factory.mktemp("files")) as opened:
        yield opened


async def _given(at: Hands, text: str) -> tuple[str, ...]:
    await until(at.computer, lambda: any(one.text == text for one in at.computer.briefs))
    brief = next(one for one in at.computer.briefs if one.text == text)
    return tuple(f"{file.name} {file.size}" for file in brief.files)


async def test_a_new_phone_takes_little_before_the_app_stands(at: Hands) -> None:
    """It holds when: page and worker together take less than 150 KB over the air, with all that is kept for offline."""
    page = await at.device()
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")

    of_page = await page.evaluate(TAKEN)
    of_worker = await page.context.service_workers[0].evaluate(TAKEN)

    assert of_page > 90_000
    assert 50_000 < of_page + of_worker < FIRST_LOAD_BYTES_MAX
    await left(page.context)


async def test_a_file_arrives_whole_though_the_network_goes_and_the_page_is_loaded_again(
    at: Hands, tmp_path: Path
) -> None:
    """P-07: sent in pieces with progress, gone on with after a cut and a reload, received once, and read by the task."""
    big = tmp_path / "recording.bin"
    big.write_bytes(bytes(range(256)) * 4096 * 4)
    page = await at.device()
    await kept(page)
    sent: list[str] = []

    async def cut(route: Route) -> None:
        if route.request.method != "PATCH":
            await route.continue_()
            return
        sent.append(route.request.headers["upload-offset"])
        await (route.abort() if len(sent) == 3 else route.continue_())

    await page.context.route("**/v1/uploads/*", cut)
    await page.get_by_label("Attach files").set_input_files(big)
    files = page.get_by_role("list", name="Files to hand over")
    await expect(files.get_by_text("recording.bin")).to_be_visible()
    await expect(files.get_by_role("progressbar")).to_be_visible()
    await until(at.computer, lambda: len(sent) >= 3)
    await picture(page, "upload")
    await page.reload()

    await expect(files.get_by_text(re.compile("4 MB, received"))).to_be_visible(timeout=20_000)
    await page.get_by_role("textbox", name=FIELD).fill("wait with the recording")
    await page.get_by_role("button", name="Send", exact=True).click()

    assert await _given(at, "wait with the recording") == (f"recording.bin {4 * 1024 * 1024}",)
    assert sorted(set(sent), key=int) == ["0", "1048576", "2097152", "3145728"]
    await expect(files).to_have_count(0)
    await expect(talk(page).get_by_text("recording.bin")).to_be_visible()
    await left(page.context)


async def test_what_is_pasted_dropped_or_taken_with_the_camera_goes_along(at: Hands) -> None:
    """P-07: three ways in; one may be taken out again; what waits offline goes when the network is back."""
    page = await at.device()
    await kept(page)
    await page.context.set_offline(True)
    field = page.get_by_role("textbox", name=FIELD)
    await field.evaluate(DROP, ["pasted.txt", "one"])
    await field.evaluate(DRAG, ["dropped.txt", "two!"])
    await page.get_by_label("Take a picture").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff\xe0three"}
    )
    files = page.get_by_role("list", name="Files to hand over")
    await expect(files.get_by_role("listitem")).to_have_count(3)
    await expect(files.get_by_text("waits for a connection").first).to_be_visible()
    await files.get_by_role("button", name="Remove dropped.txt").click()
    await field.fill("wait with two files")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(talk(page).get_by_text("photo.jpg")).to_be_visible()
    await page.reload()
    await expect(talk(page).get_by_text("photo.jpg")).to_be_visible()

    await page.context.set_offline(False)

    assert set(await _given(at, "wait with two files")) == {"pasted.txt 3", "photo.jpg 9"}
    await left(page.context)


async def test_what_another_app_shares_begins_a_message_and_sends_nothing(at: Hands) -> None:
    """P-07: words and files come into the composer; the person sends them."""
    page = await at.device()
    await kept(page)
    before = len(at.computer.briefs)

    await page.evaluate(
        """() => {
            const form = new FormData();
            form.set("title", "Minutes");
            form.set("text", "please file this");
            form.append("files", new File(["agenda"], "회의록.txt", { type: "text/plain" }));
            return fetch("/share", { method: "POST", body: form });
        }"""
    )
    await page.goto(f"{at.here.url}/#/shared")
    await page.reload()

    await expect(page.get_by_role("textbox", name=FIELD)).to_have_value("Minutes\nplease file this")
    await expect(page.get_by_role("list", name="Files to hand over").get_by_text("회의록.txt")).to_be_visible()
    await expect(page.get_by_text(re.compile("6 bytes, received"))).to_be_visible()
    manifest = await (await page.request.get(f"{at.here.url}/manifest.webmanifest")).json()
    assert manifest["share_target"]["action"] == "/share"
    assert len(at.computer.briefs) == before
    await left(page.context)


async def _post(at: Hands, text: str) -> None:
    """Let the agent say something in the thread of the newest task."""
    brief = await at.computer.given()
    said = ev.MessagePosted(
        message=at.here.rim.ids.new("msg"),
        role="agent",
        text=text,
        origin=Origin(surface="agent", device=at.computer.id),
        trust=Trust.UNTRUSTED,
        epoch=brief.epoch,
    )
    await at.computer.about(brief, said)


async def test_hostile_words_do_nothing_and_a_link_says_where_it_leads(at: Hands) -> None:
    """PI-07: no script, picture, frame or form of an agent; a link shows its host and opens outside, only by a tap."""
    page = await at.device()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    card = await tell(page, "wait for hostile words")
    await expect(card.get_by_text("Working", exact=True)).to_be_visible()

    await _post(at, HOSTILE)

    log = talk(page)
    await expect(log.get_by_text("before").first).to_be_visible()
    bank = log.get_by_role("link", name="your bank (evil.example)")
    await expect(bank).to_have_attribute("rel", re.compile("noopener noreferrer"))
    await expect(log.get_by_role("link", name=re.compile("tap me"))).to_have_count(0)
    await log.get_by_text("tap me").click()
    await page.evaluate(DRAWN)
    assert await log.locator("img, iframe, form, script").count() == 0
    assert await page.evaluate("window.hacked") is None
    assert [url for url in asked if "evil.example" in url] == []
    header = (await page.request.get(f"{at.here.url}/")).headers["content-security-policy"]
    assert "default-src 'none'" in header
    assert "script-src 'self';" in header
    await left(page.context)


async def test_a_thread_of_ten_thousand_events_opens_and_scrolls(at: Hands) -> None:
    """P-08: a thread that ran for months opens at its end at once, and older parts come when they are scrolled to."""
    page = await at.device(desktop=True)
    card = await tell(page, "wait for months")
    await expect(card.get_by_text("Working", exact=True)).to_be_visible()
    brief = await at.computer.given()
    store, account = at.here.rim.hub.store, at.here.rim.owner.account
    for first in range(0, MANY, 500):
        await _many(at, brief.task, brief.thread, brief.epoch, first)
    assert await store.head(account) > MANY

    await page.reload()
    began = await page.evaluate("performance.now()")
    await expect(talk(page).get_by_text(f"line {MANY - 1}", exact=True)).to_be_visible(timeout=20_000)
    opened = await page.evaluate("performance.now()") - began
    nodes = await page.evaluate("document.querySelectorAll('*').length")
    await until_top(page, f"line {MANY - 900}")
    frames = await page.evaluate(
        """async () => {
            const log = document.querySelector('main [role=region]');
            const took = [];
            let last = performance.now();
            for (let at = 0; at < 60; at += 1) {
                log.scrollTop += 400;
                await new Promise(requestAnimationFrame);
                took.push(performance.now() - last);
                last = performance.now();
            }
            return Math.max(...took.slice(5));
        }"""
    )

    assert opened < 5000
    assert nodes < 5000
    assert frames < 500, "a frame takes up to 175 ms where a busy processor draws instead of a graphics card"
    await left(page.context)


async def until_top(page: Page, text: str) -> None:
    """Scroll upwards until a line stands there."""
    log = talk(page)
    async with asyncio.timeout(30):
        while not await log.get_by_text(text, exact=True).count():
            await log.evaluate("(node) => new Promise((done) => { node.scrollTop = 0; requestAnimationFrame(done) })")


async def _many(at: Hands, task: str, thread: str, epoch: int, first: int) -> None:
    def write(tx: SqlTx) -> None:
        for number in range(first, first + 500):
            body = ev.MessagePosted(
                message=f"msg_many_{number}",
                role="agent",
                text=f"line {number}",
                origin=Origin(surface="agent", device=at.computer.id),
                trust=Trust.UNTRUSTED,
                epoch=epoch,
            )
            tx.emit(Draft(body=body, actor=at.computer.id, thread=thread, task=task))

    await at.here.rim.hub.store.write(at.here.rim.owner.account, write)

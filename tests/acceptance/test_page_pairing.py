"""Joining and leaving on the page: two screens that tell the same story, people beside devices, and a way out."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from deskhand import limits
from deskhand.clock import stamp
from deskhand.protocol import signing
from deskhand.protocol.objects import Device, Role
from deskhand.protocol.requests import InviteAsk
from tests.acceptance.hand import Hands, hands, kept, left, picture, tell
from tests.acceptance.test_page import DRAWN, faults, talk

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

FIELD = "What should be done?"
LATER = limits.INVITE_SECONDS + 60
AHEAD = "const real = Date.now; window.ahead = 0; Date.now = () => real() + window.ahead * 1000"
"""A clock of the page that a test turns on, as ten minutes would."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Hands]:
    """Everything, opened once; the hub proves who it is."""
    key = signing.new_key()
    async with hands(tmp_path_factory.mktemp("pairing")) as opened:
        opened.here.rim.hub.prove = lambda nonce: signing.sign(signing.HUB, {"nonce": nonce}, key).to_json()
        yield opened


async def stranger(at: Hands, link: str = "", *, script: str = "") -> Page:
    """A browser that was never here, on a link or at the bare address."""
    context = await at.browser.new_context(viewport={"width": 390, "height": 844}, locale="en-US", has_touch=True)
    if script:
        await context.add_init_script(script)
    page = await context.new_page()
    await page.goto(link or at.here.url)
    return page


async def devices(page: Page) -> Locator:
    """Open the devices in the settings; return their part of the screen."""
    if await (back := page.get_by_role("link", name="Back")).is_visible():
        await back.click()
    await page.get_by_role("link", name="Settings").click()
    return page.get_by_role("region", name="Devices")


async def invited(page: Page, *, role: str = "") -> tuple[Locator, str]:
    """Make an invitation by hand; return the part of the screen that shows it, and its link."""
    part = await devices(page)
    if role:
        await part.get_by_role("button", name="Invite a person").click()
        await part.get_by_role("radio", name=re.compile(role)).check()
        await part.get_by_role("button", name="Make the invitation").click()
    else:
        await part.get_by_role("button", name="Add a device").click()
    shown = part.get_by_text(re.compile("#join="))
    await expect(shown).to_be_visible()
    return part, await shown.inner_text()


async def admitted(at: Hands, first: Page, role: str) -> Page:
    """Bring somebody in from screen to screen."""
    part, link = await invited(first, role=role)
    second = await stranger(at, link)
    await part.get_by_role("button", name="Add", exact=True).click()
    await expect(part.get_by_role("heading", name=re.compile("was added"))).to_be_visible()
    return second


async def shared(at: Hands, page: Page) -> str:
    """Show the conversation of a screen to everybody of the account; return its address."""
    await at.here.owner("thread.share", {"shared": True}, thread=page.url.rpartition("/")[2])
    return page.url


async def people(at: Hands) -> list[Device]:
    """Return who may act for the account."""
    found = await at.here.rim.hub.store.find(at.here.rim.owner.account, Device)
    return [one for one in found if one.state == "active"]


async def test_both_screens_show_the_same_number_and_who_was_added(at: Hands) -> None:
    """P-04, PA-02: waiting, then asked with name and number on both, then added on both; the link names its hub."""
    first = await at.device()
    part, link = await invited(first)
    await expect(part.get_by_role("heading", name="Waiting for the other device")).to_be_visible()
    await expect(part.get_by_text(re.compile(r"works until \d\d:\d\d: \d+ min \d+ s left"))).to_be_visible()
    await picture(first, "invite-waiting")

    second = await stranger(at, link)
    match = second.get_by_role("img", name=re.compile(r"Number to compare: \d{4}"))
    number = ((await match.get_attribute("aria-label")) or "")[-4:]
    await expect(second.get_by_role("heading", name="Waiting for a yes")).to_be_visible()
    await expect(second.get_by_text(re.compile(r"They have until \d\d:\d\d"))).to_be_visible()
    await expect(part.get_by_role("heading", name="Chrome on Linux asks to join")).to_be_visible()
    await expect(part.get_by_text(re.compile(f"screen shows {number}"))).to_be_visible()
    await picture(first, "invite-asked")
    await picture(second, "join-waiting")
    await first.evaluate(DRAWN)
    assert await faults(first) == []
    await part.get_by_role("button", name="Add", exact=True).click()

    await expect(part.get_by_role("heading", name="Chrome on Linux was added")).to_be_visible()
    await expect(second.get_by_role("textbox", name=FIELD)).to_be_visible()
    assert re.search("&hub=[0-9a-f]{32}$", link)
    assert "join" not in second.url
    await left(first.context)
    await left(second.context)


async def test_the_invitation_is_drawn_only_where_a_phone_can_open_it(at: Hands) -> None:
    """P-03: made at this computer it says what a phone needs; where there is a road it leads there, for a camera too."""
    first = await at.device(desktop=True)
    pairing = at.here.rim.pairing
    part, alone = await invited(first)
    await expect(part.get_by_text("Only this computer can open this link")).to_be_visible()
    await expect(part.get_by_role("img", name="code for a camera")).to_have_count(0)
    await part.get_by_role("button", name="Take it back").click()

    pairing.road = "https://desk.example"
    await part.get_by_role("button", name="Add a device").click()
    code = part.get_by_role("img", name="code for a camera")
    await expect(code).to_be_visible()
    pairing.road = ""

    link = await part.get_by_text(re.compile("#join=")).inner_text()
    assert alone.startswith(f"{at.here.url}/#join=")
    assert re.fullmatch("https://desk.example/#join=dhs_[^&]+&hub=[0-9a-f]{32}", link)
    assert await code.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    await picture(first, "invite-drawn")
    await first.evaluate(DRAWN)
    assert await faults(first) == []
    await left(first.context)


async def test_a_no_is_said_on_both_screens_with_a_way_on(at: Hands) -> None:
    """P-04: refused here and there; the inviting screen makes a new one, and the other device takes its digits."""
    first = await at.device()
    part, link = await invited(first)
    second = await stranger(at, link)

    await part.get_by_role("button", name="Refuse").click()

    await expect(part.get_by_role("heading", name="Chrome on Linux was refused")).to_be_visible()
    await expect(second.get_by_role("heading", name="The other screen said no")).to_be_visible()
    await expect(second.get_by_text("make a new invitation")).to_be_visible()
    await picture(second, "join-refused")
    await part.get_by_role("button", name="Make a new one").click()
    said = await part.get_by_text(re.compile(r"or type \d{6} there")).inner_text()
    await second.get_by_label("Six digits shown beside the link").fill(re.sub(r"\D", "", said))
    await second.get_by_role("button", name="Ask to join").click()
    await part.get_by_role("button", name="Add", exact=True).click()
    await expect(second.get_by_role("textbox", name=FIELD)).to_be_visible()
    await left(first.context)
    await left(second.context)


async def test_an_invitation_that_ran_out_says_so_on_both_screens(at: Hands) -> None:
    """P-04, PA-03: ten minutes later the inviting screen makes a new one; who comes late learns why and what helps."""
    first = await at.device(script=AHEAD)
    part, _ = await invited(first)
    wish = InviteAsk(kind="page")
    rim = at.here.rim
    made = await rim.pairing.create_invite(rim.owner.account, wish)
    gone = stamp(rim.hub.clock.now() - timedelta(seconds=1))
    late = await rim.hub.store.invite(code=made.code)
    assert late is not None
    await rim.hub.store.write(rim.owner.account, lambda tx: tx.put_invite(replace(late, expires_at=gone)))

    await first.evaluate(f"window.ahead = {LATER}")
    second = await stranger(at, f"{at.here.url}/#join={made.invite}")

    await expect(part.get_by_role("heading", name="The invitation ran out")).to_be_visible()
    await expect(second.get_by_role("heading", name="used up or out of date")).to_be_visible()
    await expect(second.get_by_text("Make a new one on the computer")).to_be_visible()
    await first.evaluate("window.ahead = 0")
    await part.get_by_role("button", name="Make a new one").click()
    await expect(part.get_by_role("heading", name="Waiting for the other device")).to_be_visible()
    await left(first.context)
    await left(second.context)


async def test_an_invitation_taken_back_opens_nothing(at: Hands) -> None:
    """P-04: what is no longer shown is no longer worth anything."""
    first = await at.device()
    part, link = await invited(first)

    async with first.expect_response(lambda answer: "/v1/pair/invites/" in answer.url):
        await part.get_by_role("button", name="Take it back").click()
    second = await stranger(at, link)

    await expect(part.get_by_role("button", name="Add a device")).to_be_visible()
    await expect(second.get_by_role("heading", name="used up or out of date")).to_be_visible()
    await left(first.context)
    await left(second.context)


async def test_another_hub_never_sees_the_invitation(at: Hands) -> None:
    """P-04, PA-09: a link of another hub is shown to nobody here; the cause is said, and it may be tried again."""
    asked: list[str] = []
    link = f"{await at.here.link()}&hub={'0' * 32}"
    context = await at.browser.new_context(locale="en-US")
    page = await context.new_page()
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))

    await page.goto(link)

    await expect(page.get_by_role("heading", name="Another hub answers here")).to_be_visible()
    await expect(page.get_by_text("was not shown to it")).to_be_visible()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", name="Another hub answers here")).to_be_visible()
    assert not [one for one in asked if "/v1/pair" in one]
    await picture(page, "join-wrong-hub")
    await left(context)


async def test_a_hub_that_is_away_costs_no_invitation(at: Hands) -> None:
    """P-04: unreachable is said as that; the same link works as soon as the hub answers."""
    context = await at.browser.new_context(locale="en-US")
    page = await context.new_page()
    await page.route("**/v1/pair", lambda route: route.abort())
    await page.goto(await at.here.link())
    await expect(page.get_by_role("heading", name="The hub does not answer")).to_be_visible()

    await page.unroute("**/v1/pair")
    await page.get_by_role("button", name="Try again").click()

    await expect(page.get_by_role("textbox", name=FIELD)).to_be_visible()
    await left(context)


async def test_a_member_works_beside_the_owner_and_moves_only_their_own(at: Hands) -> None:
    """P-09: a person comes in as a member, is called one, hands over work, and touches nothing of the owner's."""
    first = await at.device()
    await tell(first, "wait for the owner alone")
    mine = await shared(at, first)
    second = await admitted(at, first, "Member")
    row = first.get_by_role("listitem").filter(has_text="Member").filter(has_text="Chrome on Linux")
    await expect(row.first).to_be_visible()
    await picture(first, "devices-member")

    card = await tell(second, "wait for the member")
    await expect(card.get_by_role("button", name="Stop")).to_be_visible()
    await first.get_by_role("link", name="Threads").click()
    await tell(first, "/run pack them")
    await shared(at, first)
    await second.goto(mine)
    theirs = second.get_by_role("article", name="Task: wait for the owner alone")
    await expect(theirs).to_be_visible()
    await expect(theirs.get_by_role("button", name="Stop")).to_have_count(0)
    await second.get_by_role("link", name="Back").click()
    await expect(second.get_by_role("link", name=re.compile("pack them.*Waits for an answer"))).to_be_visible()
    await second.get_by_role("link", name="Needs you").click()
    await expect(second.get_by_text("Nothing waits for you")).to_be_visible()
    part = await devices(second)
    await expect(part.get_by_text("Only an owner of this hub adds and removes devices")).to_be_visible()
    await expect(part.get_by_role("button", name=re.compile("Remove|Add a device|Invite"))).to_have_count(0)
    assert Role.MEMBER in [one.role for one in await people(at)]
    await left(first.context)
    await left(second.context)


async def test_a_viewer_reads_along_and_has_nothing_to_write_with(at: Hands) -> None:
    """P-09, IS-08: a viewer sees the work, and neither a field nor a button that would change it."""
    first = await at.device()
    card = await tell(first, "/brief to be read")
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
    place = await shared(at, first)
    second = await admitted(at, first, "Viewer")
    await expect(second.get_by_text("you read along")).to_be_visible()

    await second.goto(place)

    await expect(talk(second).get_by_text("Verified", exact=True)).to_be_visible()
    await expect(second.get_by_role("textbox", name=FIELD)).to_have_count(0)
    await expect(talk(second).get_by_role("button", name=re.compile("Try again|Undo|Stop"))).to_have_count(0)
    await picture(second, "viewer")
    await left(first.context)
    await left(second.context)


SECRET = re.compile(r"dhs_[\w-]{20}")
PRIVATE = "a very private word"
STORED = """async () => {
  const texts = [JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage})];
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) {
      texts.push(request.url, await (await cache.match(request)).clone().text());
    }
  }
  for (const { name } of await indexedDB.databases()) {
    const database = await new Promise((done, failed) => {
      const opening = indexedDB.open(name);
      opening.onsuccess = () => done(opening.result);
      opening.onerror = failed;
    });
    for (const store of database.objectStoreNames) {
      const all = database.transaction(store).objectStore(store).getAll();
      const rows = await new Promise((done) => { all.onsuccess = () => done(all.result); });
      for (const row of rows) texts.push(JSON.stringify(row), row?.bytes ? await row.bytes.text() : "");
    }
    database.close();
  }
  return texts.join("\\n");
}"""
"""Every text that a browser keeps of this page: stores, caches, databases with the files in them."""
SHARE = f"""async () => {{
  const cache = await caches.open("shared");
  await cache.put("/shared/words", new Response("{PRIVATE}, shared"));
}}"""


async def test_signing_out_leaves_no_private_text_on_the_device(at: Hands) -> None:
    """OR-09: of tasks, drafts, files and what was shared nothing stays; the hub lets the device in no more."""
    page = await at.device()
    await tell(page, f"/brief {PRIVATE}")
    await expect(talk(page).get_by_text("Verified", exact=True)).to_be_visible()
    await kept(page)
    await page.get_by_role("textbox", name=FIELD).fill(f"{PRIVATE}, a draft")
    file = f"{PRIVATE}, a file".encode()
    await page.locator("input[type=file]").first.set_input_files(
        [{"name": "private.txt", "mimeType": "text/plain", "buffer": file}]
    )
    await expect(page.get_by_text("private.txt")).to_be_visible()
    await page.evaluate(SHARE)
    before = await page.evaluate(STORED)
    part = page.get_by_role("region", name="Sign out")
    await page.get_by_role("link", name="Back").click()
    await page.get_by_role("link", name="Settings").click()
    known = len(await people(at))

    await part.get_by_role("button", name="Sign out on this device").click()
    await picture(page, "sign-out")
    await part.get_by_role("button", name="Sign out and forget everything").click()

    await expect(page.get_by_role("heading", name="Add this device")).to_be_visible()
    after = await page.evaluate(STORED)
    assert before.count(PRIVATE) >= 4
    assert PRIVATE not in after
    assert SECRET.search(before)
    assert not SECRET.search(after)
    assert len(await people(at)) == known - 1
    await page.reload()
    await expect(page.get_by_role("heading", name="Add this device")).to_be_visible()
    await left(page.context)


async def test_without_the_hub_signing_out_says_what_is_left_to_do(at: Hands) -> None:
    """OR-09: a hub that cannot be told keeps the device in its list; that is said before anything is forgotten."""
    page = await at.device()
    await page.get_by_role("link", name="Settings").click()
    part = page.get_by_role("region", name="Sign out")
    await page.route("**/v1/ops", lambda route: route.abort())
    await part.get_by_role("button", name="Sign out on this device").click()
    await part.get_by_role("button", name="Sign out and forget everything").click()
    await expect(part.get_by_role("alert")).to_have_text(re.compile("did not hear it.*Chrome on Linux"))

    await part.get_by_role("button", name="Forget everything here").click()

    await expect(page.get_by_role("heading", name="Add this device")).to_be_visible()
    assert not SECRET.search(await page.evaluate(STORED))
    await left(page.context)


async def test_a_device_removed_elsewhere_forgets_when_it_is_told(at: Hands) -> None:
    """OR-09, PA-07: removing it on one screen ends it on the other, which keeps no text then."""
    first, second = await at.device(), await at.device()
    await tell(second, f"/brief {PRIVATE} elsewhere")
    device = (await second.evaluate(STORED)).split('"device":"')[1].split('"')[0]

    await at.here.owner("device.revoke", {"device": device})

    await expect(second.get_by_role("heading", name="Add this device")).to_be_visible()
    await second.wait_for_function(f"({STORED})().then((text) => !text.includes('{PRIVATE}'))")
    await left(first.context)
    await left(second.context)


async def test_the_list_is_narrowed_to_what_matters_now(at: Hands) -> None:
    """Behaviour 18: needs you, running, failed; with words and without, in the list and in what is found."""
    page = await at.device(desktop=True)
    await tell(page, "wait chip running")
    await page.goto(f"{at.here.url}/#/")
    await tell(page, "ask chip waiting")
    await page.goto(f"{at.here.url}/#/")
    card = await tell(page, "/brief chip finished")
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
    side = page.get_by_role("navigation", name="Threads")
    search = side.get_by_role("searchbox")
    await search.fill("chip")
    found = side.get_by_role("list", name="Threads").get_by_role("listitem")
    await expect(found).to_have_count(3)

    only = side.get_by_role("group", name="Show only")
    await only.get_by_role("button", name="Running").click()
    await picture(page, "search-running")
    running = await found.count()
    await only.get_by_role("button", name="Needs you").click()
    await expect(found).to_have_count(1)
    await expect(found).to_contain_text("ask chip waiting")
    await only.get_by_role("button", name="Failed").click()
    await expect(side.get_by_text("Nothing here has these words")).to_be_visible()
    await only.get_by_role("button", name="Failed").click()
    await expect(found).to_have_count(3)

    assert running == 2
    await left(page.context)

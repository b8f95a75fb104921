"""A household on the page: whose thread it is, showing it to the others and taking that back, and what words find."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from deskhand.protocol.objects import Device, Role
from deskhand.protocol.ops import Principal
from deskhand.protocol.requests import InviteAsk
from tests.acceptance.hand import Hands, hands, left, picture, tell
from tests.acceptance.test_page import faults, talk

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Hands]:
    """Everything, opened once."""
    async with hands(tmp_path_factory.mktemp("household")) as opened:
        yield opened


async def phone_of(at: Hands, person: str, *, role: Role = Role.MEMBER) -> Page:
    """Bring in a phone of somebody of the household."""
    wish = InviteAsk(kind="page", role=role, person=person, admits_alone=True)
    made = await at.here.rim.pairing.create_invite(at.here.rim.owner.account, wish)
    context = await at.browser.new_context(viewport={"width": 390, "height": 844}, locale="en-US", has_touch=True)
    page = await context.new_page()
    await page.goto(f"{at.here.url}/#join={made.invite}")
    await expect(page.get_by_role("link", name="Settings")).to_be_visible()
    return page


async def say(page: Page, text: str) -> None:
    """Hand a task over that nobody has to do."""
    await page.locator("#compose").fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(talk(page).get_by_text(text).first).to_be_visible()


async def home(page: Page) -> Locator:
    """Go back to the list; return it."""
    await page.get_by_role("link", name="Back").click()
    return page.get_by_role("main")


async def menu(page: Page) -> None:
    """Open what can be done with the thread."""
    await page.get_by_role("button", name="About this thread").click()


async def test_a_thread_is_seen_by_its_person_until_it_is_shared_and_again_after(at: Hands) -> None:
    """P-09, IS-05: on every device of that person; shared it comes to the others at once, taken back it is gone."""
    owner, mina, tablet = await at.device(), await phone_of(at, "Mina"), await phone_of(at, "Mina", role=Role.VIEWER)
    await say(mina, "wait for the surprise party")
    await say(owner, "/brief my own accounts")
    theirs, own = re.compile("surprise party"), re.compile("my own accounts")
    lists = {"owner": await home(owner), "mina": await home(mina), "tablet": tablet.get_by_role("main")}

    await expect(lists["tablet"].get_by_role("link", name=theirs)).to_be_visible()
    await expect(lists["owner"].get_by_role("link", name=own)).to_be_visible()
    await expect(lists["owner"].get_by_role("link", name=theirs)).to_have_count(0)
    await expect(lists["mina"].get_by_role("link", name=own)).to_have_count(0)

    second = await phone_of(at, "Mina")
    await second.get_by_role("link", name=theirs).click()
    await expect(talk(second).get_by_role("button", name="Stop this task")).to_be_visible()
    await left(second.context)
    await lists["mina"].get_by_role("link", name=theirs).click()
    await menu(mina)
    await expect(mina.get_by_text("Only you see this thread.")).to_be_visible()
    await picture(mina, "share")
    assert await faults(mina) == []
    await mina.get_by_role("button", name="Share", exact=True).click()
    await expect(lists["owner"].get_by_role("link", name=theirs)).to_be_visible()
    await lists["owner"].get_by_role("link", name=theirs).click()
    await expect(talk(owner).get_by_text("surprise party").first).to_be_visible()

    await menu(mina)
    await mina.get_by_role("button", name="Only me").click()
    await home(owner)
    await expect(lists["owner"].get_by_role("link", name=theirs)).to_have_count(0)
    await owner.reload()
    await expect(owner.get_by_role("link", name=own)).to_be_visible()
    await expect(owner.get_by_role("link", name=theirs)).to_have_count(0)
    for page in (owner, mina, tablet):
        await left(page.context)


async def test_the_hub_finds_what_is_not_on_this_phone_and_marks_the_place(at: Hands) -> None:
    """P-08: beneath what is here at once, in messages too, with parts of Korean words; never in somebody else's."""
    owner, mina = await at.device(), await phone_of(at, "Mina")
    await say(owner, "/brief Rent\nThe landlord wants 회의록 by Friday")
    await say(mina, "wait\nMy landlord must not know")
    main = await home(owner)

    await main.get_by_role("searchbox").fill("LANDLORD")

    hits = main.get_by_role("list", name="In all threads").get_by_role("link")
    await expect(hits).to_have_count(1)
    await expect(hits.locator("mark")).to_have_text("landlord")
    await picture(owner, "search-hub")
    assert await faults(owner) == []
    await main.get_by_role("searchbox").fill("의록")
    await expect(hits.locator("mark")).to_have_text("의록")
    await hits.click()
    await expect(talk(owner).get_by_text("by Friday").first).to_be_visible()
    for page in (owner, mina):
        await left(page.context)


async def test_what_was_erased_is_found_nowhere(at: Hands) -> None:
    """P-08, R5: after the held press neither the page nor the hub finds a word of it, and its files are gone."""
    page, rim = await at.device(), at.here.rim
    await tell(page, "/brief what stays")
    await home(page)
    card = await tell(page, "files of the apricot")
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
    mine = Principal(account=rim.owner.account, id=rim.owner.device, role=Role.OWNER)
    before = await rim.hub.store.search(mine, "apricot", limit=20)
    named = await rim.hub.store.named_blobs()

    await menu(page)
    await page.get_by_role("button", name="Hold to erase").hover()
    await page.mouse.down()
    main = page.get_by_role("main")
    await expect(main.get_by_role("searchbox")).to_be_visible()
    await page.mouse.up()
    await main.get_by_role("searchbox").fill("apricot")

    await expect(main.get_by_text("Nothing here has these words.")).to_be_visible()
    assert before
    assert await rim.hub.store.search(mine, "apricot", limit=20) == []
    assert named > await rim.hub.store.named_blobs()
    await left(page.context)


async def test_an_invitation_names_whose_device_it_will_be(at: Hands) -> None:
    """P-09: the name is given where a person is invited, and offered again for their next device."""
    page = await at.device()
    await page.get_by_role("link", name="Settings").click()
    part = page.get_by_role("region", name="Devices")
    await part.get_by_role("button", name="Invite a person").click()
    await part.get_by_role("combobox", name="Whose device is it?").fill("Jun")
    assert await faults(page) == []
    await picture(page, "invite-person")
    await part.get_by_role("button", name="Make the invitation").click()
    link = await part.get_by_text(re.compile("#join=")).inner_text()
    context = await at.browser.new_context(viewport={"width": 390, "height": 844}, locale="en-US")
    second = await context.new_page()
    await second.goto(link)
    await part.get_by_role("button", name="Add", exact=True).click()
    await expect(second.locator("#compose")).to_be_visible()

    devices = await at.here.rim.hub.store.texts(at.here.rim.owner.account, Device)
    assert sum('"person":"Jun"' in one for one in devices) == 1
    for one in (page.context, context):
        await left(one)

"""A hub elsewhere that is not believed: the programs as people start them, their signatures and who trusts whom."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.acceptance.test_page import FLAGS, hand_over, shot, talk
from tests.acceptance.test_restart import Owner, living, until
from tests.desk import Desk, first_line, make_desk
from tests.needs import chromium_path

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.timeout(180)]


@contextmanager
def hub(tmp_path: Path) -> Generator[tuple[Desk, Desk, dict[str, Any], Any]]:
    """Start a hub, and have a home beside it for a computer whose folder asks."""
    here, there = make_desk(tmp_path / "hub"), make_desk(tmp_path / "box")
    there.run("folders", "add", str(there.folder), "--mode", "ask")
    with living() as begun:
        ready = first_line(begun(here.spawn("hub", "--port", "0", "--json")))

        def computer(invite: str) -> subprocess.Popen[str]:
            started = there.spawn("runner", "--name", "box", "--json", *there.as_root(), DESKHAND_INVITE=invite)
            return begun(started)

        yield here, there, ready, computer


def test_the_command_line_signs_for_the_computer_that_it_invited(tmp_path: Path) -> None:
    """PA-03: a mere credential's yes leaves the request open; the CLI's signed one lets it happen."""
    with hub(tmp_path) as (here, there, _, computer):
        link = here.run("pair", "--kind", "runner", "--yes", "--no-wait", "--json").json["url"]
        first_line(computer(link))
        owner = Owner(desk=here)
        until(owner.computer)
        owner.begin("asks", "/run touch out", there.folder)
        until(lambda: owner.state("asks") == "input_required")

        (asked,) = owner.call("GET", "/v1/approvals?open=1")["items"]
        yes = {name: asked[name] for name in ("action_sha256",)} | {"approval": asked["id"]}
        op = {"op_id": "a-mere-token", "kind": "approval.decide", "body": yes | {"decision": "allow"}}
        (mere,) = owner.call("POST", "/v1/ops", {"ops": [op]})["results"]
        waits = owner.state("asks")
        said = here.run("approve", owner.tasks["asks"])
        until(lambda: owner.state("asks") == "completed")
        trusted = there.run("runner", "trust", "--json").json["items"]

    assert (mere["status"], mere["error"]["code"], waits) == ("rejected", "signature_needed", "input_required")
    assert (said.status, (there.folder / "out").exists()) == (0, True)
    assert [one["by"] for one in trusted] == [""]
    assert f".{trusted[0]['id']}" in link
    assert (here.home / "signing.json").stat().st_mode & 0o777 == 0o600


def test_a_computer_keeps_to_the_hub_that_invited_it(tmp_path: Path) -> None:
    """PA-09: the link names its hub; another one gets neither the invitation nor the token, wherever the address leads."""
    with hub(tmp_path) as (here, there, ready, computer), living() as begun:
        link = here.run("pair", "--kind", "runner", "--yes", "--no-wait", "--json").json["url"]
        wrong = re.sub("hub=[0-9a-f]{32}", "hub=" + "0" * 32, link)
        refused = there.run("runner", "--json", *there.as_root(), DESKHAND_INVITE=wrong)
        process = computer(link)
        first_line(process)
        until(Owner(desk=here).computer)
        shown, healthy = there.run("runner", "trust"), _trusting(there)
        process.terminate()
        process.communicate(timeout=60)

        other = first_line(begun(make_desk(tmp_path / "other").spawn("hub", "--port", "0", "--json")))
        moved = begun(there.spawn("runner", "--url", str(other["url"]), "--json", *there.as_root()))
        assert moved.stdout is not None
        said = next(error for line in iter(moved.stdout.readline, "") if (error := json.loads(line).get("error")))
        kept = json.loads((there.home / "runner.json").read_text())
        (there.home / "runner.json").write_text(json.dumps({**kept, "url": other["url"]}))
        alarmed = _trusting(there)

    assert refused.json["error"]["code"] == "hub_changed"
    assert f"hub={kept['hub']}" in link
    assert kept["hub"] in shown.out + shown.err
    assert (healthy["state"], kept["hub"] in healthy["said"], "up to low" in healthy["said"]) == ("good", True, True)
    assert (said["code"], "pair again" in said["cure"]) == ("hub_changed", True)
    assert (alarmed["state"], "not the hub" in alarmed["said"]) == ("bad", True)
    assert ready["url"] == kept["url"]


def _trusting(desk: Desk) -> Any:  # noqa: ANN401 - a row that was printed
    """Return what ``doctor`` says of whose word counts."""
    (row,) = [one for one in desk.run("doctor", "--no-model", "--json").json["items"] if one["check"] == "trust"]
    return row


def test_trust_is_listed_added_and_removed_at_the_computer(tmp_path: Path) -> None:
    """Lost all keys: a fingerprint typed here counts from then on; what is none is refused."""
    desk = make_desk(tmp_path)
    key = "0f" * 16

    empty = desk.run("runner", "trust")
    added = desk.run("runner", "trust", key)
    listed = desk.run("runner", "trust", "--json").json["items"]
    wrong = desk.run("runner", "trust", "nobody")
    removed = desk.run("runner", "trust", key, "--remove")

    assert [one.status for one in (empty, added, wrong, removed)] == [0, 0, 1, 0]
    assert [one["id"] for one in listed] == [key]
    assert desk.run("runner", "trust", "--json").json["items"] == []
    assert (desk.home / "trust.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("chromium")
async def test_a_phone_adds_a_computer_signs_for_it_and_certifies_another(tmp_path: Path) -> None:
    """SE-07, PA-03: the page's link pins its key; another page is told that it does not count, until certified."""
    with hub(tmp_path) as (here, there, ready, computer):
        url = str(ready["url"])
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
            page = await _page(browser, f"{url}/#join={ready['page_invite']}")
            await page.goto(f"{url}/#/computers")
            await page.get_by_role("button", name="Add a computer").click()
            shown = page.locator("code.command", has_text="deskhand runner --invite")
            command = await shown.inner_text()
            process = computer(command.split("'")[1])
            await page.goto(f"{url}/#/needs")
            await page.get_by_role("button", name="Add", exact=True).click()
            await asyncio.to_thread(lambda: first_line(process))

            await _begin(page, url, "/run touch first")
            await _allow(page)
            await expect(talk(page).get_by_text("Allowed by")).to_be_visible()
            until((there.folder / "first").exists)

            other = await _page(browser, await _link(here))
            await _begin(other, url, "/run touch second")
            await other.get_by_role("button", name="Review").click()
            sheet = other.get_by_role("dialog", name="Approval")
            await expect(sheet.get_by_text("takes this only signed by a device")).to_be_visible()
            await expect(sheet.get_by_role("button", name="Allow once")).to_be_disabled()
            await shot(other, "approval-untrusted")

            await page.goto(f"{url}/#/settings")
            certify = page.get_by_role("button", name=re.compile("Let it approve everything on"))
            await certify.first.click()
            await page.get_by_role("button", name=re.compile("shows this key")).click()
            await shot(page, "devices-certify")
            await expect(sheet.get_by_role("button", name="Allow once")).to_be_enabled(timeout=20_000)
            await sheet.get_by_role("button", name="Allow once").click()
            until((there.folder / "second").exists)
            await browser.close()
        trusted = json.loads((there.home / "trust.json").read_text())

    assert [bool(one["by"]) for one in trusted.values()] == [False, True]
    assert (there.folder / "first").exists()


async def _page(browser: Browser, link: str) -> Page:
    page = await (await browser.new_context(locale="en-US")).new_page()
    await page.goto(link)
    await expect(page.get_by_role("textbox").first).to_be_visible()
    return page


async def _link(here: Desk) -> str:
    said = await asyncio.to_thread(lambda: here.run("pair", "--yes", "--no-wait", "--json"))
    return str(said.json["url"])


async def _begin(page: Page, url: str, text: str) -> None:
    await page.goto(f"{url}/#/")
    await page.get_by_role("combobox", name="Folder").select_option(label="work")
    await hand_over(page, text)


async def _allow(page: Page) -> None:
    await page.get_by_role("button", name="Review").click()
    sheet = page.get_by_role("dialog", name="Approval")
    await expect(sheet.get_by_role("button", name="Allow once")).to_be_enabled(timeout=20_000)
    await sheet.get_by_role("button", name="Allow once").click()

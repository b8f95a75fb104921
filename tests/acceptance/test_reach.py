"""The roads from a phone to this computer, with the real program: what is promised was seen, or it is not shown."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from deskhand.cli import roads
from deskhand.cli.client import Client
from deskhand.cli.roads import Reach, served
from deskhand.errors import DeskhandError
from tests.acceptance.test_first_run import at_a_terminal
from tests.acceptance.test_page import FLAGS, PHONE, shot
from tests.desk import SECONDS, Desk, Said, first_line, make_desk
from tests.needs import chromium_path
from tests.tailnet import ANOTHER, AWAY, DENIED, DISABLED, NAME, Tailnet, status, tailnet

pytestmark = pytest.mark.timeout(120)

URL = f"https://{NAME}"
LINK = re.compile(r"(https?://\S+)/#join=(dhs_\S+)&hub=([0-9a-f]{32})")
PLAIN = "desk.home.arpa"
DRAWN = "▄"
"""What a code for a camera is made of at a terminal."""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a home that was never started."""
    return make_desk(tmp_path)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def up(desk: Desk, *words: str, env: Mapping[str, str]) -> Generator[subprocess.Popen[str]]:
    """Keep ``deskhand up`` running; it prints what a script reads."""
    process = desk.spawn("up", "--no-browser", "--json", *desk.as_root(), *words, **env)
    try:
        desk.ready = first_line(process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)


def refused(desk: Desk, net: Tailnet) -> Said:
    """Start where the road cannot be had."""
    words = ("up", "--port", "0", "--reach", "tailscale", "--no-browser", "--json", *desk.as_root())
    return desk.run(*words, extra=net.env())


def stations(desk: Desk, env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what ``doctor pairing`` says of each station."""
    said = desk.run("doctor", "pairing", "--json", extra=env).json["items"]
    return {one["check"]: (one["state"], one["said"]) for one in said}


def test_the_tailscale_road_is_served_seen_and_taken_back(desk: Desk, tmp_path: Path) -> None:
    """P-03: the name answers as this very hub before a link is shown, which names the hub; the end undoes what was set."""
    with tailnet(tmp_path) as net, up(desk, "--port", "0", "--reach", "tailscale", env=net.env()):
        target = net.state["served"]["Web"][f"{NAME}:443"]["Handlers"]["/"]["Proxy"]
        made = desk.run("pair", "--no-wait", "--json", extra=net.env()).json
        walked = stations(desk, net.env())

    owner = json.loads((desk.home / "owner.json").read_text())
    link = LINK.fullmatch(made["url"])
    assert desk.ready["url"] == URL
    assert target == owner["url"]
    assert link is not None
    assert link[1] == URL
    assert made["picture"].startswith("data:image/svg+xml")
    assert {name for name, (state, _) in walked.items() if state != "good"} == {"waiting", "added", "recovery"}
    assert URL in walked["road"][1]
    assert net.changes == [["serve", "--bg", "--https=443", target], ["serve", "--https=443", "off"]]
    assert net.state["served"] == {}


def test_what_somebody_else_serves_is_left_alone(desk: Desk, tmp_path: Path) -> None:
    """P-03: another site under the name is not replaced; a road that leads here already is used, and stays."""
    port = free_port()
    ours = json.loads(json.dumps(ANOTHER).replace("8123", str(port)))
    with tailnet(tmp_path, served=ANOTHER) as net:
        taken = refused(desk, net)
        kept = net.state["served"]
        net.answers(served=ours)
        with up(desk, "--port", str(port), "--reach", "tailscale", env=net.env()):
            url = desk.ready["url"]

    assert (taken.status, taken.json["error"]["code"]) == (1, "tailscale_taken")
    assert "tailscale serve status" in taken.json["error"]["cure"]
    assert (kept, url) == (ANOTHER, URL)
    assert (net.state["served"], net.changes) == (ours, [])


@pytest.mark.parametrize(
    ("state", "code", "said", "cure"),
    [
        ({"status": status("NeedsLogin")}, "tailscale_away", "NeedsLogin", "tailscale up"),
        ({"status": status("Stopped")}, "tailscale_away", "Stopped", "tailscale up"),
        ({"away": AWAY}, "tailscale_away", "tailscaled", "tailscale up"),
        ({"status": status(certificates=False)}, "tailscale_no_https", NAME, "HTTPS Certificates"),
        ({"denied": DENIED}, "tailscale_refused", "Access denied", "--operator"),
    ],
)
def test_a_tailscale_that_cannot_says_why_and_what_helps(
    desk: Desk, tmp_path: Path, state: dict[str, object], code: str, said: str, cure: str
) -> None:
    """P-03: one refusal each, with its cure; no link is shown and nothing is left behind."""
    with tailnet(tmp_path, **state) as net:
        ended = refused(desk, net)

    error = ended.json["error"]
    assert (ended.status, error["code"]) == (1, code)
    assert said in error["message"]
    assert cure in error["cure"]
    assert "#join=" not in ended.out + ended.err
    assert net.state["served"] == {}


async def test_an_administrator_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-03: where Tailscale waits until somebody allows it, it is ended, and the address to do so is passed on."""
    monkeypatch.setattr(roads, "_TAILSCALE_SECONDS_MAX", 1.0)
    with tailnet(tmp_path, disabled=DISABLED) as net:
        monkeypatch.setenv("PATH", net.env()["PATH"])
        with pytest.raises(DeskhandError) as refusal:
            await served(Reach(url=URL, tailscale=True), "http://127.0.0.1:3375").__aenter__()

    assert refusal.value.code == "tailscale_refused"
    assert "https://login.tailscale.com/f/serve?node=nABC123" in refusal.value.detail


def test_without_the_program_that_is_said(desk: Desk) -> None:
    """P-03: where there is no Tailscale, where to get it, and another road."""
    ended = desk.run("up", "--reach", "tailscale", "--json", *desk.as_root(), extra={"PATH": "/nowhere"})

    assert (ended.status, ended.json["error"]["code"]) == (1, "tailscale_missing")
    assert "tailscale.com/download" in ended.json["error"]["cure"]


def test_a_name_under_which_another_hub_answers_is_no_road(desk: Desk, tmp_path: Path) -> None:
    """P-03, PA-09: no link is shown for it; ``doctor pairing`` says so too when it becomes another's later."""
    other = make_desk(tmp_path / "other")
    other.run("config", "set", "hub.hosts", NAME)
    with up(other, "--port", "0", "--reach", "none", env={}), tailnet(tmp_path) as net:
        theirs = int(str(other.ready["url"]).rpartition(":")[2])
        net.to = theirs
        ended = refused(desk, net)
        net.to = 0
        with up(desk, "--port", "0", "--reach", "tailscale", env=net.env()):
            net.to = theirs
            state, said = stations(desk, net.env())["road"]

    assert (ended.status, ended.json["error"]["code"]) == (1, "hub_changed")
    assert "#join=" not in ended.out + ended.err
    assert (state, URL in said) == ("bad", True)


def test_a_hub_alone_goes_on_without_its_road_and_shows_no_link_for_it(desk: Desk, tmp_path: Path) -> None:
    """P-03: what leads to it may start later; until it was seen to answer nobody is sent there."""
    with tailnet(tmp_path) as net:
        net.to = free_port()
        process = desk.spawn("hub", "--port", "0", "--reach", "tailscale", **net.env())
        assert process.stderr is not None
        said = process.stderr.readline()
        answers = desk.run("devices", "list").status
        process.send_signal(signal.SIGTERM)
        shown, _ = process.communicate(timeout=SECONDS)

    assert "The hub does not answer" in said
    assert answers == 0
    assert "#join=" not in shown


def test_the_first_run_offers_tailscale_where_it_is_there(desk: Desk, tmp_path: Path) -> None:
    """P-03: it is the first choice; what it lacks is said and asked again; what was chosen is drawn for a camera."""
    with tailnet(tmp_path, status=status("NeedsLogin")) as net, at_a_terminal(desk, env=net.env()) as terminal:
        terminal.answer(("Which folder", "-"), ("Enter: none", ""), ("Keep this computer awake", "n"))
        offered = terminal.until("›")
        terminal.type("1")
        told = terminal.until("tailscale up")
        net.answers()
        terminal.type("1")
        shown = terminal.until("#join=")

    assert "1  Tailscale" in offered
    assert "not signed in" in told
    assert f"{URL} answered in" in shown
    assert DRAWN in shown
    assert 'reach = "tailscale"' in (desk.home / "config.toml").read_text()


def test_no_code_for_a_camera_that_a_phone_could_not_open(desk: Desk) -> None:
    """P-03: an address of this computer alone is shown as a link, never drawn, and what a phone needs is said."""
    with at_a_terminal(desk, "--no-input", "--reach", "none") as terminal:
        said = terminal.until("Ctrl-C stops")

    assert LINK.search(said)
    assert "Only this computer can open this" in said
    assert DRAWN not in said


def test_a_plain_road_says_what_is_missing_and_offers_another_for_notices(desk: Desk, tmp_path: Path) -> None:
    """P-03: drawn, because a phone opens it; no install, no push; ntfy by the command that sets it, to a topic of its own."""
    port = free_port()
    with tailnet(tmp_path) as net:
        net.names[PLAIN, port] = ("127.0.0.1", port)
        words = ("--no-input", "--port", str(port), "--reach", f"http://{PLAIN}:{port}")
        with at_a_terminal(desk, *words, env=net.env()) as terminal:
            said = terminal.until("Ctrl-C stops")
            offered = re.search(r"deskhand (notify set ntfy https://ntfy\.sh/deskhand-\S{16})", said)
            assert offered is not None
            before = stations(desk, net.env())
            done = desk.run(*offered[1].split(), extra=net.env())
            after = stations(desk, net.env())

    assert DRAWN in said
    assert "cannot be installed" in said
    assert done.status == 0
    assert (before["page"][0], before["push"][0]) == ("ask", "ask")
    assert after["push"] == ("good", "ntfy")


def test_doctor_says_each_station_of_the_pairing_that_is_under_way(desk: Desk) -> None:
    """P-04: waiting, asked with its number, added; then a hub that is away, with the cure and nothing else."""
    with up(desk, "--port", "0", "--reach", "none", env={}):
        hub, env = Client(url=str(desk.ready["url"])), dict[str, str]()
        made = desk.run("pair", "--no-wait", "--json").json
        desk.run("pair", "--recovery")
        waiting = stations(desk, env)
        asked = hub.call("POST", "/v1/pair", {"code": made["code"], "name": "My phone"})
        asking = stations(desk, env)
        claim = {"request": admitted(desk, asking), "secret": asked["secret"]}
        hub.call("POST", "/v1/pair/claim", claim)
        added = stations(desk, env)
        said = desk.run("doctor", "pairing")
    away = desk.run("doctor", "pairing", "--json")

    assert ("Only this computer" in waiting["road"][1], waiting["road"][0]) == (True, "ask")
    assert "for a page (owner), until 20" in waiting["waiting"][1]
    assert waiting["recovery"][0] == "good"
    assert made["invite"] not in json.dumps(waiting)
    assert "My phone" in asking["asked"][1]
    assert " ".join(asked["match"]) in asking["asked"][1]
    assert (added["asked"][0], added["added"][0], "My phone" in added["added"][1]) == ("good", "good", True)
    assert said.status == 0
    assert "! Road for a phone: Only this computer" in said.out
    assert [(one["check"], one["state"]) for one in away.json["items"]] == [("hub", "bad")]
    assert (away.status, "deskhand up" in away.json["items"][0]["said"]) == (1, True)


def admitted(desk: Desk, asking: dict[str, tuple[str, str]]) -> str:
    """Say yes by the command that was printed; return the request."""
    printed = re.search(r"deskhand (devices admit (req_\S+))", asking["asked"][1])
    assert printed is not None
    assert desk.run(*printed[1].split()).status == 0
    return printed[2]


@pytest.mark.needs("chromium")
async def test_a_phone_joins_over_the_tailscale_road_and_invites_the_next(desk: Desk, tmp_path: Path) -> None:
    """P-03, P-04: under the public name the page is whole, its cookie is bound to it, and its invitation is drawn."""
    with tailnet(tmp_path) as net, up(desk, "--port", "0", "--reach", "tailscale", env=net.env()):
        made = desk.run("pair", "--yes", "--no-wait", "--json", extra=net.env()).json
        rule = f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{net.port}"
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium_path(), args=[*FLAGS, rule])
            context = await browser.new_context(viewport=PHONE, locale="en-US", ignore_https_errors=True)
            page = await context.new_page()
            await page.goto(made["url"])
            await expect(page.get_by_role("textbox", name="What should be done?")).to_be_visible()
            secure = await page.evaluate("isSecureContext")
            cookies = [(one.get("name"), one.get("secure")) for one in await context.cookies()]
            await page.get_by_role("link", name="Settings").click()
            await page.get_by_role("button", name="Add a device").click()
            code = page.get_by_role("img", name="The invitation as a code for a camera")
            await expect(code).to_be_visible()
            drawn = await code.evaluate("image => image.complete && image.naturalWidth > 0")
            link = await page.get_by_text(re.compile("#join=")).inner_text()
            await shot(page, "invite-drawn")
            await browser.close()

    assert secure
    assert cookies == [("__Host-dh", True)]
    assert drawn
    assert LINK.fullmatch(link) is not None
    assert link.startswith(URL)


@pytest.mark.needs("chromium")
async def test_over_plain_http_the_page_says_what_is_missing_and_what_notifies_all_the_same(
    desk: Desk, tmp_path: Path
) -> None:
    """P-03: no install, no push, no signing; ntfy, by the line that sets it, while joining and in the settings."""
    port, line = free_port(), re.compile(r"^deskhand notify set ntfy https://ntfy\.sh/deskhand-\S{16}$")
    with tailnet(tmp_path) as net:
        net.names[PLAIN, port] = ("127.0.0.1", port)
        with up(desk, "--port", str(port), "--reach", f"http://{PLAIN}:{port}", env=net.env()):
            made = desk.run("pair", "--yes", "--no-wait", "--json", extra=net.env()).json
            async with async_playwright() as driver:
                rule = f"--host-resolver-rules=MAP {PLAIN} 127.0.0.1"
                browser = await driver.chromium.launch(executable_path=chromium_path(), args=[*FLAGS, rule])
                page = await browser.new_page(viewport=PHONE, locale="en-US")
                await page.goto(f"http://{PLAIN}:{port}/")
                await expect(page.get_by_text("came over plain HTTP")).to_be_visible()
                await expect(page.get_by_text(line)).to_be_visible()
                await shot(page, "join-plain")
                await page.goto(made["url"])
                await page.get_by_role("link", name="Settings").click()
                await expect(page.get_by_text("Notifications need HTTPS")).to_be_visible()
                await expect(page.get_by_text(line)).to_be_visible()
                await browser.close()

    assert made["picture"]

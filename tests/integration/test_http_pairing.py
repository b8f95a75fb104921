"""How a stranger becomes a device, and how not (PA)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.hub.credentials import Pairing, Peer, ensure_owner, local_device, write_claim_page
from deskhand.limits import CODE_TRIES_MAX, PAIR_FAILURES_PER_MINUTE_MAX, PAIR_PENDING_MAX
from deskhand.protocol.objects import Device, FolderMode, PairRequest, Role
from deskhand.protocol.requests import HereAsk, InviteAsk, PairAsk, PairAsked, PairClaim, PairClaimed
from deskhand.store.private import OWNER_FILE
from tests.rim import ORIGIN, Rim, code_of, open_rim


@pytest.fixture
async def rim(tmp_path: Path) -> AsyncGenerator[Rim]:
    async with open_rim(tmp_path, on_disk=True) as opened:
        yield opened


async def invited(rim: Rim, **wish: object) -> dict[str, str]:
    answer = await rim.local.post("/v1/pair/invites", json=wish)
    return answer.json()


async def admit(rim: Rim, request: str, *, yes: bool = True) -> httpx.Response:
    op = {"op_id": f"op-{request}", "kind": "device.admit", "body": {"request": request, "admit": yes}}
    return await rim.local.post("/v1/ops", json={"ops": [op]})


async def test_a_code_only_files_a_request_until_the_owner_says_yes(rim: Rim) -> None:
    """Six digits never let anybody in, even where the link would; the owner's yes does (security 2.3)."""
    made = await invited(rim, kind="cli", role="member", admits_alone=True)
    stranger = rim.client()
    asked = await stranger.post("/v1/pair", json={"code": made["code"], "name": "my laptop"})
    claim = {"request": asked.json()["request"], "secret": asked.json()["secret"]}

    pending = await stranger.post("/v1/pair/claim", json=claim)
    shown = (await rim.local.get("/v1/pair/requests")).json()["items"]
    await admit(rim, claim["request"])
    claimed = await stranger.post("/v1/pair/claim", json=claim)
    tasks = await rim.client(claimed.json()["token"]).get("/v1/tasks")

    assert (asked.status_code, pending.status_code, claimed.status_code) == (202, 202, 200)
    assert [(one["name"], one["match"]) for one in shown] == [("my laptop", asked.json()["match"])]
    assert tasks.status_code == 200


async def test_a_link_shown_at_the_machine_is_admitted_by_itself(rim: Rim) -> None:
    """The 128-bit invitation of ``up`` needs no second yes, and makes the device it was made for."""
    client = rim.client()

    device = await rim.page(client)

    known = await rim.hub.store.get(rim.owner.account, Device, device)
    assert known is not None
    assert (known.kind, known.state) == ("page", "active")


async def test_a_link_leads_where_a_phone_can_go_and_is_drawn_only_then(rim: Rim) -> None:
    """P-03: made at this computer it goes by the road; made under another name it keeps that; else it is not drawn."""
    alone = await invited(rim)
    rim.pairing.road = "https://desk.example"
    by_road, runner = await invited(rim), await invited(rim, kind="runner")
    elsewhere = await rim.pairing.create_invite(rim.owner.account, InviteAsk(), at="https://other.example")

    places = [one["url"].partition("/#join=")[0] for one in (alone, by_road, runner)]
    assert places == [ORIGIN, "https://desk.example", "https://desk.example"]
    assert [one.get("picture", "")[:18] for one in (alone, by_road, runner)] == ["", "data:image/svg+xml", ""]
    assert elsewhere.url.startswith(f"https://other.example/#join={elsewhere.invite}")


async def test_what_is_open_is_listed_without_what_opens_it(rim: Rim) -> None:
    """P-04, PA-04: the owner sees kind, role and end of each; used, closed and run out ones are gone; nobody else looks."""
    made, used, closed = [await invited(rim, kind="cli", role="member", admits_alone=True) for _ in range(3)]
    kept = await invited(rim, recovery=True)
    await rim.client().post("/v1/pair", json={"invite": used["invite"], "name": "x"})
    await rim.local.delete(f"/v1/pair/invites/{closed['id']}")
    ended = await rim.pairing.create_invite(rim.owner.account, InviteAsk(), seconds=-1)
    _, member = await rim.device(Role.MEMBER)

    listed = await rim.local.get("/v1/pair/invites")
    foreign = await rim.client(member).get("/v1/pair/invites")

    shown = {one.pop("id"): one for one in listed.json()["items"]}
    assert shown == {
        made["id"]: {"kind": "cli", "role": "member", "expires_at": made["expires_at"], "recovery": False},
        kept["id"]: {"kind": "page", "role": "owner", "expires_at": kept["expires_at"], "recovery": True},
    }
    assert not [one for one in (made, kept) if one["invite"] in listed.text or one["code"] in listed.text]
    assert ended.id not in shown
    assert foreign.status_code == 403


async def test_only_the_browser_of_this_computers_user_widens_what_it_may_use(rim: Rim) -> None:
    """PA-04: the one that came in through the local claim, and from this user; no phone, no terminal, nobody else."""
    asked: list[HereAsk] = []

    async def here(wish: HereAsk) -> None:
        asked.append(wish)

    pairing = Pairing(rim.hub.store, rim.hub.clock, rim.ids, uid=7)
    pairing.here, mine = here, Peer(address="127.0.0.1", uid=7)
    wish = HereAsk(folder="/w", mode=FolderMode.ASK)
    local = await pairing.create_local_claim(rim.owner.account)
    link = await pairing.create_invite(rim.owner.account, InviteAsk(admits_alone=True))
    devices: list[str] = []
    for made in (local, link):
        joining = await pairing.ask(PairAsk(invite=made.invite, name="x"), peer=mine)
        claim = PairClaim(request=joining.request, secret=joining.secret)
        claimed, _ = await pairing.claim(claim, peer=mine)
        assert isinstance(claimed, PairClaimed)
        devices.append(claimed.device)

    await pairing.use_here(devices[0], wish, peer=mine)
    for device, uid in ((devices[0], 8), (devices[0], None), (devices[1], 7), (rim.owner.device, 7)):
        with pytest.raises(DeskhandError):
            await pairing.use_here(device, wish, peer=Peer(address="127.0.0.1", uid=uid))

    assert asked == [wish]


async def test_a_page_lowers_a_ceiling_and_never_lifts_it(rim: Rim) -> None:
    """G-02: narrowing takes effect at once from a phone; widening is typed where deskhand is typed."""
    page = rim.client()
    await rim.page(page)

    async def put(client: httpx.AsyncClient, value: str) -> str:
        body = {"name": "ceiling.mode", "value": value}
        op = {"op_id": rim.ids.new("op"), "kind": "settings.put", "body": body}
        (result,) = (await client.post("/v1/ops", json={"ops": [op]})).json()["results"]
        return str(result["status"])

    said = [await put(page, "ask"), await put(page, "workspace"), await put(page, "read-only")]
    typed = await put(rim.local, "trusted")

    assert (said, typed) == (["ok", "rejected", "ok"], "ok")


async def test_a_refused_request_gets_nothing(rim: Rim) -> None:
    """The owner's no is final for that request."""
    made = await invited(rim)
    asked = await rim.client().post("/v1/pair", json={"invite": made["invite"], "name": "x"})
    claim = {"request": asked.json()["request"], "secret": asked.json()["secret"]}
    await admit(rim, claim["request"], yes=False)

    answer = await rim.client().post("/v1/pair/claim", json=claim)

    assert (answer.status_code, code_of(answer)) == (403, "forbidden")


async def test_a_credential_is_handed_out_once(rim: Rim) -> None:
    """Two claims at the same instant: one credential, one device (PA-01)."""
    made = await invited(rim, kind="cli", admits_alone=True)
    asked = await rim.client().post("/v1/pair", json={"invite": made["invite"], "name": "x"})
    claim = {"request": asked.json()["request"], "secret": asked.json()["secret"]}

    answers = await asyncio.gather(*(rim.client().post("/v1/pair/claim", json=claim) for _ in range(5)))

    assert sorted(one.status_code for one in answers) == [200, 410, 410, 410, 410]


async def test_of_many_at_once_one_uses_the_invitation(rim: Rim) -> None:
    """An invitation is single use under concurrency, by link and by code mixed (PA-01)."""
    made = await invited(rim)
    ways = [{"invite": made["invite"]}, {"code": made["code"]}] * 4

    answers = await asyncio.gather(*(rim.client().post("/v1/pair", json={**way, "name": "x"}) for way in ways))

    assert [one.status_code for one in answers].count(202) == 1


class _Later(SystemClock):
    """A year on."""

    @override
    def now(self) -> datetime:
        return super().now() + timedelta(days=365)


async def test_a_recovery_code_lets_one_page_in_once_and_long_after(rim: Rim) -> None:
    """Of many that come with it at once one gets in, a year after the first start; a new one ends the old one (AU-09)."""
    old, made = await invited(rim, recovery=True), await invited(rim, recovery=True)
    later = Pairing(rim.hub.store, _Later(), rim.ids)
    peer, guess = Peer(address="192.0.2.9"), PairAsk(code=made["code"][:20], name="guesser")
    asks = [later.ask(PairAsk(invite=made["invite"], name=f"phone {n}"), peer=peer) for n in range(10)]

    answers = await asyncio.gather(*asks, return_exceptions=True)
    got = [one for one in answers if isinstance(one, PairAsked)]
    others = [one.code for one in answers if isinstance(one, DeskhandError)]
    claimed, _ = await later.claim(PairClaim(request=got[0].request, secret=got[0].secret), peer=peer)

    assert (len(got), others) == (1, [Code.INVITE_INVALID] * 9)
    assert isinstance(claimed, PairClaimed)
    assert (claimed.kind, claimed.role) == ("page", "owner")
    for wish in (guess, PairAsk(invite=old["invite"], name="finder"), PairAsk(invite=made["invite"], name="again")):
        with pytest.raises(DeskhandError, match="used up"):
            await later.ask(wish, peer=Peer(address="192.0.2.10"))


@pytest.mark.parametrize("wish", [{"kind": "runner"}, {"role": "owner"}])
async def test_kind_and_role_belong_to_the_invitation(rim: Rim, wish: dict[str, str]) -> None:
    """Who redeems an invitation cannot ask for another kind or for more (PA-04)."""
    made = await invited(rim, kind="cli", role="viewer")

    answer = await rim.client().post("/v1/pair", json={"invite": made["invite"], "name": "x", **wish})

    assert (answer.status_code, code_of(answer)) == (403, "forbidden")


async def test_guessing_codes_ends_soon_and_the_link_still_works(rim: Rim) -> None:
    """Five wrong tries close the codes for that address, not the owner's own link (PA-01)."""
    made = await invited(rim, kind="cli", admits_alone=True)
    wrong = "000000" if made["code"] != "000000" else "000001"
    tries = [await rim.client().post("/v1/pair", json={"code": wrong, "name": "x"}) for _ in range(CODE_TRIES_MAX + 1)]

    right = await rim.client().post("/v1/pair", json={"code": made["code"], "name": "x"})
    link = await rim.client().post("/v1/pair", json={"invite": made["invite"], "name": "x"})

    assert [one.status_code for one in tries] == [410] * CODE_TRIES_MAX + [429]
    assert (right.status_code, link.status_code) == (429, 202)
    assert int(right.headers["Retry-After"]) > 60


async def test_strangers_of_all_addresses_share_one_budget_for_codes(rim: Rim) -> None:
    """Many addresses do not multiply the odds against many live codes (PA-01)."""
    made = await rim.pairing.create_invite(rim.owner.account, InviteAsk())
    wrong = PairAsk(code="12" if made.code != "12" else "13", name="x")
    for number in range(PAIR_FAILURES_PER_MINUTE_MAX):
        with pytest.raises(DeskhandError):
            await rim.pairing.ask(wrong, peer=Peer(address=f"10.0.0.{number}"))

    with pytest.raises(DeskhandError) as refused:
        await rim.pairing.ask(wrong, peer=Peer(address="10.0.1.1"))

    assert refused.value.code is Code.RATE_LIMITED


async def test_waiting_requests_are_bounded(rim: Rim) -> None:
    """Many requests at once never exceed what a person could look at (PA-02)."""
    links = [await rim.pairing.create_invite(rim.owner.account, InviteAsk()) for _ in range(PAIR_PENDING_MAX + 10)]

    answers = await asyncio.gather(
        *(rim.client().post("/v1/pair", json={"invite": one.invite, "name": "x"}) for one in links)
    )
    waiting = await rim.hub.store.find(rim.owner.account, PairRequest, states=("waiting",))

    assert [one.status_code for one in answers].count(202) == len(waiting) == PAIR_PENDING_MAX
    assert {one.status_code for one in answers} == {202, 429}


async def test_a_closed_invitation_is_gone(rim: Rim) -> None:
    """A code lives only while the page or terminal that shows it is open."""
    made = await invited(rim)

    closed = await rim.local.delete(f"/v1/pair/invites/{made['id']}")
    answer = await rim.client().post("/v1/pair", json={"invite": made["invite"], "name": "x"})

    assert (closed.status_code, code_of(answer)) == (204, "invite_invalid")


async def test_the_secret_of_a_request_is_needed_to_claim_it(rim: Rim) -> None:
    """The request's id stands on screens; only the device that asked can claim."""
    made = await invited(rim, admits_alone=True)
    asked = await rim.client().post("/v1/pair", json={"invite": made["invite"], "name": "x"})

    answer = await rim.client().post("/v1/pair/claim", json={"request": asked.json()["request"], "secret": "guess"})

    assert (answer.status_code, code_of(answer)) == (410, "invite_invalid")


async def test_a_local_claim_counts_for_the_same_user_only(rim: Rim) -> None:
    """Another user of the machine who saw the link gets nothing by it (security 2.3)."""
    pairing = Pairing(rim.hub.store, rim.hub.clock, rim.ids, uid=1000)
    made = await pairing.create_local_claim(rim.owner.account)
    wish = PairAsk(invite=made.invite, name="browser")

    with pytest.raises(DeskhandError) as foreign:
        await pairing.ask(wish, peer=Peer(address="127.0.0.1", uid=1001))
    own = await pairing.ask(wish, peer=Peer(address="127.0.0.1", uid=1000))

    assert foreign.value.code is Code.INVITE_INVALID
    assert own.request


async def test_removing_a_device_ends_its_token_at_once(rim: Rim) -> None:
    """Token, and with it everything that needs one, is void with the answer to DELETE (PA-07)."""
    client = rim.client()
    device = await rim.page(client)

    removed = await rim.local.delete(f"/v1/devices/{device}")
    after = await client.get("/v1/tasks")
    again = await rim.local.delete(f"/v1/devices/{device}")

    assert (removed.status_code, after.status_code, again.status_code) == (204, 401, 404)


async def test_the_owner_file_is_private_and_read_only_as_such(rim: Rim) -> None:
    """0600 from its first byte; a file that others may read is not believed."""
    path = rim.home / OWNER_FILE

    mode = path.stat().st_mode & 0o777
    path.chmod(0o644)
    with pytest.raises(DeskhandError) as refused:
        local_device(path)

    assert (mode, refused.value.code) == (0o600, Code.HOME_UNSAFE)


async def test_a_restart_keeps_the_owner_and_a_revoked_one_is_made_anew(rim: Rim) -> None:
    """The same token after a restart; after a revocation the old one stays dead and the machine gets another."""
    store = rim.hub.store
    same = await ensure_owner(store, rim.ids, home=rim.home, name="laptop")
    await store.write(rim.owner.account, lambda tx: tx.revoke_credentials(rim.owner.device))

    fresh = await ensure_owner(store, rim.ids, home=rim.home, name="laptop")
    old = await rim.client(rim.owner.token).get("/v1/tasks")
    new = await rim.client(fresh.token).get("/v1/tasks")

    assert same.token == rim.owner.token != fresh.token
    assert (old.status_code, new.status_code) == (401, 200)


async def test_the_claim_page_is_private_and_carries_the_secret_in_the_fragment(tmp_path: Path) -> None:
    """The browser is opened on a file only this user can read, not on the link (security 2.3)."""
    path = write_claim_page(tmp_path, url="http://127.0.0.1:3375", secret="dhs_abc")

    assert path.stat().st_mode & 0o777 == 0o600
    assert "http://127.0.0.1:3375/#claim=dhs_abc" in path.read_text()

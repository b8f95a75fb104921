"""A computer whose hub is not believed: what counts as a yes, and who may give it (security 1.1)."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, CommandResult, Done, FolderAccess
from deskhand.protocol.events import ORDER_KINDS, ApprovalDecided, Body, DeviceRevoked, FolderPut, SettingChanged
from deskhand.protocol.objects import Folder, FolderMode, Runner
from deskhand.protocol.tasks import Approval, TaskState
from deskhand.protocol.wire import Json, JsonObject
from deskhand.runner.ceiling import TRUST, Trust
from deskhand.testing.agents import Obedient, call, wish
from deskhand.testing.links import RUNNER
from tests.laptop import ACCOUNT, Laptop, until
from tests.signer import Signer

WRITE = wish(call("write_file", path="report.md", content="hello\n"))
END = Done(summary="x")


def box(tmp_path: Path, *trusted: Signer, moves: int = 1) -> Laptop:
    """Return a computer that believes its hub up to low, with the devices it trusts."""
    writes = [wish(call("write_file", path=f"{n or 'report'}.md", content="x")) for n in range(moves)]
    laptop = Laptop(tmp_path, [Obedient([*writes, END])], hub_trust="low")
    for signer in trusted:
        trust_of(laptop).add(signer.fingerprint, device=signer.device)
    return laptop


def trust_of(laptop: Laptop) -> Trust:
    """Return what the computer's file says."""
    return Trust(home=laptop.home, runner=RUNNER, clock=SystemClock(), account=ACCOUNT)


async def asked(laptop: Laptop, *, but: str = "") -> Approval:
    """Return the approval that waits."""
    await until(lambda: [one for one in laptop.hub.approvals() if one.id != but])
    return next(one for one in laptop.hub.approvals() if one.id != but)


def request(**more: Json) -> Approval:
    """Return a request of that computer."""
    names = ("id", "task", "thread", "sentence", "nonce", "rule", "action_sha256", "requested_at")
    about: JsonObject = {"runner": RUNNER, "epoch": 1, "action": {"tool": "t", "arguments": {}}, "risk": "low"}
    return Approval.from_json({**dict.fromkeys(names, "x"), **about, **more})


def named(key: str, **_: object) -> str:
    """Say a sentence by its name."""
    return key


def begin(laptop: Laptop, mode: FolderMode = FolderMode.ASK) -> str:
    """Begin a task in a folder that asks."""
    return laptop.hub.assign("x", agent="scripted", folder=laptop.grant(mode).id)


async def test_a_signed_yes_of_a_trusted_device_counts(tmp_path: Path) -> None:
    """What asks above ``hub_trust`` happens after a yes that a trusted key signed over exactly it (R18)."""
    phone = Signer()
    async with box(tmp_path, phone) as laptop:
        task = begin(laptop)
        approval = await asked(laptop)
        laptop.hub.tell(phone.yes(approval), task=task)

        ended = await laptop.finish(task)

    assert ended.state is TaskState.COMPLETED
    assert (laptop.folder / "report.md").exists()


STRANGER = Signer(device="dev_phone")
Forgery = Callable[[Signer, Approval, Approval], ApprovalDecided]
FORGED: dict[str, Forgery] = {
    "no signature": lambda phone, now, _: phone.yes(now).but(signature=None, statement=None),
    "a key that nobody trusts": lambda _, now, __: STRANGER.yes(now),
    "its fingerprint with another key": lambda phone, now, _: STRANGER.yes(now).but(key=phone.yes(now).key),
    "another account": lambda phone, now, _: phone.yes(now, account="acc_other"),
    "another computer": lambda phone, now, _: phone.yes(now, runner="run_other"),
    "another task": lambda phone, now, _: phone.yes(now, task="tsk_other"),
    "another epoch": lambda phone, now, _: phone.yes(now, epoch=99),
    "another nonce": lambda phone, now, _: phone.yes(now, nonce="used"),
    "another action": lambda phone, now, _: phone.yes(now, action_sha256="0" * 64),
    "a no": lambda phone, now, _: phone.yes(now, decision="deny"),
    "a narrower scope": lambda phone, now, _: phone.yes(now, scope="once").but(scope="task"),
    "another device": lambda phone, now, _: phone.yes(now).but(device="dev_other"),
    "one word more": lambda phone, now, _: phone.yes(now, more=True),
    "the yes to an earlier request": lambda phone, now, old: phone.yes(old).but(
        approval=now.id, action_sha256=now.action_sha256
    ),
    "not base64": lambda phone, now, _: phone.yes(now).but(signature="ä", key="ö"),
    "other bytes beside it": lambda phone, now, _: phone.yes(now).but(statement=(phone.yes(now).statement or "") + " "),
}


@pytest.mark.parametrize("forged", FORGED)
async def test_no_other_yes_counts(forged: str, tmp_path: Path) -> None:
    """Forged, replayed or bent: nothing happens, the request stays open anew and says what to do (AP-13, PA-03, R18)."""
    phone = Signer()
    async with box(tmp_path, phone, moves=2) as laptop:
        task = begin(laptop)
        first = await asked(laptop)
        laptop.hub.tell(phone.yes(first), task=task)
        second = await asked(laptop, but=first.id)
        laptop.hub.tell(FORGED[forged](phone, second, first), task=task)

        third = await asked(laptop, but=second.id)
        (void,) = laptop.hub.approvals("void")
        before = (laptop.folder / "1.md").exists()
        laptop.hub.tell(phone.yes(third), task=task)
        ended = await laptop.finish(task)

    assert (void.id, "deskhand runner trust" in (void.reason or "")) == (second.id, True)
    assert third.nonce not in {first.nonce, second.nonce}
    assert (before, ended.state) == (False, TaskState.COMPLETED)


async def test_a_no_needs_no_signature(tmp_path: Path) -> None:
    """Whoever may speak for the owner may stop things."""
    async with box(tmp_path) as laptop:
        task = begin(laptop)
        laptop.hub.decide(await asked(laptop), "deny")

        await laptop.finish(task)

    assert not (laptop.folder / "report.md").exists()


async def test_a_yes_is_decided_by_what_is_trusted_at_that_moment(tmp_path: Path) -> None:
    """A key that was trusted when it signed and is no more when it is heard does not count; typed anew, it does."""
    phone = Signer()
    async with box(tmp_path, phone) as laptop:
        task = begin(laptop)
        first = await asked(laptop)
        trust_of(laptop).remove(phone.fingerprint)
        laptop.hub.tell(phone.yes(first), task=task)
        second = await asked(laptop, but=first.id)
        trust_of(laptop).add(phone.fingerprint)
        laptop.hub.tell(phone.yes(second), task=task)

        ended = await laptop.finish(task)

    assert ended.state is TaskState.COMPLETED


async def test_an_honest_hub_refuses_what_its_computer_would_refuse(tmp_path: Path) -> None:
    """It knows from the advertisement: the request stays open on every screen, and the error says the cure."""
    async with box(tmp_path) as laptop:
        begin(laptop)
        approval = await asked(laptop)

        with pytest.raises(DeskhandError) as refused:
            laptop.hub.decide(approval, "allow")

        assert refused.value.code is Code.SIGNATURE_NEEDED
        assert laptop.hub.approvals() == [approval]


async def test_a_yes_for_the_task_covers_no_higher_risk_than_it_was_given_for(tmp_path: Path) -> None:
    """The same command behind no wall any more is another risk, and asked again (AP-10)."""
    run = wish(call("run_command", argv=["ls"]))
    laptop = Laptop(tmp_path, [Obedient([run, run, END])], hub_trust="medium")

    def falls(_: Command, __: FolderAccess) -> CommandResult:
        laptop.box.level = "none"
        return CommandResult(exit_code=0, output=b"", truncated=False, timed_out=False)

    laptop.box.does = falls
    async with laptop:
        begin(laptop)
        first = await asked(laptop)
        laptop.hub.decide(first, "allow", scope="task")

        second = await asked(laptop, but=first.id)

    assert (first.risk, second.risk) == ("medium", "high")
    assert len(laptop.box.ran) == 1


# --- who is trusted ----------------------------------------------------------------------------------------------


async def test_a_trusted_device_certifies_another(tmp_path: Path) -> None:
    """The other one's yes counts from then on, and the computer tells whose it takes."""
    phone, tablet = Signer(), Signer(device="dev_tablet")
    async with box(tmp_path, phone) as laptop:
        laptop.hub.tell(phone.word_for(tablet))
        await until(lambda: len(_advertised(laptop).trusted) == 2)
        task = begin(laptop)
        laptop.hub.tell(tablet.yes(await asked(laptop)), task=task)

        ended = await laptop.finish(task)

    assert ended.state is TaskState.COMPLETED
    assert trust_of(laptop).known()[tablet.fingerprint]["by"] == phone.fingerprint


@pytest.mark.parametrize(
    "otherwise", [{"account": "acc_other"}, {"device": "dev_x"}, {"fingerprint": "0" * 32}, {"runner": "run_x"}]
)
def test_a_certificate_says_exactly_what_it_does(otherwise: dict[str, str], tmp_path: Path) -> None:
    """One for another account, device, key or computer is nothing (PA-03)."""
    phone, tablet = Signer(), Signer(device="dev_tablet")
    laptop = box(tmp_path, phone)

    word = phone.word_for(tablet)
    told = {**json.loads(word.statement or ""), **otherwise}
    _hear(laptop, word.but(**phone.signs(told)))

    assert trust_of(laptop).fingerprints() == (phone.fingerprint,)


def test_nobody_certifies_themselves(tmp_path: Path) -> None:
    """Not a hub with a key of its own, nor with the name of a device that is trusted (PA-05)."""
    phone, hub = Signer(), Signer(device="dev_hub")
    laptop = box(tmp_path, phone)

    _hear(laptop, hub.word_for(hub))
    _hear(laptop, hub.named("dev_phone").word_for(hub.named("dev_phone")))
    _hear(laptop, hub.word_for(hub).but(key=phone.word_for(hub).key))

    assert trust_of(laptop).fingerprints() == (phone.fingerprint,)


def test_a_revoked_device_does_not_come_back_by_an_old_certificate(tmp_path: Path) -> None:
    """Heard in either order; only the keyboard trusts it again."""
    phone, tablet, other = Signer(), Signer(device="dev_tablet"), Signer(device="dev_other")
    laptop = box(tmp_path, phone)

    for one in (tablet, other):
        word, gone = phone.word_for(one), DeviceRevoked(device=one.device)
        for body in (word, gone, word) if one is tablet else (gone, word):
            _hear(laptop, body)
    without = trust_of(laptop).fingerprints()
    trust_of(laptop).add(tablet.fingerprint, device=tablet.device)

    assert without == (phone.fingerprint,)
    assert trust_of(laptop).fingerprints() == (phone.fingerprint, tablet.fingerprint)


def test_a_file_that_cannot_be_believed_trusts_nobody(tmp_path: Path) -> None:
    """Readable by others or damaged, no signature counts, and what it says is not written over."""
    phone = Signer()
    laptop = box(tmp_path, phone)
    file = laptop.home / TRUST
    file.chmod(0o644)
    open_to_others = trust_of(laptop).fingerprints()
    file.chmod(0o600)
    file.write_text(json.dumps({"x": 1}))

    _hear(laptop, phone.word_for(Signer(device="dev_tablet")))

    assert (open_to_others, trust_of(laptop).fingerprints()) == ((), ())
    assert json.loads(file.read_text()) == {"x": 1}


def test_what_several_write_down_at_once_is_all_kept(tmp_path: Path) -> None:
    """A revocation that the hub tells of is not lost to a key that is trusted at the keyboard meanwhile."""
    trust = Trust(home=tmp_path, runner=RUNNER, clock=SystemClock())
    keys = {f"key-{number}" for number in range(40)}

    with ThreadPoolExecutor(8) as several:
        list(several.map(trust.add, keys))

    assert {*trust.fingerprints()} == keys


async def test_a_hub_cannot_widen_what_it_is_believed(tmp_path: Path) -> None:
    """Settings, folders and modes that it puts change nothing here: it still asks, and a hub's yes is none (SE-07)."""
    async with box(tmp_path) as laptop:
        granted = laptop.grant(FolderMode.ASK)
        wide = {"id": granted.id, "runner": RUNNER, "root": granted.root, "label": "x"}
        laptop.hub.tell(FolderPut(folder=Folder.from_json({**wide, "mode": "trusted"})))
        laptop.hub.tell(SettingChanged(name="runner.hub_trust", value="high"))
        task = begin(laptop)
        first = await asked(laptop)
        laptop.hub.tell(
            ApprovalDecided(approval=first.id, decision="allow", action_sha256=first.action_sha256), task=task
        )

        await asked(laptop, but=first.id)

    assert _advertised(laptop).hub_trust == "low"
    assert not (laptop.folder / "report.md").exists()


def test_the_documents_say_of_every_order_why_it_widens_nothing() -> None:
    """SE-07: what a computer takes from its hub is a table, and no order is missing in it."""
    page = (Path(__file__).parents[2] / "docs/explanation/trust.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]

    missing = [
        kind for kind in (*ORDER_KINDS, "device.certified") if not any(f"`{kind}`" in row.split("|")[1] for row in rows)
    ]

    assert missing == []


def _advertised(laptop: Laptop) -> Runner:
    (runner,) = laptop.hub.account.find(Runner)
    return runner


def _hear(laptop: Laptop, body: Body) -> None:
    laptop.hub.tell(body)
    trust_of(laptop).hear(laptop.hub.account.log[-1])


def test_a_yes_that_stays_is_signed_with_what_it_is_for(tmp_path: Path) -> None:
    """For always: below ``hub_trust`` too, and the statement names the very line and day that were shown (AP-10)."""
    phone = Signer()
    trust = replace(trust_of(box(tmp_path, phone)), level=lambda: "medium")
    asked = request(risk="medium", pattern="allow t until 2026-12-24", until="2026-12-24")

    once = phone.yes(asked).but(signature=None)
    always = phone.yes(asked, scope="always")
    bent = phone.yes(asked, scope="always", pattern="allow *")
    counted = [
        "void" not in trust.counted(asked, one.to_json(), say=named)
        for one in (once, always, always.but(signature=None), bent)
    ]

    assert '"pattern":"allow t until 2026-12-24"' in (always.statement or "")
    assert counted == [True, True, False, False]


def test_a_yes_after_its_time_is_none(tmp_path: Path) -> None:
    """However well it is signed; by the clock of the computer that asked."""
    phone = Signer()
    trust = trust_of(box(tmp_path, phone))
    asked = request(expires_at="2026-01-05T08:00:00.000Z")

    counted = trust.counted(asked, phone.yes(asked).to_json(), say=named)

    assert counted["void"] == "trust.expired"

"""Twelve secrets, one for each row and road, and every place where one might turn up."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deskhand.cli.client import Client
from deskhand.secret import Secret
from deskhand.store.private import Safe
from deskhand.testing.push.service import FakePushService
from tests.acceptance import leaking
from tests.desk import Desk, Said, first_line, make_desk

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.timeout(240)]

PROVIDER = "sk-ant-canary-of-the-environment"
MODEL = "sk-canary-of-model-set"
PRINTED = "printed/canary+of=a&command"
DATABASE = "canary-of-the-database"
CONTROL = "control-that-is-no-secret"
KEPT = {"files.example": "host-canary-credential", "smtp": "smtp-canary-of-the-hub", "printed": PRINTED}
EVERYWHERE = {
    "home/hub.sqlite3",
    "home/runner/journal.sqlite3",
    "backup",
    "export/events.jsonl",
    "said",
    "what the hub tells",
}
"""Roads on which the control is found, so that a secret would be found there too."""
DATABASE_URL = {"DESKHAND_DATABASE_URL": f"postgresql+psycopg://me:{DATABASE}@127.0.0.1:9/none"}
PROGRAM = [sys.executable, str(Path(leaking.__file__))]


def spellings(value: str) -> list[bytes]:
    """Return how a value may be spelled, found out in another way than the product does."""
    coded = [b64encode(b"." * n + value.encode())[4 : -4 or None] for n in range(3)]
    return [one for one in (value.encode(), quote(value, safe="").encode(), *coded) if len(one) > 7]


class Searched:
    """Everything that was seen, by the road on which it came."""

    def __init__(self) -> None:
        self.roads: dict[str, bytes] = {}

    def add(self, road: str, data: bytes | str) -> None:
        """Keep what came on a road."""
        self.roads[road] = self.roads.get(road, b"") + (data.encode() if isinstance(data, str) else data)

    def files(self, road: str, place: Path) -> None:
        """Keep every file of a place, write-ahead logs and all."""
        for path in sorted(place.rglob("*")):
            if path.is_file():
                self.add(f"{road}/{path.relative_to(place)}", path.read_bytes())

    def hits(self, canaries: Mapping[str, str]) -> set[tuple[str, str]]:
        """Return which canary is on which road."""
        return {
            (name, road.removesuffix("-wal"))
            for name, value in canaries.items()
            for road, data in self.roads.items()
            if any(one in data for one in spellings(value))
        }


def family(pid: int) -> Generator[int]:
    """Return a process and all that came of it."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            with suppress(OSError):
                yield from family(int(child))


def watched(pid: int, searched: Searched) -> int:
    """Keep what others see of a process and its children; return how many there are."""
    seen = 0
    for one in family(pid):
        seen += 1
        for name in ("cmdline", "environ"):
            with suppress(OSError):  # not for us to read, or gone
                searched.add(f"ps {name}", Path(f"/proc/{one}/{name}").read_bytes())
    return seen


def kept_in(desk: Desk, file: str, name: str) -> str:
    """Return what stands in a file that is its home."""
    return own_part(str(json.loads((desk.home / file).read_bytes())[name]))


def own_part(value: str) -> str:
    """Return the line of a PEM file that is of one key alone, or the whole of anything else."""
    return value.splitlines()[2] if value.startswith("-----") else value


@asynccontextmanager
async def up(desk: Desk, searched: Searched, **more: str) -> AsyncGenerator[int]:
    """Keep ``deskhand up`` running, and then keep all that it said."""
    flags = ("--port", "0", "--reach", "none", "--no-browser", "--json", "--verbose")
    process = desk.spawn("up", *flags, *desk.as_root(), **more)
    try:
        desk.ready = await asyncio.to_thread(first_line, process)
        desk.url = str(desk.ready["url"])
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        for text in await asyncio.to_thread(process.communicate):
            searched.add("up", text)


def planted(desk: Desk, *, push: str) -> dict[str, str]:
    """Return the twelve of a home that was started."""
    vapid = Safe(desk.home).read("vapid")
    assert vapid is not None
    return {
        "model key": MODEL,
        "key of the environment": PROVIDER,
        **KEPT,
        "owner": kept_in(desk, "owner.json", "token"),
        "runner": kept_in(desk, "runner.json", "token"),
        "vapid": own_part(vapid.reveal()),
        "push": push,
        "invite": str(desk.ready["invite"]),
        "database": DATABASE,
        "signing key": kept_in(desk, "signing.json", "key"),
    }


async def test_no_secret_is_anywhere_but_at_home(tmp_path: Path) -> None:
    """SE-01, SE-03, AU-12, BR-05, IS-08: twelve canaries on every road, 0 hits; a control is on each of them."""
    desk = make_desk(tmp_path)
    desk.program, searched, said = PROGRAM, Searched(), list[Said]()
    (desk.folder / "key.txt").write_text(f"{PRINTED}\n{CONTROL}\n")

    async def type_(*arguments: str, **more: Any) -> Said:  # noqa: ANN401 - as Desk.run
        said.append(await asyncio.to_thread(lambda: desk.run(*arguments, **more)))
        return said[-1]

    for name, value in KEPT.items():
        Safe(desk.home).put(name, value)
    async with FakePushService() as service:
        async with up(desk, searched, ANTHROPIC_API_KEY=PROVIDER) as pid:
            owner = Client(url=desk.url, token=kept_in(desk, "owner.json", "token"))
            subscription = service.subscribe()
            ask = {key: subscription[key] for key in ("endpoint", "keys")}
            await asyncio.gather(
                type_("model", "set", "none", "--api-key-env", "MY_KEY", MY_KEY=MODEL),
                type_("pair", "--kind", "runner", "--no-wait"),
            )
            wish = {"name": "notify.allow_private_endpoints", "value": True}
            await asyncio.to_thread(owner.op, "settings.put", wish)
            await asyncio.to_thread(owner.call, "POST", "/v1/push/subscriptions", ask)
            work = ("do", "/leak key.txt", "--folder", str(desk.folder), "--json")
            doing = asyncio.ensure_future(type_(*work))
            processes = 0
            while not doing.done():
                processes = max(processes, watched(pid, searched))
                await asyncio.wait({doing}, timeout=0.05)
            await asyncio.gather(
                asyncio.to_thread(owner.call, "POST", "/v1/push/test"),
                service.received(),
                type_("backup", str(tmp_path / "backup.tar")),
                type_("export", "--out", str(tmp_path / "export")),
                type_("hub", "--verbose", "--json", DESKHAND_HOME=f"{desk.home}2", **DATABASE_URL),
            )
            for path in ("snapshot", "sync", "devices", "deliveries", "settings", "runners"):
                answer = await asyncio.to_thread(owner.send, "GET", f"/v1/{path}")
                searched.add("what the hub tells", answer.read())
            searched.files("home", desk.home)
        for message in service.messages:
            searched.add("push", message.text)
    searched.add("backup", (tmp_path / "backup.tar").read_bytes())
    searched.files("export", tmp_path / "export")
    for one in said:
        searched.add("said", one.out + one.err)

    canaries = planted(desk, push=subscription["keys"]["auth"])
    assert searched.hits(canaries) == {
        ("owner", "home/owner.json"),
        ("runner", "home/runner.json"),
        ("push", "home/hub.sqlite3"),
        ("signing key", "home/signing.json"),
    }
    assert len(canaries) == 12
    assert [one.status for one in said if one.status] == [1], said  # the hub without its database
    assert {road for _, road in searched.hits({"control": CONTROL})} >= EVERYWHERE
    assert "ps environ" in searched.roads
    assert processes > 2
    assert f"plain.txt holds {Secret('printed', PRINTED)}. It was not sent" in str(searched.roads)
    assert [one["name"] for one in doing.result().json["artifacts"]] == ["harmless.txt"]
    assert service.messages

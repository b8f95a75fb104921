"""A real computer behind a real network that stalls, breaks off and crawls while it works."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import pytest

from deskhand.clock import SystemClock, stamp
from deskhand.hub.http.app import serving
from deskhand.protocol.objects import FolderMode, Role
from deskhand.protocol.requests import InviteAsk
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import grant_folder
from deskhand.testing.promises import note
from tests.acceptance.test_restart import make
from tests.desk import Desk, first_line
from tests.rim import Rim, open_rim
from tests.wire import How, wire

pytestmark = [pytest.mark.timeout(90), pytest.mark.needs("bubblewrap"), pytest.mark.needs("overlay")]

CLOCK = SystemClock()
AWAY_SECONDS = 2
BACK_SECONDS = 5


@asynccontextmanager
async def computer(rim: Rim, desk: Desk, url: str) -> AsyncGenerator[None]:
    """Pair a runner process by an invitation and keep it running."""
    ask = InviteAsk(kind="runner", role=Role.RUNNER, admits_alone=True)
    made = await rim.pairing.create_invite(rim.owner.account, ask)
    line = ["runner", "--url", url, "--name", "box", "--json", *desk.as_root()]
    process = desk.spawn(*line, DESKHAND_INVITE=made.invite)
    try:
        await asyncio.to_thread(first_line, process)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.communicate)


async def until(met: Callable[[], bool]) -> None:
    """Wait for a state."""
    while not met():
        await CLOCK.sleep(0.02)


async def test_a_task_outlives_every_kind_of_bad_network(tmp_path: Path) -> None:
    """L-05: it finishes on the computer; with the network its true end is there within 5 s, and it happened once (R4)."""
    desk = make(tmp_path / "box")
    grant_folder(desk.home, desk.folder, mode=FolderMode.WORKSPACE)
    told: list[str] = []
    failing: list[str] = []
    async with (
        open_rim(tmp_path, on_disk=True) as rim,
        serving(rim.hub, rim.app) as answering,
        wire(answering.port) as line,
        computer(rim, desk, f"http://127.0.0.1:{line.port}"),
        httpx.AsyncClient(base_url=answering.url, timeout=10) as owner,
    ):
        owner.headers["Authorization"] = f"Bearer {rim.owner.token}"

        async def task(name: str) -> JsonObject:
            return cast("JsonObject", (await owner.get(f"/v1/tasks/{name}")).json())

        async def begin(how: str) -> str:
            wish = {"text": f"/run sleep 1; echo done >> {how}", "folder": str(desk.folder)}
            op = {"op_id": rim.ids.new("op"), "kind": "message.post", "body": wish}
            while True:  # until the computer has said what it can do
                said = (await owner.post("/v1/ops", json={"ops": [op]})).json()["results"][0]
                if said["status"] != "rejected":
                    return str(said["task"])
                op["op_id"] = rim.ids.new("op")

        hows: tuple[How, ...] = ("silent", "reset", "slow")
        for how in hows:
            name = await begin(how)
            while not (await task(name)).get("now_doing"):
                await CLOCK.sleep(0.02)
            line.become(how)
            await until((desk.folder / how).exists)
            if how != "slow":
                await CLOCK.sleep(AWAY_SECONDS)
            back, since = stamp(CLOCK.now()), CLOCK.monotonic()
            line.become("fine")
            while (found := await task(name))["state"] != "completed":
                await CLOCK.sleep(0.02)
            late = CLOCK.monotonic() - since

            told.append(f"{how} {late:.1f} s")
            once = (desk.folder / how).read_text() == "done\n"
            dated = how == "slow" or str(found["finished_at"]) < back
            if late > BACK_SECONDS or not (once and dated):
                failing.append(f"{how}: {late} s, {found['finished_at']} {back}")

    figure = f"after a network that was {', '.join(told)} later all was shown, once, truly dated"
    note("R4", figure, runs=len(told), of="bad networks", failing=failing)
    assert failing == []

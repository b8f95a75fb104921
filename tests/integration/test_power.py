"""What the machine announces before it sleeps, over a real message bus of our own with a scripted login service on it."""

from __future__ import annotations

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dbus_fast import Message
from dbus_fast.aio import MessageBus

from deskhand.cli.staying import Going, beside, watch_power

LOGIN = "org.freedesktop.login1"
MANAGER = f"{LOGIN}.Manager"

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="this system has no message bus")


@dataclass(kw_only=True)
class Login:
    """Stands for logind: hands out what holds sleep back, and announces sleep."""

    bus: MessageBus
    held: asyncio.Queue[int] = field(default_factory=asyncio.Queue[int])

    replying: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])

    def answer(self, message: Message) -> bool:
        """Let somebody hold sleep back: it does as long as its end of the pipe is open."""
        if message.member != "Inhibit":
            return False
        assert message.body == ["sleep:shutdown", "Deskhand", "Tell the hub", "delay"]
        self.replying.append(asyncio.ensure_future(self._hand_out(message)))
        return True

    async def _hand_out(self, message: Message) -> None:
        read, write = os.pipe()
        await self._send(Message.new_method_return(message, "h", [0], unix_fds=[write]))
        os.close(write)
        self.held.put_nowait(read)

    async def _send(self, message: Message) -> None:
        await self.bus.send(message)  # pyright: ignore[reportUnknownMemberType] - so is the library's own

    async def announce(self, member: str, *, begins: bool) -> None:
        """Say that the machine sleeps or ends now, or that this is over."""
        path = "/org/freedesktop/login1"
        await self._send(Message.new_signal(path, MANAGER, member, "b", [begins]))


@asynccontextmanager
async def login_service(folder: Path) -> AsyncGenerator[Login]:
    """A message bus in a folder with nothing on it but a login service."""
    place = f"unix:path={folder}/bus"
    options = ("--session", "--nofork", "--nopidfile", "--print-address", f"--address={place}")
    daemon = await asyncio.create_subprocess_exec("dbus-daemon", *options, stdout=PIPE)
    try:
        assert daemon.stdout is not None
        await daemon.stdout.readline()
        bus = await MessageBus(bus_address=place, negotiate_unix_fd=True).connect()
        login = Login(bus=bus)
        bus.add_message_handler(login.answer)
        await bus.request_name(LOGIN)
        yield login
        bus.disconnect()
    finally:
        daemon.terminate()
        await daemon.wait()


async def let_go(read: int) -> bool:
    """Wait until who held sleep back lets go of it."""
    freed, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(read, freed.set)
    await freed.wait()
    loop.remove_reader(read)
    return os.read(read, 1) == b""


@pytest.mark.parametrize(("member", "state"), [("PrepareForSleep", "asleep"), ("PrepareForShutdown", "off")])
async def test_everybody_is_told_before_the_machine_goes_and_it_waits_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, state: Going
) -> None:
    """R8: goodbye is said while the machine is held back, then it is let go, and the next time the same again."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    told: list[Going] = []

    async def tell(going: Going) -> None:
        told.append(going)

    async with asyncio.timeout(15), login_service(tmp_path) as login, beside(watch_power(tell)):
        first = await login.held.get()
        await login.announce(member, begins=True)
        freed = await let_go(first)
        said = list(told)
        await login.announce(member, begins=False)
        second = await login.held.get()
        await login.announce(member, begins=True)
        again = await let_go(second)

    assert (said, freed) == ([state], True)
    assert (told, again) == ([state, state], True)


async def test_a_machine_that_announces_nothing_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a message bus the program runs on, and the hub tells silence apart by itself."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    told: list[Going] = []

    async def tell(going: Going) -> None:
        told.append(going)

    async with asyncio.timeout(10):
        await watch_power(tell)

    assert told == []

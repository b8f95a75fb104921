"""How a program that stays comes to its end, told by a signal, and how this machine does: a moment to say goodbye.

A program ends in order and within seconds whatever hangs. Before the machine sleeps or is switched off, Linux with
systemd holds both back for up to five seconds while we tell whoever waits (logind's *delay* inhibitor). That needs the
extra ``power``; without it, or without such a system, nothing is announced and silence is told apart by the hub. While
it works it may keep the machine awake, where the owner wants that; it refuses to do so a moment longer.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from deskhand.clock import SystemClock

Going = Literal["asleep", "off"]
Tell = Callable[[Going], Awaitable[None]]

_INHIBIT: Final = "--what=sleep:idle --who=Deskhand --why=work cat"
_LOOK_SECONDS: Final = 1.0
_LOGIN: Final = "org.freedesktop.login1"

_log = logging.getLogger(__name__)

ENDING_SECONDS_MAX: Final = 3.0
_INTERRUPTED: Final = 130


async def until_told_to_end() -> None:
    """Return at SIGTERM or SIGINT; a second one, or dawdling, ends the process at once."""
    # What was loaded so far stays for good; from here on garbage is collected again.
    gc.freeze()
    gc.enable()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        if asked.is_set():
            os._exit(_INTERRUPTED)
        asked.set()
        # Whatever hangs while ending, nobody waits for it longer than was promised.
        loop.call_later(ENDING_SECONDS_MAX, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    await asked.wait()


async def work_until(
    work: Coroutine[None, None, object], told: Coroutine[None, None, object], *, stop: Callable[[], None]
) -> None:
    """Work until told to end, then stop and wait; what ends the work by itself ends all, as itself."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(told)
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        stop()
        await working
    finally:
        ending.cancel()


def told_before_going(*tell: Tell) -> AbstractAsyncContextManager[None]:
    """Have everybody told before this machine sleeps or is switched off, until the block ends."""
    return beside(watch_power(tell))


def awake_while(works: Callable[[], bool]) -> AbstractAsyncContextManager[None]:
    """Keep this machine from falling asleep while there is work, until the block ends."""
    return beside(_keep_awake(works))


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncGenerator[None]:
    """Do something for as long as the block lasts."""
    doing = asyncio.ensure_future(work)
    try:
        yield
    finally:
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


async def _keep_awake(works: Callable[[], bool]) -> None:
    """Hold systemd's inhibitor through a child that ends with its input, and so with us, however we end."""
    clock, program = SystemClock(), shutil.which("systemd-inhibit")
    while program:
        await clock.sleep(_LOOK_SECONDS)
        if works():
            command, env = (program, *_INHIBIT.split()), {"PATH": os.defpath}
            child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, env=env)
            try:
                while works() and child.returncode is None:
                    await clock.sleep(_LOOK_SECONDS)
            finally:
                await child.communicate(b"")  # its input is at its end
                program = None if child.returncode else program
    _log.warning("power.may_sleep")


async def watch_power(tell: tuple[Tell, ...]) -> None:
    """Tell until cancelled; end at once where nothing is ever announced."""
    if find_spec("dbus_fast") is None:
        return
    try:
        await asyncio.to_thread(import_module, "dbus_fast.aio")
        await _listen(tell)
    except Exception as error:  # noqa: BLE001 - a machine that announces nothing is no reason to stop
        _log.info("power.silent %s", type(error).__name__)


async def _listen(tell: tuple[Tell, ...]) -> None:
    """Hold sleep and shutdown back, and let go each time everybody was told."""
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus
    from dbus_fast.introspection import Node

    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    heard: asyncio.Queue[tuple[Going, bool]] = asyncio.Queue()
    shape = Node.parse(Path(__file__).with_name("logind.xml").read_text(encoding="utf-8"))
    found = bus.get_proxy_object(_LOGIN, "/org/freedesktop/login1", shape)
    login: Any = found.get_interface(f"{_LOGIN}.Manager")

    def hear(going: Going) -> Callable[[bool], None]:
        return lambda begins: heard.put_nowait((going, begins))

    login.on_prepare_for_sleep(hear("asleep"))
    login.on_prepare_for_shutdown(hear("off"))
    try:
        while True:
            # What is returned holds it back until it is closed.
            held = await login.call_inhibit("sleep:shutdown", "Deskhand", "Tell the hub", "delay")
            try:
                state, begins = await heard.get()
                while not begins:
                    state, begins = await heard.get()
                for one in tell:
                    await one(state)
            finally:
                os.close(held)
            await heard.get()  # it is over: the machine woke, or was not switched off after all
    finally:
        bus.disconnect()

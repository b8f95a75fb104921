"""How a program that stays comes to its end, told by a signal, and how this machine does: a moment to say goodbye.

A program ends in order and within seconds whatever hangs. Before the machine sleeps or is switched off, Linux with
systemd holds both back for up to five seconds while we tell whoever waits (logind's *delay* inhibitor). That needs the
extra ``power``; without it, or without such a system, nothing is announced and silence is told apart by the hub. It
refuses to keep a machine awake.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

Going = Literal["asleep", "off"]
Tell = Callable[[Going], Awaitable[None]]

_BUS: Final = "org.freedesktop.DBus"
_LOGIN: Final = "org.freedesktop.login1"
_GOING: Final[dict[str, Going]] = {"PrepareForSleep": "asleep", "PrepareForShutdown": "off"}

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
    work: Coroutine[None, None, object],
    told: Coroutine[None, None, object],
    *,
    stop: Callable[[], None],
) -> None:
    """Work until told to end, then stop and wait; what ends the work by itself ends all, as itself."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(told)
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        stop()
        await working
    finally:
        ending.cancel()


@asynccontextmanager
async def told_before_going(*tell: Tell) -> AsyncGenerator[None]:
    """Have everybody told before this machine sleeps or is switched off, until the block ends."""
    watching = asyncio.ensure_future(watch_power(tell))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


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

    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    heard: asyncio.Queue[tuple[Going, bool]] = asyncio.Queue()

    def hear(message: Message) -> None:
        if message.interface == f"{_LOGIN}.Manager" and message.member in _GOING:
            heard.put_nowait((_GOING[message.member], bool(message.body[0])))

    bus.add_message_handler(hear)
    held: int | None = None
    try:
        rule = f"type='signal',sender='{_LOGIN}',interface='{_LOGIN}.Manager'"
        await _call(bus, _BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", rule)
        while True:
            if held is None:
                held = await _hold(bus)
            state, begins = await heard.get()
            if begins:
                for one in tell:
                    await one(state)
                os.close(held)
                held = None
                await heard.get()  # it is over: the machine woke, or was not switched off after all
    finally:
        if held is not None:
            os.close(held)
        bus.disconnect()


async def _hold(bus: MessageBus) -> int:
    """Ask to be waited for; what is returned lets go when it is closed."""
    wish = ("sleep:shutdown", "Deskhand", "Tell the hub", "delay")
    path = "/org/freedesktop/login1"
    reply = await _call(bus, _LOGIN, path, f"{_LOGIN}.Manager", "Inhibit", *wish)
    return int(reply.unix_fds[0])


async def _call(bus: MessageBus, *names: str) -> Any:  # noqa: ANN401 - a reply of the bus
    from dbus_fast import Message, MessageType

    to, path, interface, member, *body = names
    message = Message(to, path, interface, member, signature="s" * len(body), body=body)
    reply = await bus.call(message)
    if reply.message_type is MessageType.ERROR:
        raise ConnectionError(member)
    return reply

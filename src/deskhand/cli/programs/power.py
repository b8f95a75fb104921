"""What this machine announces before it sleeps or is switched off: a moment to say goodbye to whoever waits.

Linux with systemd holds both back for up to five seconds while we say it (logind's *delay* inhibitor). Needs the extra
``power``; without it, or without such a system, nothing is announced and silence is told apart by the hub. It refuses
to keep a machine awake.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

from deskhand.cli.programs.ending import offload

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

Going = Literal["asleep", "off"]
Tell = Callable[[Going], Awaitable[None]]

_BUS: Final = "org.freedesktop.DBus"
_LOGIN: Final = "org.freedesktop.login1"
_GOING: Final[dict[str, Going]] = {"PrepareForSleep": "asleep", "PrepareForShutdown": "off"}

_log = logging.getLogger(__name__)


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
        await offload(lambda: import_module("dbus_fast.aio"))
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

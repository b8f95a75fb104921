"""What a program that stays does as a process: it closes itself before it holds a secret, and comes to its end in order.

Keys in its environment are taken out of it before any child starts. Those of providers go into the safe of a computer
that works; a hub alone keeps none. It refuses to let a name, a header or a known secret write a line of its own into
what is logged.

Told by a signal, or before this machine goes, it has a moment to say goodbye. A program ends in order and within seconds whatever hangs. Before the machine sleeps or is switched off, Linux with
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
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from typing_extensions import override

from deskhand.agents.builtin.agent import KEY_VARIABLE, PROVIDERS
from deskhand.cli.screen import plain, speak
from deskhand.cli.values import setting
from deskhand.clock import SystemClock
from deskhand.secret import Secret, close_to_others, mask, taken
from deskhand.store.private import Safe

HELD: Final[dict[str, Secret]] = {}
"""Keys that this process was started with, by their variables."""
_PROVIDERS: Final = {name for one in PROVIDERS.values() for name in one.variables}
_OTHERS: Final = (KEY_VARIABLE, "DESKHAND_TOKEN", "OPENAI_LOG", "ANTHROPIC_LOG")
"""A key for anybody, a way in that is of no use here, and what would have a client tell all that it sends."""

Going = Literal["asleep", "off"]
Tell = Callable[[Going], Awaitable[None]]

_INHIBIT: Final = "--what=sleep:idle --who=Deskhand --why=work cat"
_LOOK_SECONDS: Final = 1.0
_LOGIN: Final = "org.freedesktop.login1"

_log = logging.getLogger(__name__)

ENDING_SECONDS_MAX: Final = 3.0
_INTERRUPTED: Final = 130


def close_up() -> None:
    """Make this process fit to hold secrets, and take those it was started with.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    close_to_others()
    lines = logging.StreamHandler()
    lines.setFormatter(Lines())
    logging.basicConfig(handlers=[lines])  # of warnings and worse, from clients of others too
    named = str(setting("model.api_key_env").value)
    found = {name: taken(name) for name in {named, *_OTHERS, *_PROVIDERS}}
    HELD.update({name: secret for name, secret in found.items() if secret})


def keep_keys(home: Path) -> None:
    """Put keys of providers into the safe, and say so once.

    Raises:
        DeskhandError: ``home_unsafe``, ``disk_full``.
    """
    safe = Safe(home)
    for name in HELD.keys() & _PROVIDERS:
        value, kept = HELD[name].reveal(), safe.read(name)
        if kept is None or kept.reveal() != value:
            safe.put(name, value)
            speak.note(speak.say("secret.moved", name=name))


class Lines(logging.Formatter):
    """Each record begins a line, and nothing that is in it begins another (SE-06)."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return "\n  ".join(plain(line) for line in mask(super().format(record)).splitlines())


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


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncGenerator[None]:
    """Do something for as long as the block lasts."""
    doing = asyncio.ensure_future(work)
    try:
        yield
    finally:
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


async def keep_awake(works: Callable[[], bool]) -> None:
    """Keep this machine from falling asleep while there is work.

    It holds systemd's inhibitor through a child that ends with its input, and so with us, however we end.
    """
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


async def watch_power(*tell: Tell) -> None:
    """Tell before this machine sleeps or is switched off, until cancelled; end at once where nothing is ever announced."""
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

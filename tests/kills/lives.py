"""One zygote that has imported everything, and the lives it forks: the ordinary programs, over an ordinary home.

A fork of a process with one thread and no loop costs milliseconds where a start costs most of a second. The programs are
those of the command line; only agents and tools are added, through the runner's parts. It refuses to restart anybody:
who comes back when is the world's business.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from deskhand.cli.programs import computer
from deskhand.cli.programs.computer import run_runner
from deskhand.cli.programs.up import run_hub, run_up
from deskhand.cli.screen import speak
from deskhand.runner.traffic import Parts
from tests.kills.bugs import BUGS
from tests.kills.passing import Passing, Plan, tell
from tests.kills.seams import install, replaced
from tests.kills.work import AGENT, TOOLS, OracleTool, Script

ENDED: Final = "ended.jsonl"
_DIE_WITH_PARENT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life to be: which program, in which world, over which home, and where it ends."""

    place: str
    home: str
    program: str
    number: int
    port: int
    plan: Plan
    invite: str | None = None
    bug: str | None = None

    @property
    def said(self) -> Path:
        """Return the file with what it said."""
        return Path(self.place) / f"{self.program}.{self.number}.said"


class Zygote:
    """The process that forks. Made before there is a thread or a loop."""

    def __init__(self) -> None:
        """Split off."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _serve(theirs)
        theirs.close()
        self._pid = pid
        self._line = ours
        self._lock = asyncio.Lock()

    def __enter__(self) -> Self:
        """Use it."""
        self._line.setblocking(False)  # noqa: FBT003 - the name of the call says it
        return self

    def __exit__(self, *_: object) -> None:
        """Let it end."""
        self._line.close()
        os.waitpid(self._pid, 0)

    async def fork(self, life: Life) -> int:
        """Begin a life and return its process id."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            await loop.sock_sendall(self._line, json.dumps(asdict(life)).encode() + b"\n")
            return int(await loop.sock_recv(self._line, 100))


async def gone(pid: int) -> None:
    """Return once a process is no more."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        loop.add_reader(handle, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _serve(line: socket.socket) -> NoReturn:
    """Fork whoever is asked for, until nobody asks any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with line.makefile("rb") as asked:
        for said in asked:
            life = _read(said)
            pid = os.fork()
            if pid == 0:
                line.close()
                _live(life)
            line.sendall(str(pid).encode())
    os._exit(0)


def _read(said: bytes) -> Life:
    wanted: dict[str, Any] = json.loads(said)
    plan: dict[str, Any] = wanted["plan"]
    plan["points"] = tuple(plan["points"])
    wanted["plan"] = Plan(**plan)
    return Life(**wanted)


def _live(life: Life) -> NoReturn:
    """Be a program until killed; an end of its own is written down, because nobody asked for it."""
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    said = os.open(life.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    place = Path(life.place)
    try:
        code = asyncio.run(_program(life, place))
    except BaseException:  # noqa: BLE001 - whatever ends it is told
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    tell(place / ENDED, program=life.program, life=life.number, code=code)
    os._exit(code)


def _program(life: Life, place: Path) -> Coroutine[Any, Any, int]:
    """Compose the product as its own commands do."""
    os.environ["DESKHAND_HOME"] = life.home
    os.environ["DESKHAND_RUNNER_HUB_TRUST"] = "high"  # its phone has no key
    os.environ["DESKHAND_RUNNER_DOCUMENTS"] = str(place / "Documents")
    os.chdir(place)
    speak.json = True
    passing = Passing(place, life.plan, life=life.number, program=life.program)
    install(passing)
    _hand_in(passing)
    if life.bug and life.number:
        BUGS[life.bug]()
    programs: dict[str, Callable[[], Coroutine[Any, Any, int]]] = {
        "hub": lambda: run_hub(port=life.port, said="none"),
        "up": lambda: run_up(port=life.port, said="none", browser=False, name="laptop", as_root=True),
        "runner": lambda: run_runner(
            url=f"http://127.0.0.1:{life.port}", invite=life.invite, name="laptop", as_root=True
        ),
    }
    return programs[life.program]()


def _hand_in(passing: Passing) -> None:
    """Add the scripted agent and the counted tools to the runner's parts."""

    def parts(**given: Any) -> Parts:  # noqa: ANN401 - passed on
        script = Script(passing)
        tools = {name: OracleTool(name, passing) for name in TOOLS}
        given["agents"] = {**given["agents"], AGENT: script}
        given["tools"] = {**given["tools"], **tools}
        return Parts(**given)

    replaced(computer, "Parts", parts)

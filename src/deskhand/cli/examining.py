"""What ``doctor`` tries on this computer itself: every way out of its sandbox, and how its process, home and folders lie.

It refuses to call anything good by its setting where it can be tried; what it lays out for that, it takes away again.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, suppress
from functools import partial
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Final
from urllib.parse import urlsplit

from deskhand.cli import minds
from deskhand.cli.client import Client, client, home, local_runner, this_computer
from deskhand.cli.screen import Obj, link_line, speak
from deskhand.cli.values import setting
from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.runner.ceiling import Ceiling, Trust
from deskhand.sandbox.choose import choose_sandbox, try_escapes
from deskhand.secret import close_to_others
from deskhand.store.private import LOCKED, OWNER_FILE, RUNNER_FILE, Safe
from deskhand.tools.apart.answering import queried
from deskhand.tools.beneath import Folder
from deskhand.tools.leaf import openat2_works

_LOOKED_AT: Final = 20_000
_SHOWN: Final = 5
_SECONDS_APART: Final = 60
_PR_GET_DUMPABLE: Final = 3
_LISTENS: Final = "0A"


def examined(*, asks: bool) -> Generator[tuple[str, str, str]]:
    """Yield a name, good, ask or bad, and a sentence with the cure, of each thing that was tried."""
    first = {"hub": _hub, "runner": _runner, "trust": _trust, "sandbox": _sandbox, "secrets": _secrets}
    for name, look in {**first, "model": partial(_model, asks=asks)}.items():
        try:
            yield name, *look()
        except DeskhandError as error:
            yield name, "bad", f"{error.sentence(speak.language)} {error.cure(speak.language)}"
    for look in _LOOKS:
        name = look.__name__[1:]
        with suppress(DeskhandError):  # a hub that is away has its own line
            if wrong := look():
                wrong += f" · {speak.say(f'doctor.{name}.cure')}"
            state = "bad" if look in _BAD else "ask"
            yield name, state if wrong else "good", wrong or speak.say("doctor.fine")
    try:
        for way, held in asyncio.run(_escapes()).items():
            said = speak.say("doctor.out.held" if held else "doctor.out.cure")
            yield f"out.{way}", "good" if held else "bad", said
    except DeskhandError as error:
        yield "sandbox", "bad", error.sentence(speak.language)


def _hub() -> tuple[str, str]:
    hub = client()
    return "good", f"{hub.url} · Deskhand {hub.get('/v1/version')['version']}"


def _runner() -> tuple[str, str]:
    here = this_computer()
    return ("good" if here.get("connected") else "bad"), f"{here['name']}, {link_line(here)}"


def _trust() -> tuple[str, str]:
    """Say whose word counts on this computer: that of its hub up to a risk, and above it which keys."""
    known, said = local_runner() or {}, str(setting("runner.hub_trust").value)
    trust = Trust(home=home(), runner=str(known.get("device", "")), clock=SystemClock())
    level = said if said != "auto" else "high" if (home() / OWNER_FILE).exists() else "low"
    keys = trust.fingerprints()
    who = ", ".join(f"{key} {trust.known()[key]['device']}".strip() for key in keys) or speak.say("doctor.nobody")
    pinned = str(known.get("hub") or "")
    if pinned and Client(url=str(known["url"])).mark() != pinned:
        raise DeskhandError(Code.HUB_CHANGED, str(known["url"]))
    line = speak.say("doctor.trusts", level=level, keys=who, hub=pinned or speak.say("doctor.own_hub"))
    return "good" if keys or level == "high" else "ask", line


def _sandbox() -> tuple[str, str]:
    box: Obj = this_computer()["sandbox"]
    said = ", ".join(str(box[key]) for key in ("name", "level", "reason") if box.get(key))
    return ("good" if box["level"] == "full" else "ask"), said


def _secrets() -> tuple[str, str]:
    held = Safe(home()).all()
    keys = sorted({key for key, _ in held.values()})
    values = Counter(secret.reveal() for _, secret in held.values() if secret)
    if twice := [name for name, (_, secret) in held.items() if secret and values[secret.reveal()] > 1]:
        return "ask", speak.say("secret.twice", names=", ".join(twice))
    said = " · ".join(speak.say(f"secret.key.{key}") for key in keys)
    return ("ask" if LOCKED in keys else "good"), said or speak.say("secret.none")


def _model(*, asks: bool) -> tuple[str, str]:
    found = minds.found()
    used = found.used
    if used is None:
        return "ask", f"{minds.standing(found)} {minds.looked_line(found)}"
    if used.lacks is not None or not asks:
        return ("bad" if used.lacks else "good"), minds.standing(found)
    return minds.judged(minds.tried(None))


async def _escapes() -> Mapping[str, bool]:
    place = Path(mkdtemp(prefix="doctor-", dir=home()))
    try:
        (place / "folder").mkdir()
        box = await choose_sandbox(place, clock=SystemClock(), offload=asyncio.to_thread)
        if box.info.level == "none":
            return {}
        with (
            closing(Folder(place / "folder")) as folder,
            NamedTemporaryFile(dir=Path.home(), prefix=".deskhand-") as in_home,
            NamedTemporaryFile() as in_tmp,
        ):
            for canary in (in_home, in_tmp):
                canary.write(b"canary")
                canary.flush()
            baits = [home() / OWNER_FILE, home() / RUNNER_FILE, in_home.name, in_tmp.name]
            return await try_escapes(box, folder, files=[*map(Path, baits)])
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _user() -> str:
    return "root" if os.geteuid() == 0 else ""


def _sudo() -> str:
    path = shutil.which("sudo")
    return "sudo" if path and os.geteuid() and not _said(path, "-n", "true").returncode else ""


def _bwrap() -> str:
    path = shutil.which("bwrap") or ""
    said = _said(path, "--version").stdout.split() if path else []
    new = [int(each) for each in said[-1].split(".")] >= [0, 8] if said else False
    return "" if new and not Path(path).stat().st_mode & stat.S_ISUID else " ".join(said) or "bwrap"


def _said(*line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, env={}, capture_output=True, text=True, check=False)  # noqa: S603 - fixed programs


def _handles() -> str:
    return "" if openat2_works() else "openat2"


def _private() -> str:
    inside = [path for path in home().iterdir() if path.is_file()]
    return _some(path for path in (home(), *inside) if path.stat().st_mode & 0o077)


def _closed() -> str:
    close_to_others()
    dumps = sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
    return "core" if dumps or resource.getrlimit(resource.RLIMIT_CORE) != (0, 0) else ""


def _sql() -> str:
    with suppress(DeskhandError):
        queried({"names": [], "sql": "SELECT * FROM read_text('/etc/passwd')"}, [])
        return "DuckDB"
    return ""


def _bound() -> str:
    """Return from where else than this computer the hub's port is reached."""
    port, found = urlsplit(client().url).port, set[str]()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            at, _, listening = local.partition(":")
            raw = bytes.fromhex(at)
            address = ip_address(b"".join(raw[n : n + 4][::-1] for n in range(0, len(raw), 4)))
            if state == _LISTENS and int(listening, 16) == port and not address.is_loopback:
                found.add(str(address))
    return ", ".join(sorted(found))


def _clock() -> str:
    apart = abs(client().ahead())
    return f"{apart:.0f} s" if apart > _SECONDS_APART else ""


def _folders() -> str:
    """Return what lies in a granted folder that programs trust or that runs as somebody else."""
    roots = [Path(entry.root) for entry in Ceiling(home()).entries()]
    return _some(path for root in roots for path in islice(root.rglob("*"), _LOOKED_AT) if _odd(root, path))


def _odd(root: Path, path: Path) -> bool:
    with suppress(OSError):
        found = path.lstat()
        runs_as = stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_ISUID | stat.S_ISGID)
        foreign = path.name == ".git" and found.st_uid != root.stat().st_uid
        return bool(runs_as) or foreign or stat.S_ISSOCK(found.st_mode)
    return False


def _some(paths: Iterable[Path]) -> str:
    return ", ".join(str(path) for path in islice(paths, _SHOWN))


_BAD: Final = frozenset({_user, _private, _closed, _sql})
_LOOKS: Final = (_user, _sudo, _bwrap, _handles, _private, _closed, _sql, _bound, _clock, _folders)

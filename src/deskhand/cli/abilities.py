"""What this computer can do: what it thinks with, found by looking, and what ``doctor`` tries on it.

A key is in the environment or in the safe. It refuses to put a key anywhere else, to call a model good that did not
call a tool through the very path that tasks take, and anything else good by its setting where it can be tried: every
way out of its sandbox, and how its process, home and folders lie. What it lays out for that, it takes away again.
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
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Final, Literal
from urllib.parse import urlsplit

from deskhand.agents.builtin.agent import SERVERS, BuiltInAgent, Findings, Offer, Scene, Wanted
from deskhand.agents.builtin.supply import Embedded, Supply, look, offers
from deskhand.cli.client import Client, client, home, local_runner, this_computer
from deskhand.cli.roads import clock_agrees, each, hub_answers
from deskhand.cli.screen import Obj, link_line, speak
from deskhand.cli.staying import HELD
from deskhand.cli.values import setting
from deskhand.clock import Clock, Ids, SystemClock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.ports import ToolInfo, Wishes
from deskhand.protocol import objects
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import Ceiling, Trust
from deskhand.sandbox.walls import choose_sandbox, try_escapes
from deskhand.secret import close_to_others
from deskhand.store.private import LOCKED, OWNER_FILE, RUNNER_FILE, Safe
from deskhand.texts import text
from deskhand.tools.apart.answering import queried
from deskhand.tools.beneath import Folder
from deskhand.tools.leaf import openat2_works

STAND_IN_VARIABLE: Final = "DESKHAND_STAND_IN"
"""Lets a scripted program pass for a model; the demo and the tests set it."""
CONTEXT_MIN = 16_000
"""Below this a task of some files does not fit."""
SECONDS = 120.0
"""What takes longer for one tool call cannot do the work."""
_FIELDS: JsonObject = {"number": {"type": "integer"}}
_NUMBER: JsonObject = {"type": "object", "properties": _FIELDS, "required": ["number"]}
_TOOL = ToolInfo(name="keep_number", description="Keep a number for the person.", schema=_NUMBER)
_LOOKED_AT: Final = 20_000
_SHOWN: Final = 5
_PR_GET_DUMPABLE: Final = 3
_LISTENS: Final = "0A"


def wanted() -> Wanted:
    """Return what the settings say of models now.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    names = ("name", "base_url", "api_key_env", "context_tokens")
    name, url, variable, tokens = (setting(f"model.{one}").value for one in names)
    return Wanted(name=name, base_url=url, key_variable=variable, context_tokens=tokens)


def found(said: Wanted | None = None) -> Findings:
    """Look for everything.

    Raises:
        DeskhandError: ``config_invalid``; ``home_unsafe`` when others can read the keys.
    """
    kept = {name: secret for name, (_, secret) in Safe(home()).all().items() if secret}
    return look(said or wanted(), kept=kept | HELD, installed=offers(models_folder()))


def models_folder() -> Path:
    """Return where models of our own lie."""
    return home() / "models"


def looked_line(found: Findings) -> str:
    """Say what was looked for and what of it was there, keys by the names of their variables."""
    said: list[str] = []
    for place, names in found.looked.items():
        there = ", ".join(names) or speak.say("model.no" if place in SERVERS else "model.nothing")
        later = speak.say("model.later") if place == "agents" and names else ""
        said.append(f"{speak.say(f'model.place.{place}')} {there}{later}")
    return speak.say("model.looked", places=" · ".join(said))


def standing(found: Findings) -> str:
    """Say which model is used and why, or why none is."""
    first = found.used
    if first is None:
        small = next((one.name for one in found.offers if one.label and not one.lacks), None)
        key = "model.off" if found.wanted.name else "model.small" if small else "model.none"
        return speak.say(key, name=small)
    if first.lacks is not None:
        why = DeskhandError(first.lacks, first.where).sentence(speak.language)
        return speak.say("model.lacks", name=first.name, why=why)
    source = "config" if found.wanted.name else first.source
    why = speak.say(f"model.why.{source}", where=first.where)
    return speak.say("model.used", name=first.name, label=speak.label(first.label), why=why)


def standing_line(found: Findings) -> str:
    """Say the same under the word for a model."""
    return f"{speak.say('doctor.model')}: {standing(found)}"


def model_lines() -> list[str]:
    """Say which model is used and why; or why none is, and where one was looked for."""
    said = found()
    return [standing_line(said), *([] if said.used else [looked_line(said)])]


@asynccontextmanager
async def builtin_agent(
    path: Path,
    *,
    computer: str,
    tools: tuple[ToolInfo, ...],
    clock: Clock,
    language: str,
    hear: Callable[[Brief, str | None], None] = lambda _, __: None,
) -> AsyncGenerator[tuple[BuiltInAgent, Supply]]:
    """Hold the built-in agent of this computer, and what it thinks with."""
    own, ceiling = Embedded(Ids(clock)), Ceiling(path)
    supply = Supply(wanted=wanted, look=found, own=own, clock=clock)

    def scene(brief: Brief) -> Scene:
        root = next((one.root for one in ceiling.entries() if one.id == brief.folder), None)
        return Scene(now=clock.now().astimezone(), computer=computer, root=root, mode=brief.mode)

    agent = BuiltInAgent(
        choose=supply.choose,
        scene=scene,
        tools=tools,
        offload=asyncio.to_thread,
        language=language,
        hear=hear,
        standin=os.environ.get(STAND_IN_VARIABLE) == "1",
    )
    try:
        yield agent, supply
    finally:
        await agent.close()
        await own.close()


def told(offer: Offer) -> Obj:
    """Return what people may know of an offer: never its key."""
    lacks: Obj | None = None
    if offer.lacks is not None:
        said = DeskhandError(offer.lacks, offer.where).sentence(speak.language)
        lacks = {"code": offer.lacks, "message": said}
    return {**offer.info.to_json(), "label": offer.label, "where": offer.where, "lacks": lacks}


def tried(name: str | None) -> Obj:
    """Return how a model did, the one in use unless another is named.

    Raises:
        DeskhandError: ``model_unknown``, ``model_key``, ``model_busy`` and what else a provider says.
    """
    said = found()
    offer = said.named(name or (said.used.name if said.used else ""))
    return {"name": offer.name, "label": offer.label, **asyncio.run(_tried(offer.name))}


def judged(row: Obj) -> tuple[Literal["good", "ask", "bad"], str]:
    """Return how good that is, in words; a context that is too short with what helps there."""
    context: int | None = row["context_tokens"]
    shown = speak.say("model.unknown_context") if context is None else f"{context:,}"
    figures = {"first": row["first_s"], "total": row["total_s"], "context": shown}
    key = "model.ok" if row["ok"] else "model.no_tool"
    said = speak.say(key, name=f"{row['name']}{speak.label(row['label'])}", **figures)
    short = context is not None and context < CONTEXT_MIN
    if short:
        kind = str(row["name"]).partition(":")[0]
        cure = speak.say(f"model.cure.{kind if kind in SERVERS else 'other'}")
        said += f"\n  {speak.say('model.short', context=shown, cure=cure)}"
    return ("bad" if not row["ok"] else "ask" if short else "good"), said


async def _tried(name: str) -> Obj:
    clock, language = SystemClock(), speak.language
    ids, began, heard = Ids(clock), clock.monotonic(), list[float]()

    def hear(_: Brief, piece: str | None) -> None:
        heard.extend([] if piece is None else [clock.monotonic() - began])

    held = builtin_agent(home(), computer="", language=language, tools=(_TOOL,), clock=clock, hear=hear)
    number = int(ids.digits(4))
    brief = Brief(
        task=ids.new("tsk"),
        thread=ids.new("thr"),
        epoch=1,
        title="",
        text=text("model.test.ask", language=language, number=number),
        agent=BuiltInAgent.name,
        model=name,
        origin=objects.Origin(surface="cli"),
        trust=objects.Trust.OWNER,
        created_at=stamp(clock.now()),
    )
    move = None
    async with held as (agent, supply):
        await agent.warm()
        began = clock.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                move = await agent.move(brief, ())
        total, choice = clock.monotonic() - began, await supply.choose(brief)
    calls = move.calls if isinstance(move, Wishes) else ()
    return {
        "ok": any((one.tool, one.arguments) == (_TOOL.name, {"number": number}) for one in calls),
        "first_s": round(heard[0], 2) if heard else None,
        "total_s": round(total, 2),
        "context_tokens": choice.context_tokens,
    }


def examined(*, asks: bool) -> Generator[tuple[str, str, str]]:
    """Yield a name, good, ask or bad, and a sentence with the cure, of each thing that was tried."""
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    first = {"hub": hub_answers, "clock": clock_agrees, "runner": _runner, "trust": _trust, "sandbox": _sandbox}
    yield from each({**first, "secrets": _secrets, "model": partial(_model, asks=asks)})
    for looks in _LOOKS:
        name = looks.__name__[1:]
        with suppress(DeskhandError):  # a hub that is away has its own line
            if wrong := looks():
                wrong += f" · {speak.say(f'doctor.{name}.cure')}"
            state = "bad" if looks in _BAD else "ask"
            yield name, state if wrong else "good", wrong or speak.say("doctor.fine")
    try:
        for way, held in asyncio.run(_escapes()).items():
            said = speak.say("doctor.out.held" if held else "doctor.out.cure")
            yield f"out.{way}", "good" if held else "bad", said
    except DeskhandError as error:
        yield "sandbox", "bad", error.sentence(speak.language)


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
    said = found()
    used = said.used
    if used is None:
        return "ask", f"{standing(said)} {looked_line(said)}"
    if used.lacks is not None or not asks:
        return ("bad" if used.lacks else "good"), standing(said)
    return judged(tried(None))


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
_LOOKS: Final = (_user, _sudo, _bwrap, _handles, _private, _closed, _sql, _bound, _folders)

"""The models that a computer has now: looked for again and again, because keys, settings and servers come and go.

Looked for are keys in the environment, servers on loopback, and files that were installed here; a server counts only
when it answers as what it should be. It refuses to look anywhere but on loopback, to wait long, and to read more than a
list of models can be.

Those that were installed here run one at a time, each in its own process, started when it is needed: a crash of it or
its hunger for memory is not the runner's. It refuses to think with another model than the one that a task names, to
keep anything that the settings no longer say, and to hand a model any key but its own, which is new each time.

A model is brought to this computer by a download that goes on where it stopped, is checked, and appears only whole. It
refuses to begin where the disk cannot hold it, to keep what is not what was asked for or no model at all, and to
call anything but public hosts, unless the address itself names this machine.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final
from urllib.parse import urljoin, urlsplit

from deskhand.agents.builtin.agent import CATALOGUE, EMBEDDED, PROVIDERS, SERVERS, Findings, Offer, Wanted
from deskhand.clock import Clock, Ids
from deskhand.egress import Egress, EgressRequest, EgressResponse, parse_target
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import ModelInfo
from deskhand.protocol.tasks import Brief
from deskhand.secret import Secret

LOOK_SECONDS: Final = 30.0
"""How often servers are looked for: whatever else listens there sees it in its log. Settings are seen at once."""

CONTEXT_TOKENS: Final = 16_384
"""What a model of our own gets at most unless the settings say otherwise: more takes memory for each token."""


class Embedded:
    """The one model of our own that runs now."""

    def __init__(self, ids: Ids) -> None:
        """Run none yet."""
        self._ids = ids
        self._alone = asyncio.Lock()
        self._process: Process | None = None
        self._runs: tuple[Offer, Offer] | None = None

    async def serve(self, offer: Offer) -> Offer:
        """Return where a model answers, started anew if it does not run (any more).

        Raises:
            DeskhandError: ``model_file`` for one that cannot be loaded; ``model_busy`` when that takes too long.
        """
        async with self._alone:
            alive = self._process is not None and self._process.returncode is None
            if self._runs is None or self._runs[0] != offer or not alive:
                await self._end()
                self._runs = (offer, await self._start(offer))
            return self._runs[1]

    async def close(self) -> None:
        """End what runs."""
        async with self._alone:
            await self._end()

    async def _start(self, offer: Offer) -> Offer:
        key, name = Secret(offer.name, self._ids.secret(32)), offer.name.partition(":")[2]
        context = offer.context_tokens or CONTEXT_TOKENS
        order = {"file": offer.file, "name": name, "key": key.reveal(), "context_tokens": context}
        # Nothing of our own surroundings, which hold keys: only what finds libraries and folders.
        kept = {one: os.environ[one] for one in ("PATH", "HOME", "LANG") if one in os.environ}
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deskhand.agents.builtin.embedded", stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=kept
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - asked for
        process.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            async with asyncio.timeout(300.0):
                address = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            await self._end()
            raise DeskhandError(Code.MODEL_BUSY, offer.name) from None
        if not address:
            raise DeskhandError(Code.MODEL_FILE, offer.name)
        return replace(offer, base_url=f"{address}/v1", key=key, context_tokens=context)

    async def _end(self) -> None:
        process, self._process, self._runs = self._process, None, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Supply:
    """What this computer can think with.

    Args:
        wanted: reads the settings.
        look: looks for everything else; blocks for up to a second.
        own: runs the models that were installed here.
    """

    def __init__(
        self, *, wanted: Callable[[], Wanted], look: Callable[[Wanted], Findings], own: Embedded, clock: Clock
    ) -> None:
        """Know nothing yet."""
        self._wanted, self._look_for, self.own, self._clock = wanted, look, own, clock
        self._found = Findings()
        self._looked_at = float("-inf")

    async def models(self) -> tuple[ModelInfo | None, tuple[str, ...]]:
        """Return the model that thinks unless a task names another, and every one that a task may name."""
        found = await self._look()
        first, names = found.used, tuple(one.name for one in found.offers if one.lacks is None)
        return (None if first is None or first.lacks else first.info), names

    async def choose(self, brief: Brief) -> Offer:
        """Return what a task thinks with: the model that it names, else the computer's own; started if we serve it.

        Raises:
            DeskhandError: ``model_unknown``, ``model_key``; ``model_busy`` for one that does not start.
        """
        offer = await self._offer(brief)
        if offer.name.startswith("ollama:") and offer.context_tokens is None:
            await asyncio.to_thread(wake, offer)
            self._looked_at = float("-inf")
            offer = await self._offer(brief)
        return offer if offer.file is None else await self.own.serve(offer)

    async def _offer(self, brief: Brief) -> Offer:
        found = await self._look()
        first = None if brief.model else found.used
        return found.named(brief.model or (first.name if first else ""))

    async def _look(self) -> Findings:
        """Look at the settings, and at everything else when they changed or some time has passed."""
        wanted, now = self._found.wanted, self._clock.monotonic()
        with suppress(DeskhandError):  # of a file that somebody is writing just now
            wanted = self._wanted()
        if now - self._looked_at >= LOOK_SECONDS or wanted != self._found.wanted:
            self._looked_at = now
            self._found = await asyncio.to_thread(self._look_for, wanted)
        return self._found


# --- looking


LOOPBACK: Final = "127.0.0.1"
SMALL_PARAMETERS: Final = 1_000_000_000
"""Below this many a model cannot run the loop: 0 of 20 tasks were done by what was measured."""
_OLLAMA_HOST: Final = re.compile(r"(?:http://)?(?:127\.0\.0\.1|localhost|0\.0\.0\.0):(\d{1,5})/?")
Obj = dict[str, Any]
Ask = Callable[[str], Obj]


def look(
    wanted: Wanted,
    *,
    environment: Mapping[str, str] = os.environ,
    kept: Mapping[str, Secret] = MappingProxyType({}),
    ports: Mapping[str, int] = SERVERS,
    installed: Sequence[Offer] = (),
) -> Findings:
    """Return what is on this computer; takes as long as the slowest server that says nothing, at most a second.

    A key in ``environment`` wins over the one that was ``kept`` under its name.
    """
    if told := _OLLAMA_HOST.fullmatch(environment.get("OLLAMA_HOST", "")):
        ports = {**ports, "ollama": int(told[1])}
    with ThreadPoolExecutor(len(ports)) as pool:
        offered = dict(zip(ports, pool.map(_server, ports, ports.values()), strict=True))
    offered["local"] = [*installed]
    known = [one for provider in PROVIDERS.values() for one in provider.variables]
    named = (*known, wanted.key_variable)
    keys = {one: kept[one] for one in named if one in kept}
    keys |= {one: Secret(one, environment[one]) for one in named if environment.get(one)}
    looked = {"keys": tuple(one for one in known if one in keys)}
    looked |= {kind: tuple(one.name for one in found) for kind, found in offered.items()}
    looked["agents"] = tuple(filter(shutil.which, ("claude", "codex", "opencode", "gemini", "qwen")))
    return Findings(
        wanted=wanted,
        keys=keys,
        packages=frozenset(filter(_importable, {one.package for one in PROVIDERS.values()})),
        here=tuple(one for found in offered.values() for one in found),
        looked=looked,
    )


def wake(offer: Offer) -> None:
    """Let a server load a model, so that it can tell the context it has; longer prompts lose their front there."""
    port, body = int(offer.where.rpartition(":")[2]), {"model": offer.name.partition(":")[2]}
    with suppress(OSError, HTTPException, ValueError):
        _said(port, "/api/generate", seconds=120.0, body=body | {"stream": False})


def _importable(module: str) -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec(module) is not None
    return False


def _server(kind: str, port: int) -> list[Offer]:
    """Return what one server offers, its own choice first; nothing unless it really is that server."""
    speaks = "ollama" if kind == "ollama" else "openai-chat"
    where = f"{LOOPBACK}:{port}"
    with suppress(OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return [
            Offer(
                name=f"{kind}:{name}",
                source="server",
                where=where,
                model=f"{speaks}:{name}",
                base_url=f"http://{where}/v1",
                context_tokens=context,
                label="too_small" if small else None,
            )
            for name, context, small in _KINDS[kind](lambda path: _said(port, path))
            if not re.search("embed|bge-|rerank|whisper", name)  # these say nothing
        ]
    return []


def _said(port: int, path: str, *, seconds: float = 0.5, body: Obj | None = None) -> Obj:
    """Return what a server here says; nothing when it says no."""
    with closing(HTTPConnection(LOOPBACK, port, timeout=seconds)) as connection:
        connection.request("POST" if body else "GET", path, body=json.dumps(body) if body else None)
        answer = connection.getresponse()
        return json.loads(answer.read(4 * 1024**2)) if answer.status == HTTPStatus.OK else {}


_Models = Iterator[tuple[str, int | None, bool]]
"""By their names there, with their context lengths as far as they are known, and whether they are too small."""


def _ollama(ask: Ask) -> _Models:
    loaded = {one["name"]: one.get("context_length") for one in ask("/api/ps")["models"]}
    for one in sorted(ask("/api/tags")["models"], key=lambda one: one["name"] not in loaded):
        size = str(one.get("details", {}).get("parameter_size"))  # such as "8.2B" or "134.52M"
        yield one["name"], loaded.get(one["name"]), size.endswith(("K", "M"))


def _lmstudio(ask: Ask) -> _Models:
    found = [one for one in ask("/api/v0/models")["data"] if one["type"] in ("llm", "vlm")]
    for one in sorted(found, key=lambda one: one["state"] != "loaded"):
        yield one["id"], one.get("loaded_context_length") or one.get("max_context_length"), False


def _openai(ask: Ask, owner: str) -> _Models:
    for one in ask("/v1/models")["data"]:
        if one["owned_by"] == owner:
            props = ask("/props").get("default_generation_settings", {})
            parameters = one.get("meta", {}).get("n_params", SMALL_PARAMETERS)
            yield one["id"], one.get("max_model_len") or props.get("n_ctx"), parameters < SMALL_PARAMETERS


_KINDS: Final[Mapping[str, Callable[[Ask], _Models]]] = {
    "ollama": _ollama,
    "lmstudio": _lmstudio,
    "llama-server": partial(_openai, owner="llamacpp"),
    "vllm": partial(_openai, owner="vllm"),
}


# --- bringing


TRIES: Final = 5
"""How often in a row a broken download goes on by itself without having got further."""
_CONTEXT: Final = re.compile(rb"\.context_length[\x04\x05\x0a]\0{3}(.{4})", re.DOTALL)
_SIZE: Final = re.compile(rb"general\.size_label\x08\0{3}.\0{7}(?:(\d+)x)?(\d+(?:\.\d+)?)([KMB])", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A model that is here. ``checked_by`` says who vouched for the checksum: ``you``, ``host`` or ``nobody``."""

    name: str
    source: str
    size: int
    sha256: str
    checked_by: str
    parameters: int
    context_tokens: int


async def install(
    what: str, folder: Path, *, clock: Clock, progress: Callable[[int, int], None], sha256: str | None = None
) -> Installed:
    """Bring a model by its name in the catalogue, from an address, or from a file.

    Args:
        what: the name, address or path.
        folder: where models lie.
        clock: waits before a broken download goes on.
        progress: gets how many bytes are here and how many it will be; 0 when nobody says.
        sha256: what its checksum must be.

    Raises:
        DeskhandError: ``download_failed`` (asked again it goes on), ``disk_full``, ``not_found``, ``model_unknown``,
            ``model_file``, ``address_refused``, ``conflict`` while it is brought already.
    """
    source = CATALOGUE.get(what, what)
    stem = what if what in CATALOGUE else Path(urlsplit(what).path).stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:80]
    with _begun(folder / name, progress) as part:
        if "://" in source:
            await _download(source, part, clock)
        else:
            part.copy(what)
        return part.settled(source, sha256=sha256)


async def _download(url: str, part: _Part, clock: Clock) -> None:
    """Fetch what is missing, going on as long as that gets further."""
    tries = 0
    while tries < TRIES:
        before = part.here
        try:
            return await _fetch(url, part)
        except DeskhandError as error:
            if error.code not in (Code.TIMEOUT, Code.UNAVAILABLE):
                raise
        tries = 0 if part.here > before else tries + 1
        await clock.sleep(tries)
    raise DeskhandError(Code.DOWNLOAD_FAILED, f"{part.here} / {part.total or '?'}")


async def _fetch(url: str, part: _Part) -> None:
    """Ask once for what is missing, wherever the host sends us.

    Raises:
        DeskhandError: ``unavailable`` and ``timeout`` unless all is here now; ``not_found``, ``address_refused``.
    """
    first = parse_target(url)
    is_here = first.host in ("localhost", "127.0.0.1", "::1")
    egress, headers = Egress(allowed=frozenset([first.entry] * is_here)), part.missing(url)
    asked = EgressRequest(method="GET", url=url, headers=headers, seconds_max=2e5, take=part.take)
    answer = await egress.send(asked)
    for _ in range(6):
        if vouched := re.fullmatch('"?([0-9a-f]{64})"?', answer.headers.get("x-linked-etag", "")):
            part.vouched = vouched[1]
        if "location" not in answer.headers:
            break
        asked = replace(asked, url=urljoin(asked.url, answer.headers["location"]))
        answer = await egress.send(asked)
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.restart()
    said = f"{first.host}: HTTP {answer.status}"
    if answer.status in (401, 403, 404, 410):  # asking again is of no use
        raise DeskhandError(Code.NOT_FOUND, said)
    if answer.status not in (200, 206) or part.here != (part.total or part.here):
        raise DeskhandError(Code.UNAVAILABLE, said)


@contextmanager
def _begun(path: Path, progress: Callable[[int, int], None]) -> Generator[_Part]:
    """Hold a model under way, alone; of one without bytes nothing stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.part").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeskhandError(Code.CONFLICT, path.name) from None
        part = _Part(file, path, progress)
        try:
            yield part
        finally:
            if not part.here:
                part.restart()
                Path(file.name).unlink(missing_ok=True)


class _Part:
    """A model under way: its bytes so far, and beside them what they are bytes of."""

    def __init__(self, file: BinaryIO, path: Path, progress: Callable[[int, int], None]) -> None:
        self._file, self._path = file, path
        self._notes = path.with_name(f"{path.name}.part.json")
        self._progress = progress
        self.total, self._url, self.vouched = 0, "", ""

    @property
    def here(self) -> int:
        """How many bytes are here."""
        return self._file.tell()

    def missing(self, url: str) -> dict[str, str]:
        """Return the headers that ask for the rest; for all where what is here came from somewhere else."""
        self._url, told, tag = url, "", ""
        with suppress(OSError, ValueError):
            told, tag = json.loads(self._notes.read_text(encoding="utf-8"))
        if told != url:
            self.restart()
        return {"Range": f"bytes={self.here}-", "If-Range": tag} if self.here and tag else {}

    def take(self, head: EgressResponse) -> Callable[[bytes], object]:
        """Return what takes the bytes of an answer, behind those that are here if they belong there."""
        if head.status != HTTPStatus.PARTIAL_CONTENT:
            self.restart()
        elif not head.headers.get("content-range", "").startswith(f"bytes {self.here}-"):
            raise DeskhandError(Code.UNAVAILABLE, "not the bytes that were asked for")
        size = int(head.headers.get("content-length", 0))
        self._begin(size and self.here + size)
        self._notes.write_text(json.dumps([self._url, head.headers.get("etag", "")]), encoding="utf-8")
        return self.write

    def copy(self, said: str) -> None:
        """Take a file of this computer."""
        path = Path(said).expanduser()
        if not path.is_file():
            raise DeskhandError(Code.MODEL_UNKNOWN, said)
        self.restart()
        self._begin(path.stat().st_size)
        with path.open("rb") as source:
            shutil.copyfileobj(source, self, 1024**2)

    def restart(self) -> None:
        """Forget the bytes, and what they were."""
        self._file.seek(0)
        self._file.truncate()
        self._notes.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._file.write(chunk)
        self._progress(self.here, self.total)

    def _begin(self, total: int) -> None:
        """Note how many bytes it will be, if there is room for them.

        Raises:
            DeskhandError: ``disk_full`` with what is needed and what is there.
        """
        free = shutil.disk_usage(self._path.parent).free
        needed = int(total * 1.1) - self.here  # some of the disk stays free
        if needed > free:
            raise DeskhandError(Code.DISK_FULL, f"{needed / 1e9:.1f} GB / {free / 1e9:.1f} GB")
        self.total = total

    def settled(self, source: str, *, sha256: str | None) -> Installed:
        """Put the model in its place if it is what it should be; else nothing of it stays.

        Raises:
            DeskhandError: ``download_failed`` for a wrong checksum, ``model_file``.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        data, vouched = Path(self._file.name), sha256 or self.vouched
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        model, is_other = read_gguf(data), vouched.lower() not in ("", digest)
        if is_other or model is None:
            self.restart()
            said = f"SHA-256 {digest}, not {vouched}"
            raise DeskhandError(Code.DOWNLOAD_FAILED, said) if is_other else DeskhandError(Code.MODEL_FILE, data.name)
        found = Installed(
            name=self._path.name,
            source=source,
            size=self.here,
            sha256=digest,
            checked_by="you" if sha256 else "host" if vouched else "nobody",
            parameters=model[0],
            context_tokens=model[1] or CONTEXT_TOKENS,
        )
        self._path.with_name(f"{found.name}.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
        data.replace(self._path.with_name(f"{found.name}.gguf"))
        self._notes.unlink(missing_ok=True)
        return found


def remove(folder: Path, name: str) -> None:
    """Take a model away, whole or half.

    Raises:
        DeskhandError: ``model_unknown``.
    """
    paths = [folder / f"{name}.{kind}" for kind in ("gguf", "json", "part", "part.json")]
    if Path(name).name != name or not any(path.exists() for path in paths):
        raise DeskhandError(Code.MODEL_UNKNOWN, name)
    for path in paths:
        path.unlink(missing_ok=True)


def offers(folder: Path) -> list[Offer]:
    """Return the models that are here, the largest first, as what this computer can think with once the extra is there."""
    lacks, found = None if find_spec("xllamacpp") else Code.MODEL_UNKNOWN, list[Installed]()
    for notes in folder.glob("*.json"):
        with suppress(OSError, ValueError, TypeError):
            one = Installed(**json.loads(notes.read_text(encoding="utf-8")))
            found += [one] if notes.with_suffix(".gguf").is_file() else []
    return [
        Offer(
            name=f"{EMBEDDED}:{one.name}",
            source="embedded",
            where="pip install 'deskhand[local]'" if lacks else f"{one.name}.gguf",
            model=f"openai-chat:{one.name}",
            context_tokens=min(one.context_tokens, CONTEXT_TOKENS),
            label="too_small" if one.parameters < SMALL_PARAMETERS else None,
            lacks=lacks,
            file=str(folder / f"{one.name}.gguf"),
        )
        for one in sorted(found, key=lambda one: (-one.parameters, one.name))
    ]


def read_gguf(path: Path) -> tuple[int, int] | None:
    """Return about how many parameters the model of a file has, and its context length; nothing of what is none."""
    with path.open("rb") as file:
        head = file.read(256 * 1024)  # what a model says of itself stands before its long list of words
    context, label = _CONTEXT.search(head), _SIZE.search(head)
    if not head.startswith(b"GGUF") or not context:
        return None
    parameters = path.stat().st_size * 8 // 5  # of five bits, as most that do not say it
    if label:
        many, one, unit = label.groups(b"1")
        parameters = int(int(many) * float(one) * 1000 ** b" KMB".index(unit))
    return parameters, int.from_bytes(context[1], "little")

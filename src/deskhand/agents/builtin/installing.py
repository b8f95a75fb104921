"""Brings a model to this computer: a download that goes on where it stopped, is checked, and appears only whole.

It refuses to begin where the disk cannot hold it, to keep what is not what was asked for or no model at all, and to
call anything but public hosts, unless the address itself names this machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

from deskhand.agents.builtin.choosing import EMBEDDED, ModelChoice, Offer
from deskhand.agents.builtin.gguf import read_gguf
from deskhand.agents.builtin.probing import size_label
from deskhand.agents.builtin.serving import CONTEXT_TOKENS
from deskhand.clock import Clock
from deskhand.egress import Egress, EgressRequest, EgressResponse, parse_target
from deskhand.errors import Code, DeskhandError

ROOM: Final = 1.1
"""How much of the disk a model must find free, in times of its size."""
TRIES: Final = 5
"""How often in a row a broken download goes on by itself without having got further."""
_HOPS_MAX: Final = 6
_SECONDS_MAX: Final = 48 * 3600.0
_SYNC_BYTES: Final = 64 * 1024**2
_CHUNK: Final = 1024**2
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


_HOST: Final = "https://huggingface.co"
CATALOGUE: Final = {
    "qwen3-4b": f"{_HOST}/Qwen/Qwen3-4B-GGUF/resolve/main/Qwen3-4B-Q4_K_M.gguf",
    "qwen3-8b": f"{_HOST}/Qwen/Qwen3-8B-GGUF/resolve/main/Qwen3-8B-Q4_K_M.gguf",
    "gpt-oss-20b": f"{_HOST}/ggml-org/gpt-oss-20b-GGUF/resolve/main/gpt-oss-20b-mxfp4.gguf",
}
"""Models by name, all Apache-2.0: about 2.5, 5.0 and 12.1 GB."""


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


class Installer:
    """Installs into one folder.

    Args:
        folder: where models lie.
        clock: waits before a broken download goes on.
        progress: gets how many bytes are here and how many it will be; 0 when nobody says.
        free: how many bytes the disk has left.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        progress: Callable[[int, int], None],
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        """Remember where."""
        self._folder, self._clock, self._progress, self._free = folder, clock, progress, free

    async def install(self, what: str, *, sha256: str | None = None) -> Installed:
        """Bring a model by its name in the catalogue, from an address, or from a file.

        Raises:
            DeskhandError: ``download_failed`` (asked again it goes on), ``disk_full``, ``not_found``,
                ``model_unknown``, ``model_file``, ``address_refused``, ``conflict`` while it is brought already.
        """
        known = CATALOGUE.get(what)
        source = known or what
        name = what if known else Path(urlsplit(what).path).stem
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _Part(self._folder / name) as part:
            if "://" in source:
                await self._download(source, part)
            else:
                self._copy(what, part)
            return part.settled(name, source, sha256=sha256)

    async def _download(self, url: str, part: _Part) -> None:
        """Fetch what is missing, going on as long as that gets further."""
        tries = 0
        while tries < TRIES:
            before = part.here
            try:
                if await self._fetched(url, part):
                    return
            except DeskhandError as error:
                if error.code not in (Code.TIMEOUT, Code.UNAVAILABLE):
                    raise
            tries = 0 if part.here > before else tries + 1
            await self._clock.sleep(tries)
        raise DeskhandError(Code.DOWNLOAD_FAILED, f"{part.here} / {part.told.get('total') or '?'}")

    async def _fetched(self, url: str, part: _Part) -> bool:
        """Ask once for what is missing, wherever the host sends us; return whether it is all here now."""
        local = parse_target(url)
        allowed = frozenset({local.entry} if local.host in _LOCAL else ())
        part.about(url)
        headers: dict[str, str] = {}
        if part.here and part.told.get("tag"):
            headers = {"Range": f"bytes={part.here}-", "If-Range": str(part.told["tag"])}

        def take(head: EgressResponse, chunk: bytes) -> None:
            if head is not begun[-1]:
                begun.append(head)
                self._begin(head, part)
            part.write(chunk)
            self._progress(part.here, part.total)

        begun: list[EgressResponse | None] = [None]
        for _ in range(_HOPS_MAX):
            answer = await Egress(allowed=allowed).send(
                EgressRequest(
                    method="GET", url=url, headers=headers, seconds_max=_SECONDS_MAX, take=take
                )
            )
            part.vouch(answer.headers)
            if "location" not in answer.headers:
                return self._judged(answer, part, local.host)
            url = urljoin(url, answer.headers["location"])
        raise DeskhandError(Code.UNAVAILABLE, local.host)

    def _judged(self, answer: EgressResponse, part: _Part, host: str) -> bool:
        """Return whether all is here after an answer that has ended.

        Raises:
            DeskhandError: ``not_found`` where asking again is of no use; ``unavailable``.
        """
        match answer.status:
            case 200 | 206:
                return part.here == part.total or not part.total
            case 416:
                whole = part.here == part.total
                if not whole:
                    part.restart()
                return whole
            case 401 | 403 | 404 | 410:
                raise DeskhandError(Code.NOT_FOUND, f"{host}: HTTP {answer.status}")
            case _:
                raise DeskhandError(Code.UNAVAILABLE, f"{host}: HTTP {answer.status}")

    def _begin(self, head: EgressResponse, part: _Part) -> None:
        """Go on where the bytes of an answer do, if there is room for them."""
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", head.headers.get("content-range", ""))
        size = int(said[2] if said else head.headers.get("content-length", 0))
        if said is None or int(said[1]) != part.here:
            part.restart()
            if head.status == HTTPStatus.PARTIAL_CONTENT:
                raise DeskhandError(Code.UNAVAILABLE, "not the bytes that were asked for")
        self._need(size, part)
        part.tell(total=size, tag=head.headers.get("etag", ""))

    def _copy(self, path: str, part: _Part) -> None:
        file = Path(path).expanduser()
        if not file.is_file():
            raise DeskhandError(Code.MODEL_UNKNOWN, path)
        part.restart()
        self._need(file.stat().st_size, part)
        part.tell(total=file.stat().st_size)
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                part.write(chunk)
                self._progress(part.here, part.total)

    def _need(self, size: int, part: _Part) -> None:
        """Refuse what does not fit, before it is begun.

        Raises:
            DeskhandError: ``disk_full`` with what is needed and what is there.
        """
        needed, free = int(size * ROOM) - part.here, self._free(self._folder)
        if needed > free:
            raise DeskhandError(Code.DISK_FULL, f"{needed / 1e9:.1f} GB / {free / 1e9:.1f} GB")


class _Part:
    """A model under way: its bytes so far, and beside them what they are bytes of."""

    def __init__(self, path: Path) -> None:
        self._path, self._data = path, path.with_name(f"{path.name}.part")
        self._notes = path.with_name(f"{path.name}.part.json")
        self.told: dict[str, str | int] = {}

    def __enter__(self) -> Self:
        self._file = self._data.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise DeskhandError(Code.CONFLICT, self._data.name) from None
        self.here = self._synced = self._file.tell()
        with suppress(OSError, ValueError):
            self.told = json.loads(self._notes.read_text(encoding="utf-8"))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.here:
            self._data.unlink(missing_ok=True)
            self._notes.unlink(missing_ok=True)

    @property
    def total(self) -> int:
        """How many bytes it will be; 0 when nobody says."""
        return int(self.told.get("total", 0))

    def about(self, url: str) -> None:
        """Begin anew where the bytes that are here came from somewhere else."""
        if self.told.get("url") != url:
            self.restart()
            self.tell(url=url)

    def vouch(self, headers: Mapping[str, str]) -> None:
        """Keep the checksum that a host tells of what it sends."""
        for name in ("x-linked-etag", "x-checksum-sha256"):
            said = headers.get(name, "").strip('"').lower()
            if _SHA256.fullmatch(said):
                self.told["vouched"] = said

    def tell(self, **told: str | int) -> None:
        """Write down what the bytes are, before the next of them."""
        self.told |= told
        self._notes.write_text(json.dumps(self.told), encoding="utf-8")

    def restart(self) -> None:
        """Forget the bytes."""
        self._file.truncate(0)
        self.here = self._synced = 0

    def write(self, chunk: bytes) -> None:
        """Add bytes; what a power cut could take is never much."""
        self._file.write(chunk)
        self.here += len(chunk)
        if self.here - self._synced >= _SYNC_BYTES:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = self.here

    def settled(self, name: str, source: str, *, sha256: str | None) -> Installed:
        """Put the model in its place if it is what it should be; else nothing of it stays.

        Raises:
            DeskhandError: ``download_failed`` for a wrong checksum, ``model_file``.
        """
        self._sync()
        with self._data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        vouched = (sha256 or str(self.told.get("vouched", ""))).lower()
        self._notes.unlink(missing_ok=True)
        if vouched not in ("", digest):
            self.restart()
            raise DeskhandError(Code.DOWNLOAD_FAILED, f"SHA-256 {digest}, not {vouched}")
        try:
            model = read_gguf(self._data)
        except DeskhandError:
            self.restart()
            raise
        found = Installed(
            name=name,
            source=source,
            size=self.here,
            sha256=digest,
            checked_by="you" if sha256 else "host" if vouched else "nobody",
            parameters=model.parameters,
            context_tokens=model.context_tokens or CONTEXT_TOKENS,
        )
        self._path.with_name(f"{name}.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
        self._data.replace(self._path.with_name(f"{name}.gguf"))
        directory = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        return found


def installed(folder: Path) -> list[Installed]:
    """Return the models that are here, the largest first."""
    found: list[Installed] = []
    for notes in folder.glob("*.json"):
        with suppress(OSError, ValueError, TypeError):
            one = Installed(**json.loads(notes.read_text(encoding="utf-8")))
            found += [one] if notes.with_suffix(".gguf").is_file() else []
    return sorted(found, key=lambda one: (-one.parameters, one.name))


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
    """Return the models that are here, as what this computer can think with once the extra is there."""
    lacks = None if find_spec("xllamacpp") else Code.MODEL_UNKNOWN
    return [
        Offer(
            name=f"{EMBEDDED}:{one.name}",
            source="embedded",
            where="pip install 'deskhand[local]'" if lacks else f"{one.name}.gguf",
            choice=ModelChoice(
                name=f"openai-chat:{one.name}",
                context_tokens=min(one.context_tokens, CONTEXT_TOKENS),
            ),
            label=size_label(one.parameters),
            lacks=lacks,
            file=str(folder / f"{one.name}.gguf"),
        )
        for one in installed(folder)
    ]

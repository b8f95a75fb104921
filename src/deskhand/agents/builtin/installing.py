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
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

from deskhand.agents.builtin.agent import CATALOGUE, EMBEDDED, Offer
from deskhand.agents.builtin.supply import CONTEXT_TOKENS, SMALL_PARAMETERS
from deskhand.clock import Clock
from deskhand.egress import Egress, EgressRequest, EgressResponse, parse_target
from deskhand.errors import Code, DeskhandError

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

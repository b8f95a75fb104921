"""File results on their way to the hub: read through the handle, hashed, uploaded, and only then named.

The media type is ours to say, from the name alone. It refuses what is larger than an artifact may be, and never
believes an agent that a file is there.
"""

from __future__ import annotations

import hashlib
import io
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import chain, repeat
from pathlib import PurePosixPath
from typing import Final

from deskhand.clock import Clock
from deskhand.errors import DeskhandError
from deskhand.limits import ARTIFACT_BYTES_MAX
from deskhand.ports import FolderAccess, Link, Offload
from deskhand.protocol.tasks import Artifact
from deskhand.runner.saying import Voice

_WAITS_SECONDS: Final = (1, 2, 5, 15, 30)
_CHUNK: Final = 1024 * 1024
_TYPES: Final = mimetypes.MimeTypes(filenames=())
_OURS: Final = {
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


class Artifacts:
    """Uploads what an attempt made.

    Args:
        link: the road to the hub.
        offload: for reading and hashing large files.
        clock: for waiting while the hub is away.
    """

    def __init__(self, *, link: Link, offload: Offload, clock: Clock) -> None:
        """Keep the parts."""
        self._link = link
        self._clock = clock
        self._offload = offload

    async def upload(
        self,
        outputs: Sequence[str],
        *,
        results: FolderAccess,
        voice: Voice,
        meanwhile: Callable[[], Awaitable[None]],
    ) -> list[Artifact]:
        """Upload each file that can be read, and return those; the verifier has told of the others.

        ``meanwhile`` is called when the hub is not there, before it is waited for.

        Raises:
            DeskhandError: ``hub_unreachable``; what the hub says to an upload.
        """
        stored: list[Artifact] = []
        for path in dict.fromkeys(outputs):
            try:
                data, digest = await self._offload(lambda path=path: _read(results, path))
            except DeskhandError:
                continue
            await self._patiently(
                lambda data=data, digest=digest: self._link.upload_blob(
                    _chunks(data), sha256=digest, size=len(data)
                ),
                meanwhile,
            )
            name = PurePosixPath(path).name
            stored.append(
                voice.artifact(
                    name=name,
                    path=str(results.root / path),
                    media_type=media_type_of(name),
                    size=len(data),
                    sha256=digest,
                )
            )
        return stored

    async def _patiently(
        self, upload: Callable[[], Awaitable[None]], meanwhile: Callable[[], Awaitable[None]]
    ) -> None:
        """Try until the hub is there: the work is done, only its hand-over waits."""
        for seconds in chain(_WAITS_SECONDS, repeat(_WAITS_SECONDS[-1])):
            try:
                await upload()
            except DeskhandError as error:
                if not error.fault.retryable:
                    raise
                await meanwhile()
                await self._clock.sleep(seconds)
            else:
                return


def media_type_of(name: str) -> str:
    """Return the media type of a name; what nobody knows is bytes."""
    suffix = PurePosixPath(name).suffix.lower()
    return _OURS.get(suffix) or _TYPES.guess_type(name)[0] or "application/octet-stream"


def _read(results: FolderAccess, path: str) -> tuple[bytes, str]:

    data = results.read(path, limit=ARTIFACT_BYTES_MAX)
    return data, hashlib.sha256(data).hexdigest()


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    source = io.BytesIO(data)
    while chunk := source.read(_CHUNK):
        yield chunk

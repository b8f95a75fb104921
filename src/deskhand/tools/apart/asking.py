"""Has a file parsed, or a query run, by a process that may break: in the box, else in a child with bounds.

The process gets bytes and a question, never a path of the folder. In the box it has no network, no environment and
nothing to write to. Where no wall can be raised, it is a child with an empty environment, bounded memory, time and
files, that is killed at its end; a parser's crash, hang or greed stays its own there too, but it is no wall against
code that takes the parser over. A box that fails is an error: it is never tried again without one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final, cast

import deskhand
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, Place
from deskhand.protocol.wire import JsonObject

SECONDS_MAX: Final = 20
ANSWER_BYTES_MAX: Final = 16 * 1024**2
_START: Final = "import sys; sys.path += {}; from {}.answering import main; main()"
"""Isolated from the environment and from the directory it starts in, and still finds what the runner found."""


class Apart:
    """Asks, a few at a time, and waits for an answer at most ``seconds_max``."""

    def __init__(self, *, seconds_max: float = SECONDS_MAX) -> None:
        self._turn = asyncio.Semaphore(2)
        self._seconds_max = seconds_max

    async def ask(self, question: JsonObject, files: Sequence[bytes], place: Place) -> JsonObject:
        """Return the answer to a question about some files.

        Raises:
            DeskhandError: ``timeout``; ``unsupported_type`` for a damaged file; ``sandbox_unavailable``; what the
                answer itself says.
        """
        said = json.dumps(question, ensure_ascii=False)
        line = (sys.executable, "-I", "-B", "-c", _START.format(_packages(), __package__), said)
        walled = place.sandbox.info.level != "none"
        try:
            async with self._turn:
                output = await (self._boxed if walled else self._bare)(line, files, place)
        except TimeoutError:
            detail = f"more than {self._seconds_max:g} seconds; ask for less of it"
            raise DeskhandError(Code.TIMEOUT, detail) from None
        try:
            answer = cast("JsonObject", json.loads(output))
        except ValueError:
            detail = f"its reader broke on it: {output[-200:].decode(errors='replace')}"
            raise DeskhandError(Code.UNSUPPORTED_TYPE, detail) from None
        if isinstance(code := answer.get("error"), str):
            raise DeskhandError(Code(code), str(answer.get("detail")))
        return answer

    async def _boxed(self, line: Sequence[str], files: Sequence[bytes], place: Place) -> bytes:
        given = {f"/given/{number}": data for number, data in enumerate(files)}
        access = place.folder or place.results
        command = Command(
            argv=(*line, *given),
            folder=access.root,
            writable=False,
            seconds_max=self._seconds_max,
            output_bytes_max=ANSWER_BYTES_MAX,
            memory_bytes_max=1536 * 1024**2,
            programs=_programs(),
            given=given,
        )
        ended = await place.sandbox.run(command, access)
        if ended.timed_out:
            raise TimeoutError
        return ended.output

    async def _bare(self, line: Sequence[str], files: Sequence[bytes], _: Place) -> bytes:
        with ExitStack() as stack:
            output, *given = (stack.enter_context(TemporaryFile()) for _ in (b"", *files))
            for file, data in zip(given, files, strict=True):
                file.write(data)
                file.flush()
            numbers = [file.fileno() for file in given]
            process = await asyncio.create_subprocess_exec(
                *(*line, *(f"/dev/fd/{number}" for number in numbers)),
                stdin=DEVNULL,
                stdout=output,
                stderr=DEVNULL,
                env={},
                cwd="/",
                pass_fds=numbers,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(self._seconds_max):
                    await process.wait()
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            output.seek(0)
            return output.read(ANSWER_BYTES_MAX)


def _programs() -> tuple[Path, ...]:
    """Return what Python and its packages need beyond the system's own directories."""
    own = {Path(sys.prefix), Path(sys.base_prefix), *map(Path, _packages())}
    return tuple(sorted(path for path in own if not path.is_relative_to("/usr")))


def _packages() -> list[str]:
    """Return where our package and those it needs are, however they were installed."""
    found = [path for path in sys.path if path.endswith("-packages")]
    return [str(Path(deskhand.__file__).parents[1]), *found]

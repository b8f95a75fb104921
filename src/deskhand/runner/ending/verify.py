"""What becomes of a result: it is looked at, then handed over.

Whether it is right say the agent's own checks, the owner's commands, and a verifier with fresh eyes. A check may only
look. It refuses to take anybody's word: what was not run by us is not a check here, and a check that could not be run
has failed. Files are read through the handle, hashed, uploaded, and only then named.
"""

from __future__ import annotations

import hashlib
import logging
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from deskhand import ports
from deskhand.errors import Code, DeskhandError
from deskhand.limits import ARTIFACT_BYTES_MAX, CHECK_SECONDS_MAX, EVIDENCE_CHARS_MAX
from deskhand.protocol.events import ArtifactCreated
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, Check
from deskhand.runner.gate import Gate, Scope
from deskhand.runner.outbox import Backoff
from deskhand.runner.parts import Parts
from deskhand.runner.saying import Voice
from deskhand.secret import held_in, mask

READ: Final = "read_file"
EVIDENCE_FILES_MAX: Final = 10
EVIDENCE_FILE_CHARS_MAX: Final = 20_000
_FORMS: Final = frozenset({".docx", ".xlsx", ".pdf"})
"""What can be there without being what its name says."""

_CHUNK: Final = 1024 * 1024
_TYPES: Final = mimetypes.MimeTypes([str(Path(__file__).with_name("mime.types"))])
"""Of what nobody knows it is bytes."""

_log = logging.getLogger(__name__)


async def verify(done: ports.Done, commands: Sequence[str], scope: Scope, gate: Gate) -> list[Check]:
    """Run every check and return each with its evidence; a named result that is no file one can open is a failed one.

    That one can be opened is no evidence that it is right, so it is not among those that passed.
    """
    formal = [await _broken(path, scope, gate) for path in dict.fromkeys(done.outputs)]
    checks = [check for check in formal if check is not None]
    checks += [await _by_tool(wish, scope, gate) for wish in done.checks]
    return [*checks, *[await _by_command(line, scope, gate) for line in commands]]


async def judged(verifier: ports.Verifier, brief: Brief, evidence: Sequence[ports.Evidence]) -> ports.Judgement:
    """Return what a verifier says; one that cannot answer says nothing, and none speaks in our name."""
    try:
        said = await verifier.judge(brief, brief.criteria, evidence)
        checks = [_check(one.name, one.evidence, passed=one.passed) for one in said.checks]
        theirs = tuple(check.but(ran_by="verifier") for check in checks)
        return ports.Judgement(checks=theirs, spent=said.spent)
    except DeskhandError as error:
        _log.info("verifier.silent %s", error.code)
    except Exception:  # noqa: BLE001 - a verifier is a guest like its agent
        _log.exception("verifier.broke")
    return ports.Judgement(checks=())


async def evidence_of(paths: Sequence[str], checks: Sequence[Check], scope: Scope, gate: Gate) -> list[ports.Evidence]:
    """Return what was made, as text, and what our checks said."""
    files = [path for path in dict.fromkeys(paths) if _size(path, scope)][:EVIDENCE_FILES_MAX]
    found = [ports.Evidence(name=one.name, text=one.evidence) for one in checks]
    for path in files:
        said = (await _looked(_reading(path), scope, gate)).text
        cut = " […]" if len(said) > EVIDENCE_FILE_CHARS_MAX else ""
        found.append(ports.Evidence(name=path, text=said[:EVIDENCE_FILE_CHARS_MAX] + cut))
    return found


async def _broken(path: str, scope: Scope, gate: Gate) -> Check | None:
    """Return the failed check of a result that is not there, has nothing in it or does not open."""
    size, name = _size(path, scope), "opens"
    opens = PurePosixPath(path).suffix.lower() in _FORMS and READ in gate.tools
    if not size:
        name = "missing" if size is None else "empty"
        why = gate.say(f"check.output_{name}.evidence", where=scope.place.results.root)
    elif not (why := await denied(path, scope, gate)) and opens:
        result = await _looked(_reading(path), scope, gate)
        fine = result.outcome == "ok" or result.value.get("code") == str(Code.TOO_LARGE)
        why = "" if fine else result.text or result.outcome
    return _check(gate.say(f"check.output_{name}", name=path), why) if why else None


async def denied(path: str, scope: Scope, gate: Gate) -> str:
    """Return why the rules do not let a result be read, so that it is not handed over either."""
    try:
        ruling = await gate.admit(_reading(path), scope)
    except DeskhandError as error:
        return error.sentence(gate.language)
    return "" if ruling.looks or READ not in gate.tools else ruling.why


def _reading(path: str) -> ports.ToolCall:
    return ports.ToolCall(tool=READ, arguments={"path": path, "from": "results"}, title=path)


async def _looked(call: ports.ToolCall, scope: Scope, gate: Gate) -> ports.ToolResult:
    """Return what a wish comes to that may only look."""
    try:
        ruling = await gate.admit(call, scope)
    except DeskhandError as error:
        return gate.failed(error)
    if ruling.looks:
        return (await gate.perform(call, scope, ruling)).result
    said = gate.say("check.may_not_write") if not ruling.pure else ruling.why
    return ports.ToolResult(outcome="denied", value={}, text=said)


async def _by_tool(wish: ports.CheckWish, scope: Scope, gate: Gate) -> Check:
    result = await _looked(wish.call, scope, gate)
    passed = result.outcome == "ok" and result.value.get("passed") is True
    return _check(wish.name, result.text, passed=passed)


async def _by_command(line: str, scope: Scope, gate: Gate) -> Check:
    """Run the owner's command read-only behind the wall; exit 0 is a pass, and nothing it writes is kept."""
    access = scope.place.folder or scope.place.results
    argv = ("/bin/sh", "-c", line)
    command = ports.Command(argv=argv, folder=access.root, writable=False, seconds_max=CHECK_SECONDS_MAX)
    try:
        ended = await scope.place.sandbox.run(command, access)
    except DeskhandError as error:
        return _check(line, error.sentence(gate.language))
    how = gate.say("check.exit", code=ended.exit_code)
    if ended.timed_out:
        how = gate.say("check.timed_out", seconds=CHECK_SECONDS_MAX)
    output = ended.output.decode("utf-8", errors="replace").rstrip()
    passed = ended.exit_code == 0 and not ended.timed_out
    return _check(line, f"{output}\n{how}".lstrip(), passed=passed)


def _check(name: str, evidence: str, *, passed: bool = False) -> Check:
    """Return a check with the end of its evidence: that is where a program says what was wrong."""
    evidence = mask(evidence)
    if len(evidence) > EVIDENCE_CHARS_MAX:
        evidence = "... " + evidence[-(EVIDENCE_CHARS_MAX - 4) :]
    return Check(name=name[:200], passed=passed, evidence=evidence)


def _size(path: str, scope: Scope) -> int | None:
    """Return how large a file of the results is, if it is one."""
    try:
        entry = scope.place.results.stat(path)
    except DeskhandError:
        return None
    return entry.size if entry is not None and entry.kind == "file" else None


def hash_of(path: str, scope: Scope) -> str:
    """Return the hash of a result, empty for one that is not there."""
    with suppress(DeskhandError):
        return scope.place.results.sha256(path)
    return ""


async def upload(
    outputs: Sequence[str],
    results: ports.FolderAccess,
    parts: Parts,
    voice: Voice,
    *,
    meanwhile: Callable[[], Awaitable[None]],
) -> list[Op]:
    """Upload each file that can be read, and return what tells of those; the verifier has told of the others.

    One that holds a known secret is not sent, and that is told. ``meanwhile`` is called when the hub is not there,
    before it is waited for.

    Raises:
        DeskhandError: what the hub says to an upload, unless it is away: then the hand-over waits.
    """
    ops: list[Op] = []
    for path in dict.fromkeys(outputs):
        try:
            data, digest, held = await parts.offload(lambda path=path: _whole(results, path))
        except DeskhandError:
            continue
        if held:
            names = ", ".join(held)
            ops.append(voice.remarked("artifact.withheld", name=path, secrets=names))
            continue

        async def sent(data: bytes = data, digest: str = digest) -> None:
            await parts.link.upload_blob(_chunks(data), sha256=digest, size=len(data))

        await Backoff(parts).until_done(sent, meanwhile=lambda _: meanwhile())
        kind = _TYPES.guess_type(PurePosixPath(path).name)[0] or "application/octet-stream"
        place = str(results.root / path)
        made = voice.artifact(place, media_type=kind, size=len(data), sha256=digest)
        ops.append(voice.op(ArtifactCreated, artifact=made))
    return ops


def _whole(results: ports.FolderAccess, path: str) -> tuple[bytes, str, list[str]]:
    data = results.read(path, limit=ARTIFACT_BYTES_MAX)
    return data, hashlib.sha256(data).hexdigest(), held_in(data)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), _CHUNK):
        yield data[begin : begin + _CHUNK]

"""Looking whether a result is right: the agent's own checks, the owner's commands, and a verifier with fresh eyes.

A check may only look. It refuses to take anybody's word: what was not run by us is not a check here, and a check that
could not be run has failed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.limits import CHECK_SECONDS_MAX, EVIDENCE_CHARS_MAX
from deskhand.ports import (
    CheckWish,
    Command,
    Done,
    Evidence,
    Judgement,
    ToolCall,
    ToolResult,
    Verifier,
)
from deskhand.protocol.tasks import Brief, Check
from deskhand.runner.gate import Gate, Scope

READ: Final = "read_file"
EVIDENCE_FILES_MAX: Final = 10
EVIDENCE_FILE_CHARS_MAX: Final = 20_000
_FORMS: Final = frozenset({".docx", ".xlsx", ".pdf"})
"""What can be there without being what its name says."""

_log = logging.getLogger(__name__)


async def verify(done: Done, commands: Sequence[str], scope: Scope, gate: Gate) -> list[Check]:
    """Run every check and return each with its evidence; a named result that is no file one can open is a failed one.

    That one can be opened is no evidence that it is right, so it is not among those that passed.
    """
    formal = [await _broken(path, scope, gate) for path in dict.fromkeys(done.outputs)]
    checks = [check for check in formal if check is not None]
    checks += [await _by_tool(wish, scope, gate) for wish in done.checks]
    return [*checks, *[await _by_command(line, scope, gate) for line in commands]]


async def judged(verifier: Verifier, brief: Brief, evidence: Sequence[Evidence]) -> Judgement:
    """Return what a verifier says; one that cannot answer says nothing, and none speaks in our name."""
    try:
        said = await verifier.judge(brief, brief.criteria, evidence)
        checks = [_check(one.name, one.evidence, passed=one.passed) for one in said.checks]
        theirs = tuple(check.but(ran_by="verifier") for check in checks)
        return Judgement(checks=theirs, spent=said.spent)
    except DeskhandError as error:
        _log.info("verifier.silent %s", error.code)
    except Exception:  # noqa: BLE001 - a verifier is a guest like its agent
        _log.exception("verifier.broke")
    return Judgement(checks=())


async def evidence_of(
    paths: Sequence[str], checks: Sequence[Check], scope: Scope, gate: Gate
) -> list[Evidence]:
    """Return what was made, as text, and what our checks said."""
    files = [path for path in dict.fromkeys(paths) if _size(path, scope)][:EVIDENCE_FILES_MAX]
    found = [Evidence(name=one.name, text=one.evidence) for one in checks]
    for path in files:
        said = (await _read(path, scope, gate)).text
        cut = " […]" if len(said) > EVIDENCE_FILE_CHARS_MAX else ""
        found.append(Evidence(name=path, text=said[:EVIDENCE_FILE_CHARS_MAX] + cut))
    return found


async def _broken(path: str, scope: Scope, gate: Gate) -> Check | None:
    """Return the failed check of a result that is not there, has nothing in it or does not open."""
    size, root = _size(path, scope), scope.place.results.root
    if size is None:
        evidence = gate.say("check.output_missing.evidence", where=root)
        return _check(gate.say("check.output_missing", name=path), evidence)
    if size == 0:
        evidence = gate.say("check.output_empty.evidence")
        return _check(gate.say("check.output_empty", name=path), evidence)
    if PurePosixPath(path).suffix.lower() not in _FORMS or gate.tool(READ) is None:
        return None
    result = await _read(path, scope, gate)
    if result.outcome == "ok" or result.value.get("code") == str(Code.TOO_LARGE):
        return None
    return _check(gate.say("check.output_opens", name=path), result.text)


async def _read(path: str, scope: Scope, gate: Gate) -> ToolResult:
    call = ToolCall(tool=READ, arguments={"path": path, "from": "results"}, title=path)
    return await _looked(call, scope, gate)


async def _looked(call: ToolCall, scope: Scope, gate: Gate) -> ToolResult:
    """Return what a wish comes to that may only look."""
    try:
        ruling = await gate.admit(call, scope)
    except DeskhandError as error:
        return gate.failed(error)
    if ruling.looks:
        return (await gate.perform(call, scope, ruling)).result
    said = gate.say("check.may_not_write") if not ruling.pure else gate.say(f"rule.{ruling.rule}")
    return ToolResult(outcome="denied", value={}, text=said)


async def _by_tool(wish: CheckWish, scope: Scope, gate: Gate) -> Check:
    result = await _looked(wish.call, scope, gate)
    passed = result.outcome == "ok" and result.value.get("passed") is True
    return _check(wish.name, result.text, passed=passed)


async def _by_command(line: str, scope: Scope, gate: Gate) -> Check:
    """Run the owner's command read-only behind the wall; exit 0 is a pass, and nothing it writes is kept."""
    access = scope.place.folder or scope.place.results
    argv = ("/bin/sh", "-c", line)
    command = Command(argv=argv, folder=access.root, writable=False, seconds_max=CHECK_SECONDS_MAX)
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

"""Looking whether a result is right: the agent's own checks through the gate, and the owner's commands in the box.

A check may only look. It refuses to take anybody's word: what was not run by us is not a check here, and a check that
could not be run has failed.
"""

from __future__ import annotations

from collections.abc import Sequence

from deskhand.errors import DeskhandError
from deskhand.limits import (
    CHECK_SECONDS_MAX,
    COMMAND_MEMORY_BYTES_MAX,
    COMMAND_OUTPUT_BYTES_MAX,
    EVIDENCE_CHARS_MAX,
)
from deskhand.permissions.rules import Decision
from deskhand.ports import CheckWish, Command, Done
from deskhand.protocol.tasks import Check
from deskhand.runner.gate import Gate, Scope


async def verify(done: Done, commands: Sequence[str], scope: Scope, gate: Gate) -> list[Check]:
    """Run every check and return each with its evidence; a named result that is not there is a failed one."""
    named = dict.fromkeys(done.outputs)
    checks = [_missing(path, scope, gate) for path in named if not _is_file(path, scope)]
    checks += [await _by_tool(wish, scope, gate) for wish in done.checks]
    return [*checks, *[await _by_command(line, scope, gate) for line in commands]]


def _missing(path: str, scope: Scope, gate: Gate) -> Check:
    name = gate.say("check.output_missing", name=path)
    evidence = gate.say("check.output_missing.evidence", where=scope.place.results.root)
    return _check(name, evidence)


async def _by_tool(wish: CheckWish, scope: Scope, gate: Gate) -> Check:
    try:
        ruling = await gate.admit(wish.call, scope)
    except DeskhandError as error:
        return _check(wish.name, error.sentence(gate.language))
    if not ruling.pure:
        return _check(wish.name, gate.say("check.may_not_write"))
    if ruling.decision is not Decision.ALLOW:
        return _check(wish.name, gate.say(f"rule.{ruling.rule}"))
    result = (await gate.perform(wish.call, scope, ruling)).result
    passed = result.outcome == "ok" and result.value.get("passed") is True
    return _check(wish.name, result.text, passed=passed)


async def _by_command(line: str, scope: Scope, gate: Gate) -> Check:
    """Run the owner's command read-only behind the wall; exit 0 is a pass, and nothing it writes is kept."""
    access = scope.place.folder or scope.place.results
    command = Command(
        argv=("/bin/sh", "-c", line),
        folder=access.root,
        writable=False,
        seconds_max=CHECK_SECONDS_MAX,
        output_bytes_max=COMMAND_OUTPUT_BYTES_MAX,
        memory_bytes_max=COMMAND_MEMORY_BYTES_MAX,
    )
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


def _is_file(path: str, scope: Scope) -> bool:
    try:
        entry = scope.place.results.stat(path)
    except DeskhandError:
        return False
    return entry is not None and entry.kind == "file"

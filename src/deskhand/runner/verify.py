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
from deskhand.texts import text


class Verifier:
    """Runs checks.

    Args:
        gate: the only door to tools, also for checks.
        language: for sentences that people read.
    """

    def __init__(self, *, gate: Gate, language: str = "en") -> None:
        """Keep the parts."""
        self._gate = gate
        self._language = language

    async def run(self, done: Done, commands: Sequence[str], scope: Scope) -> list[Check]:
        """Run every check and return each with its evidence; a named result that is not there is a failed one."""
        checks = [
            self._missing(path, scope)
            for path in dict.fromkeys(done.outputs)
            if not _is_file(path, scope)
        ]
        checks += [await self._by_tool(wish, scope) for wish in done.checks]
        return [*checks, *[await self._by_command(command, scope) for command in commands]]

    def _missing(self, path: str, scope: Scope) -> Check:
        name = text("check.output_missing", language=self._language, name=path)
        where = str(scope.place.results.root)
        evidence = text("check.output_missing.evidence", language=self._language, where=where)
        return self._check(name, passed=False, evidence=evidence)

    async def _by_tool(self, wish: CheckWish, scope: Scope) -> Check:
        try:
            ruling = await self._gate.admit(wish.call, scope)
        except DeskhandError as error:
            return self._check(wish.name, passed=False, evidence=error.sentence(self._language))
        if not ruling.pure:
            evidence = text("check.may_not_write", language=self._language)
            return self._check(wish.name, passed=False, evidence=evidence)
        if ruling.decision is not Decision.ALLOW:
            return self._check(wish.name, passed=False, evidence=ruling.why)
        result = (await self._gate.perform(wish.call, scope, ruling)).result
        passed = result.outcome == "ok" and result.value.get("passed") is True
        return self._check(wish.name, passed=passed, evidence=result.text)

    async def _by_command(self, line: str, scope: Scope) -> Check:
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
            return self._check(line, passed=False, evidence=error.sentence(self._language))
        how = (
            text("check.timed_out", language=self._language, seconds=CHECK_SECONDS_MAX)
            if ended.timed_out
            else text("check.exit", language=self._language, code=ended.exit_code)
        )
        output = ended.output.decode("utf-8", errors="replace").rstrip()
        passed = ended.exit_code == 0 and not ended.timed_out
        return self._check(line, passed=passed, evidence=f"{output}\n{how}".lstrip())

    def _check(self, name: str, *, passed: bool, evidence: str) -> Check:
        return Check(name=name[:200], passed=passed, evidence=_bounded(evidence))


def _is_file(path: str, scope: Scope) -> bool:
    try:
        entry = scope.place.results.stat(path)
    except DeskhandError:
        return False
    return entry is not None and entry.kind == "file"


def _bounded(evidence: str) -> str:
    """Return the end of long evidence: that is where a program says what was wrong."""
    if len(evidence) <= EVIDENCE_CHARS_MAX:
        return evidence
    return "... " + evidence[-(EVIDENCE_CHARS_MAX - 4) :]

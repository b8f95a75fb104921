"""How an attempt ends: how far it gets and what it uses is watched, its result is looked at, then handed over.

Watching says when to tell of it, when to ask, when to end. It refuses to count what is not known, and to take as a yes
what is none.

Whether a result is right say the agent's own checks, the owner's commands, and a verifier with fresh eyes. A check may
only look. It refuses to take anybody's word: what was not run by us is not a check here, and a check that could not be
run has failed. Files are read through the handle, hashed, uploaded, and only then named.
"""

from __future__ import annotations

import hashlib
import logging
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Final, cast

from deskhand import limits, ports
from deskhand.clock import stamp
from deskhand.core.settings import effective
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.evaluate import visible
from deskhand.protocol.events import ArtifactCreated
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, Check
from deskhand.protocol.wire import JsonObject
from deskhand.runner.gate import Gate, Scope
from deskhand.runner.traffic import Backoff, Parts, Voice
from deskhand.secret import held_in, mask
from deskhand.workflow.rows import LIMITS, NOTED_SHARE, ONE, AttemptState, limits_of, reached, shown

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
    command = ports.Command(argv=argv, folder=access.root, writable=False, seconds_max=limits.CHECK_SECONDS_MAX)
    try:
        ended = await scope.place.sandbox.run(command, access)
    except DeskhandError as error:
        return _check(line, error.sentence(gate.language))
    how = gate.say("check.exit", code=ended.exit_code)
    if ended.timed_out:
        how = gate.say("check.timed_out", seconds=limits.CHECK_SECONDS_MAX)
    output = ended.output.decode("utf-8", errors="replace").rstrip()
    passed = ended.exit_code == 0 and not ended.timed_out
    return _check(line, f"{output}\n{how}".lstrip(), passed=passed)


def _check(name: str, evidence: str, *, passed: bool = False) -> Check:
    """Return a check with the end of its evidence: that is where a program says what was wrong."""
    evidence = mask(evidence)
    if len(evidence) > limits.EVIDENCE_CHARS_MAX:
        evidence = "... " + evidence[-(limits.EVIDENCE_CHARS_MAX - 4) :]
    return Check(name=name[:200], passed=passed, evidence=evidence)


def _size(path: str, scope: Scope) -> int | None:
    """Return how large a file of the results is, if it is one."""
    with suppress(DeskhandError):
        entry = scope.place.results.stat(path)
        return entry.size if entry is not None and entry.kind == "file" else None
    return None


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
    data = results.read(path, limit=limits.ARTIFACT_BYTES_MAX)
    return data, hashlib.sha256(data).hexdigest(), held_in(data)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), _CHUNK):
        yield data[begin : begin + _CHUNK]


class Watch:
    """Watches one attempt under its own limits, or else those of the account's settings."""

    def __init__(self, brief: Brief, parts: Parts, gate: Gate) -> None:
        self._budget = brief.budget
        self._setting, self._most = parts.journal.setting, parts.most
        self._say, self._now = gate.say, parts.clock.now

    def lost(self, state: AttemptState) -> str:
        """Return why the attempt gets nowhere; empty when it does."""
        stuck = state.idle >= limits.IDLE_MOVES_MAX
        return self._say("attempt.no_progress", count=state.idle) if stuck else ""

    def stopped(self, state: AttemptState) -> str:
        """Return where a person stopped it, or this computer's own limit; empty when neither did."""
        most = {name: Decimal(one) for name in LIMITS if (one := self._most(f"limit.{name}"))}
        if over := reached(state.spending, most, ONE):
            return self._say("budget.most", what=self._used(state, over, most))
        what = self._used(state, self._near(state, ONE))
        return self._say("budget.stopped", what=what) if state.stopped else ""

    def question(self, state: AttemptState) -> ports.Ask | None:
        """Return what to ask when a limit is used up."""
        over = self._near(state, ONE)
        if not over:
            return None
        choices = (self._say("budget.go_on"), self._say("budget.stop"))
        text = self._say("budget.ask", what=self._used(state, over))
        return ports.Ask(text=text, choices=choices)

    def pressed(self, state: AttemptState) -> ports.Ask | None:
        """Return what to ask instead of one more yes when too many were asked for lately (AP-12)."""
        stored = self._setting(name := "asks.per_ten_minutes")
        most = int(str(effective({} if stored is None else {name: stored}, name)))
        lately = sum(at > stamp(self._now() - limits.ASKS_WITHIN) for at in state.asked)
        if not most or lately < most:
            return None
        return ports.Ask(text=self._say("asks.ask", count=lately), choices=(self._say("asks.go_on"),))

    def probed(self, state: AttemptState) -> ports.Ask | None:
        """Return what to ask before anything more when too much was tried that may not be (PI-15)."""
        if len(state.denied) < limits.DENIALS_MAX:
            return None
        tried = "; ".join(visible(one) for one in state.denied[-limits.DENIALS_MAX :])
        text = self._say("asks.denied", count=len(state.denied), tried=tried)
        return ports.Ask(text=text, choices=(self._say("asks.let_on"),))

    def notes(self, state: AttemptState) -> dict[str, str]:
        """Return by name what to say, once, of limits that are near or cannot be watched."""
        near = [name for name in self._near(state, NOTED_SHARE) if name not in state.noted]
        words = {name: self._say("budget.noted", what=self._used(state, [name])) for name in near}
        asked = self._budget is not None and self._budget.money is not None
        if asked and state.spending.usd is None and "unpriced" not in state.noted:
            words["unpriced"] = self._say("budget.unpriced", model=state.spending.model)
        return words

    def _near(self, state: AttemptState, share: Decimal) -> list[str]:
        return reached(state.spending, limits_of(self._budget, self._setting, times=state.times), share)

    def _used(self, state: AttemptState, names: Sequence[str], *own: Mapping[str, Decimal]) -> str:
        """Return how much of these limits was used, in words."""
        most, *_ = *own, limits_of(self._budget, self._setting, times=state.times)
        used = state.spending.by_name
        return ", ".join(self._say(f"budget.{name}", used=shown(used[name]), limit=shown(most[name])) for name in names)


def more(wish: JsonObject, answer: str) -> JsonObject:
    """Return what an answer says about a limit; what is neither yes nor no says nothing, and is asked again."""
    choices = [str(one).casefold() for one in cast("list[str]", wish["limits"])]
    said = answer.strip().casefold()
    return {"more": said == choices[0]} if said in choices else {}


def bounded(move: ports.Move) -> ports.Move:
    """Return a move whose plan and criteria are no longer than anybody reads."""
    if isinstance(move, (ports.Wishes, ports.Done)) and move.plan is not None:
        plan = [item.but(text=item.text[: limits.NAME_CHARS_MAX]) for item in move.plan[: limits.PLAN_LINES_MAX]]
        move = replace(move, plan=tuple(plan))
    if isinstance(move, ports.Wishes):
        criteria = [one[: limits.NAME_CHARS_MAX] for one in move.criteria[: limits.PLAN_LINES_MAX]]
        move = replace(move, criteria=tuple(criteria))
    return move

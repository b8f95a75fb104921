"""Drives one attempt: asks what its rows add up to, does the next thing, and writes it down.

An effect happens only after its intent is committed and the hub has acknowledged the accept. The driver keeps nothing
that the rows do not hold: killed anywhere, the next one goes on. It refuses to repeat an effect that may have
happened and cannot be repeated, and to wait for a person in memory.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.limits import STEPS_MAX
from deskhand.permissions.rules import Decision
from deskhand.ports import Agent, Ask, Done, GiveUp, Move, ToolCall, ToolResult, Wishes
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, TaskState
from deskhand.protocol.wire import JsonObject, sha256_of
from deskhand.runner.artifacts import Artifacts
from deskhand.runner.ending import Ending, changes_of, result_with_changes
from deskhand.runner.gate import Gate, Performed, Ruling, denied
from deskhand.runner.saying import Voice
from deskhand.runner.together import together
from deskhand.runner.verify import Verifier
from deskhand.runner.workspace import Workspace, Workspaces
from deskhand.texts import text
from deskhand.workflow.attempt import (
    AttemptState,
    End,
    PutQuestion,
    Resolve,
    Think,
    Use,
    Verify,
    Wait,
    apply,
    fold,
    in_circles,
    next_act,
    with_steering,
)
from deskhand.workflow.journal import Journal
from deskhand.workflow.rows import (
    AttemptKey,
    AttemptRow,
    Step,
    StepKind,
    call_to_json,
    move_to_json,
    result_to_json,
    step_key,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """All that drivers of one runner share. ``accepted`` returns once the hub acknowledged the accept."""

    runner: str
    journal: Journal
    gate: Gate
    agents: Mapping[str, Agent]
    workspaces: Workspaces
    verifier: Verifier
    artifacts: Artifacts
    clock: Clock
    ids: Ids
    accepted: Callable[[AttemptKey], Coroutine[Any, Any, None]]
    tries_max: int = 1
    language: str = "en"


async def drive(kit: Kit, key: AttemptKey) -> None:
    """Take an attempt as far as it goes now: to its end, or to a wait.

    Raises:
        DeskhandError: ``stale_epoch`` when it lost the right to go on; what may pass by itself (``hub_unreachable``,
            ``disk_full``, ``unavailable``), so that a later advance tries again.
    """
    attempt = kit.journal.attempt(key)
    if attempt is None or attempt.status != "open":
        return
    if kit.journal.follows(key):
        await kit.journal.adopt(key)
    driver = _Driver(kit, attempt)
    try:
        with kit.workspaces.open(attempt) as workspace:
            await driver.go(workspace)
    except DeskhandError as error:
        if error.code is Code.STALE_EPOCH or error.fault.retryable:
            raise
        await driver.give_up([error.sentence(kit.language)])


class _Driver:
    """One attempt, while it is driven."""

    def __init__(self, kit: Kit, attempt: AttemptRow) -> None:
        self._kit = kit
        self._key = attempt.key
        criteria = kit.journal.criteria(attempt.key.task)
        brief = attempt.brief
        self._brief: Brief = brief if criteria is None else brief.but(criteria=criteria)
        self._voice = Voice(brief=brief, runner=kit.runner, clock=kit.clock, ids=kit.ids)
        self._place = attempt.place
        self._unsaved: list[Step] = []
        self._unsaid: list[Op] = []
        steps = kit.journal.steps(attempt.key)
        self._state: AttemptState = fold(steps)
        self._changes = changes_of(steps)
        self._workspace: Workspace | None = None

    async def go(self, workspace: Workspace) -> None:
        """Do one thing after the other until the end or a wait."""
        self._workspace = workspace
        if self._brief.files:
            await self._kit.accepted(self._key)
            await self._kit.workspaces.bring_in(self._brief, workspace)
        while await self._advance():
            pass

    async def give_up(self, reasons: Sequence[str]) -> None:
        """End the attempt as not done, with the reasons."""
        ending = Ending(state=self._state, changes=self._changes, epoch=self._key.epoch)
        await self._flush(*ending.not_done(self._voice, reasons), finished=True)

    async def _advance(self) -> bool:
        """Do the next thing; return whether there may be another one now."""
        if self._kit.journal.paused(self._key):
            await self._flush()
            return False
        act = next_act(self._state)
        going = True
        match act:
            case Think():
                going = await self._think()
            case Use():
                going = await self._use(act.move, act.index)
            case Resolve():
                await self._resolve(act.move, act.step)
            case Wait():
                going = self._decide(act.step)
            case PutQuestion():
                going = await self._put(act.ask)
            case Verify():
                going = await self._verify(act.done)
            case End():
                await self.give_up(act.give_up.reasons)
                going = False
            case _:  # pragma: no cover - the type checker proves it
                assert_never(act)
        return going

    # --- the agent

    async def _think(self) -> bool:
        """Ask the agent for its next move and note it."""
        await self._flush()
        stuck = self._stuck()
        if stuck:
            await self.give_up([stuck])
            return False
        heard = self._kit.journal.steering(self._key.task, after=self._state.heard)
        heard = heard if self._state.turns else []
        said = [str(event.body.get("text", "")) for event in heard]
        move = await self._move(said)
        if move is None:
            broke = text("attempt.agent_broke", language=self._kit.language)
            await self.give_up([broke])
            return False
        wish: JsonObject = {"turn": len(self._state.turns)}
        if heard:
            wish |= {"heard": list(said), "heard_to": heard[-1].seq}
        ops: list[Op] = []
        if isinstance(move, Wishes) and move.say:
            ops.append(self._voice.said(move.say))
        if isinstance(move, Done):
            ops.append(self._voice.moved(TaskState.VERIFYING))
        self._append(self._step("move", wish, result=move_to_json(move)), *ops)
        return True

    async def _move(self, said: Sequence[str]) -> Move | None:
        """Return the agent's move, or nothing when what it returned is none.

        Raises:
            DeskhandError: what stands in the agent's way.
        """
        agent = self._kit.agents.get(self._brief.agent)
        if agent is None:
            no_agent = text("attempt.no_agent", language=self._kit.language, name=self._brief.agent)
            return GiveUp(reasons=(no_agent,))
        try:
            move = await agent.move(self._brief, with_steering(self._state.turns, said))
            json.dumps(move_to_json(move), allow_nan=False)  # what cannot be written is not said
        except DeskhandError as error:
            return GiveUp(reasons=(error.sentence(self._kit.language),))
        except Exception:  # noqa: BLE001 - an agent is a guest: whatever it does, the attempt ends honestly
            _log.exception("agent.broke")
            return None
        return move

    def _stuck(self) -> str | None:
        """Return why the agent must not be asked again."""
        if in_circles(self._state.turns):
            return text("attempt.loop", language=self._kit.language)
        if max(self._state.steps, len(self._state.turns)) >= STEPS_MAX:
            return text("attempt.steps", language=self._kit.language, most=STEPS_MAX)
        return None

    # --- wishes

    async def _use(self, move: Wishes, index: int) -> bool:
        """Carry out the next wish, or several at once that only look."""
        looking = await self._only_looking(move.calls[index:])
        if looking:
            performed = await together(
                *(
                    self._kit.gate.perform(call, self._open.scope, ruling)
                    for call, ruling in looking
                )
            )
            for (call, ruling), one in zip(looking, performed, strict=True):
                self._note(call, ruling, one)
            return True
        call = move.calls[index]
        try:
            ruling = await self._kit.gate.admit(call, self._open.scope)
        except DeskhandError as error:
            said = error.sentence(self._kit.language)
            self._note(
                call, None, Performed(result=ToolResult(outcome="error", value={}, text=said))
            )
            return True
        if ruling.decision is Decision.DENY:
            refusal = denied(ruling.rule, language=self._kit.language)
            self._note(call, ruling, Performed(result=refusal))
            return True
        if ruling.decision is Decision.ASK and not self._permitted(ruling):
            return await self._ask(ruling)
        await self._act(call, ruling)
        return True

    async def _only_looking(self, calls: Sequence[ToolCall]) -> list[tuple[ToolCall, Ruling]]:
        """Return the first wishes that have no effect and are allowed."""
        found: list[tuple[ToolCall, Ruling]] = []
        for call in calls:
            try:
                ruling = await self._kit.gate.admit(call, self._open.scope)
            except DeskhandError:
                break
            if not ruling.pure or ruling.decision is not Decision.ALLOW:
                break
            found.append((call, ruling))
        return found

    async def _act(self, call: ToolCall, ruling: Ruling) -> None:
        """Commit the intent, wait for the acknowledged accept, have the effect, note the result."""
        wish: JsonObject = {
            "call": call_to_json(call),
            "action_sha256": _lasting(ruling),
            "asked": ruling.decision is Decision.ASK,
        }
        step = self._step("tool", wish, arguments=call.arguments, effect=ruling.effect)
        self._append(step, self._voice.began(self._state.steps + 1, call))
        await together(self._flush(), self._kit.accepted(self._key))
        self._finish(step, await self._kit.gate.perform(call, self._open.scope, ruling))

    def _note(self, call: ToolCall, ruling: Ruling | None, performed: Performed) -> None:
        """Note a wish that had no effect, with its result, as one row."""
        number = self._state.steps + 1
        step = self._step(
            "tool",
            {"call": call_to_json(call)},
            arguments=call.arguments,
            effect=ruling.effect if ruling else "pure",
            result=result_to_json(performed.result),
        )
        self._append(
            step, self._voice.began(number, call), self._voice.ended(number, performed.result)
        )

    def _finish(self, step: Step, performed: Performed, *more: Op) -> None:
        """Give the open step its result."""
        ended = self._voice.ended(self._state.steps + 1, performed.result)
        done = replace(step, result=result_with_changes(performed))
        self._changes = changes_of([done], before=self._changes)
        self._append(done, ended, *more)

    async def _resolve(self, move: Wishes, step: Step) -> None:
        """Deal with an intent whose result a crash took: repeat, look, or tell (design 3)."""
        call = move.calls[len(self._state.results)]
        performed = None
        if step.key == step_key(self._key.task, step.n, call.arguments):
            performed = await self._again(call, step)
        if performed is not None:
            self._finish(step, performed)
            return
        said = text("attempt.unknown", language=self._kit.language, what=call.title or call.tool)
        result = ToolResult(outcome="unknown", value={}, text=said)
        self._finish(step, Performed(result=result), self._voice.said(said, by="runner"))

    async def _again(self, call: ToolCall, step: Step) -> Performed | None:
        """Return the result of an intent that can be repeated or looked for; nothing when it cannot."""
        tool = self._kit.gate.tool(call.tool)
        if tool is None or step.effect in (None, "unknown"):
            return None
        ruling = await self._kit.gate.admit(call, self._open.scope)
        same = step.wish.get("action_sha256") == _lasting(ruling)
        asked = step.wish.get("asked") is True and same
        if ruling.decision is Decision.DENY or (ruling.decision is Decision.ASK and not asked):
            return None
        await self._kit.accepted(self._key)
        if step.effect == "probe":
            probe = getattr(tool, "probe", None)
            found = await probe(call.arguments, self._open.scope.place) if probe else None
            return Performed(result=found) if isinstance(found, ToolResult) else None
        return await self._kit.gate.perform(call, self._open.scope, ruling)

    # --- people

    def _permitted(self, ruling: Ruling) -> bool:
        """Return whether there is a recorded yes for exactly this action, or for its kind in this task."""
        yes = self._state.yes
        exactly = yes is not None and yes.action_sha256 == ruling.action_sha256
        return exactly or ruling.grant in self._state.grants

    async def _ask(self, ruling: Ruling) -> bool:
        """Store the request as a row and let go; a yes to something that has changed is void."""
        approval = self._voice.approval(ruling)
        ops = [self._voice.requests(approval)]
        if self._state.yes is not None:
            changed = text("attempt.changed", language=self._kit.language)
            ops.insert(0, self._voice.voids(self._state.yes.approval, changed))
        wish: JsonObject = {"approval": approval.to_json(), "grant": ruling.grant}
        self._append(self._step("wait", wish, ref=approval.id), *ops)
        await self._flush()
        return False

    async def _put(self, ask: Ask) -> bool:
        """Store the agent's question as a row and let go."""
        question = self._voice.question(ask)
        step = self._step("wait", {"question": question.to_json()}, ref=question.id)
        self._append(step, self._voice.asks(question))
        await self._flush()
        return False

    def _decide(self, step: Step) -> bool:
        """Take in the decision about an approval or question, if there is one."""
        event = self._kit.journal.decision(step.ref or "")
        if event is None:
            return False
        body = event.body
        if event.kind == "question.answered":
            self._append(replace(step, result={"answer": str(body.get("answer", ""))}))
        elif body.get("decision") == "allow":
            given: JsonObject = {
                "decision": "allow",
                "scope": body.get("scope", "once"),
                "action_sha256": body["action_sha256"],
            }
            self._append(replace(step, result=given))
        else:
            self._deny(step, body.get("reason"))
        return True

    def _deny(self, step: Step, reason: object) -> None:
        language = self._kit.language
        said = (
            text("refused.person_because", language=language, reason=reason)
            if reason
            else text("refused.person", language=language)
        )
        refusal = ToolResult(outcome="denied", value={}, text=said)
        ended = self._voice.ended(self._state.steps + 1, refusal)
        self._append(replace(step, result={"decision": "deny", "text": said}), ended)

    # --- the end

    async def _verify(self, done: Done) -> bool:
        """Look whether it is right, then end or try again.

        Quick checks share one commit with the claim and the end; beside the owner's commands, which may take
        minutes, the claim is committed at once.
        """
        scope = self._open.scope
        looking = self._kit.verifier.run(done, self._brief.checks, scope)
        if self._brief.checks:
            checks, _ = await together(looking, self._flush())
        else:
            checks = await looking
        for check in checks:
            step = self._step("check", {"name": check.name}, result=check.to_json())
            self._append(step, self._voice.checked(check))
        ending = Ending(state=self._state, changes=self._changes, epoch=self._key.epoch)
        if ending.failed and self._state.tries < self._kit.tries_max:
            again = self._step("check", {"retry": True}, result={})
            self._append(again, self._voice.resets_checks(), self._voice.moved(TaskState.WORKING))
            return True
        stored = await self._kit.artifacts.upload(
            done.outputs, results=scope.place.results, voice=self._voice, meanwhile=self._flush
        )
        ops = [self._voice.made(artifact) for artifact in stored]
        finished = ending.done(self._voice, done.summary, language=self._kit.language)
        await self._flush(*ops, *finished, finished=True)
        return False

    # --- rows

    @property
    def _open(self) -> Workspace:
        """Return the workspace.

        Raises:
            DeskhandError: ``internal`` when there is none.
        """
        if self._workspace is None:
            raise DeskhandError(Code.INTERNAL)
        return self._workspace

    def _step(
        self,
        kind: StepKind,
        wish: JsonObject,
        *,
        arguments: JsonObject | None = None,
        **rest: object,
    ) -> Step:
        """Return the next row."""
        n = self._state.next_n
        key = step_key(self._key.task, n, wish if arguments is None else arguments)
        return replace(
            Step(n=n, kind=kind, key=key, wish=wish, at=self._voice.now),
            **rest,
        )

    def _append(self, step: Step, *ops: Op) -> None:
        """Fold a row in; it is written with the next commit."""
        self._state = apply(self._state, step)
        self._unsaved.append(step)
        self._unsaid.extend(ops)

    async def _flush(self, *ops: Op, finished: bool = False) -> None:
        """Commit what is not written yet: rows, results and what is to be said, together."""
        steps, self._unsaved = self._unsaved, []
        said, self._unsaid = [*self._unsaid, *ops], []
        made = self._workspace.made if self._workspace else None
        place = made if made != self._place else None
        if steps or said or finished:
            self._place = made
            await self._kit.journal.record(
                self._key,
                steps=steps,
                ops=said,
                status="finished" if finished else "open",
                place=place,
            )


def _lasting(ruling: Ruling) -> str:
    """Return the hash of an action without the things themselves, which its own effect may have changed."""
    return sha256_of(ruling.action.but(identity=None).to_json())

"""Drives one attempt: asks what its rows add up to, does the next thing, and writes it down.

An effect happens only after its intent is committed and the hub has acknowledged the accept. The driver keeps nothing
that the rows do not hold: killed anywhere, the next one goes on. It refuses to repeat an effect that may have
happened and cannot be repeated, to wait for a person in memory, and to call a thing done that did not pass its checks.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from deskhand import ports
from deskhand.clock import stamp
from deskhand.core.lifecycle import Outcome, verdict_of
from deskhand.errors import Code, DeskhandError
from deskhand.limits import STEP_COUNTED_SECONDS_MAX
from deskhand.permissions import rules
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Trust
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Approval, Brief, Changes, Check, Label, TaskState, Verdict
from deskhand.protocol.wire import Json, JsonObject
from deskhand.runner.ceiling import keep_line, policy_now
from deskhand.runner.ending import Watch, bounded, denied, evidence_of, judged, more, upload, verify
from deskhand.runner.gate import Gate, Performed, Ruling, Scope, links_of, of_place
from deskhand.runner.traffic import SUMMARY_CHARS_MAX, Backoff, Parts, Voice
from deskhand.runner.workspace import Workspaces, instructions_of
from deskhand.tools.leaf import translated
from deskhand.workflow import rows
from deskhand.workflow.journal import together

_log = logging.getLogger(__name__)


class Kit:
    """All that drivers of one runner share. ``accepted`` returns once the hub acknowledged the accept."""

    def __init__(self, parts: Parts, accepted: Callable[[rows.AttemptKey], Coroutine[Any, Any, None]]) -> None:
        self.parts = parts
        self.accepted = accepted
        self.gate = Gate(
            tools=parts.tools,
            language=parts.language,
            policy=lambda: policy_now(parts.home, parts.journal.setting("policy"), language=parts.language),
            today=lambda: stamp(parts.clock.now())[:10],
        )
        self.workspaces = Workspaces(parts)

    async def drive(self, key: rows.AttemptKey) -> None:
        """Take an attempt as far as it goes now: to its end, or to a wait.

        What may pass by itself (a model or hub that does not answer, a full disk) is tried again, however long it takes.

        Raises:
            DeskhandError: ``stale_epoch`` when it lost the right to go on.
        """
        backoff = Backoff(self.parts)
        while True:
            attempt = self.parts.journal.attempt(key)
            if attempt is None or attempt.status != "open" or attempt.paused:
                return None
            driver = _Driver(self, attempt, backoff)
            try:
                with self.workspaces.open(attempt) as scope:
                    return await driver.go(scope)
            except (DeskhandError, OSError) as problem:
                error = translated(problem) if isinstance(problem, OSError) else problem
                if error.code is Code.STALE_EPOCH:
                    raise error from problem
            if not error.code.retryable:
                await driver.give_up([error.sentence(self.gate.language)])
                return None
            _log.info("attempt.waits %s", error.code)
            if error.code is not Code.HUB_UNREACHABLE:  # then nobody hears it
                await driver.tell_of_wait(error)
            await backoff.wait(at_least=error.retry_after_seconds or 0.0)

    async def tell_of_doubt(self) -> None:
        """Tell the owner of every effect that a cancellation cut off where to look: it may or may not have happened."""
        for attempt, step in self.parts.journal.in_doubt():
            call = rows.from_json(ports.ToolCall, step.wish.get("call"))
            look = what = call.title or call.tool
            with suppress(DeskhandError, OSError), self.workspaces.open(attempt) as scope:
                look = self.gate.targets(call, scope) or what
            said = self.gate.say("attempt.canceled_in", what=what, look=look)
            result = ports.ToolResult(outcome="unknown", value={}, text=said)
            told = Voice(self.parts, attempt.brief).said(said, role="system")
            doubt = replace(step, result=rows.to_json(result))
            await self.parts.journal.tell(attempt.key, told, of=doubt)


class _Driver:
    """One attempt, while it is driven."""

    _scope: Scope

    def __init__(self, kit: Kit, attempt: rows.AttemptRow, backoff: Backoff) -> None:
        self._kit = kit
        self._backoff = backoff
        self._gate = kit.gate
        self._say = kit.gate.say
        self._journal = kit.parts.journal
        self._key = attempt.key
        # Checks are commands: only the owner's are run, whatever a hub says.
        self._brief = attempt.brief.but(checks=()) if attempt.brief.requester is not None else attempt.brief
        self._begun = rules.begun(attempt.brief)
        self._agent = kit.parts.agents.get(attempt.brief.agent)
        self._hears: bool = getattr(self._agent, "hears", True)
        self._voice = Voice(kit.parts, attempt.brief)
        self._watch = Watch(attempt.brief, kit.parts, kit.gate)
        self._place = attempt.place
        self._unsaved: list[rows.Step] = []
        self._unsaid: list[Op] = []
        self._state = rows.fold(self._journal.steps(attempt.key))
        self._since = kit.parts.clock.monotonic()
        self._shown: str | None = None
        """The message as which the last text of the model was shown live, until one is said under its name."""

    async def go(self, scope: Scope) -> None:
        """Do one thing after the other until the end or a wait."""
        self._scope = replace(scope, facts=self._known, plain=self._plain_address)
        self._place = scope.made or self._place
        if self._brief.files:
            await self._kit.accepted(self._key)
            await self._kit.workspaces.bring_in(self._brief, scope.place.results)
        while await self._advance():
            pass

    def _known(self) -> Label:
        """Return what is known of the task so far (security 5)."""
        return rules.together(self._begun, self._state.label)

    def _plain_address(self, url: str) -> bool:
        """Return whether the owner typed an address, or a page that was fetched has it as a link."""
        state, said = self._state, [self._brief.text]
        now = [ports.Turn(move=state.move, results=state.results)] if state.move else []
        for turn in state.turns:
            said += (*turn.steering, turn.answer or "")
        theirs = "message" in self._known().untrusted
        return url in links_of([*state.turns, *now], "" if theirs else "\n".join(said))

    async def give_up(self, reasons: Sequence[str], *, made: Sequence[str] = ()) -> bool:
        """End the attempt as not done, with the reasons, and hand over what was made nevertheless."""
        outcome = Outcome(state=TaskState.FAILED, verdict=Verdict.NOT_DONE)
        ops = await self._hand_over(made) if made else ()
        return await self._end(outcome, *ops, reasons=reasons)

    async def tell_of_wait(self, error: DeskhandError) -> None:
        """Tell the owner once what is waited for, past a disk that takes nothing."""
        if self._backoff.told:
            return
        why = error.sentence(self._gate.language)
        said = self._voice.remarked("attempt.waits", why=why)
        with suppress(DeskhandError):
            try:
                await self._journal.record(self._key, ops=[said], place=self._place)
                self._backoff.told = True
            except DeskhandError:
                (result,) = await self._kit.parts.link.send([said])
                self._backoff.told = result.status != "rejected"

    async def _advance(self) -> bool:
        """Do the next thing; return whether there may be another one now."""
        if self._journal.paused(self._key):
            await self._flush()
            return False
        if self._state.waiting is not None:
            return self._decide(self._state.waiting)
        match move := self._state.move:
            case None:
                going = await self._think()
            case ports.Wishes():
                going = await self._use(move)
            case ports.Ask():
                going = await self._question(move)
            case ports.Done():
                going = await self._verify(move)
            case ports.GiveUp():
                going = self._listen() or await self.give_up(move.reasons)
        return going

    async def _think(self) -> bool:
        """Ask the agent for its next move and note it; what it says to the person is kept at once."""
        await self._flush()
        if await self._halted():
            return False
        state, wish = self._state, JsonObject(turn=len(self._state.turns))
        heard = self._unheard() if state.turns and self._hears else []
        said = [str(event.body.get("text", "")) for event in heard]
        if heard:
            theirs = any(event.body.get("trust") != Trust.OWNER for event in heard)
            label = rules.label_of("other" if theirs else "own", "message").to_json()
            wish |= {"heard": list(said), "heard_to": heard[-1].seq, "label": label}
        instructions = state.instructions
        folder = self._scope.place.folder
        if folder and not state.spending.moves:
            instructions = instructions_of(folder)
            if instructions:
                read = of_place(self._scope.place, [instructions.name], mixed=self._scope.mixed())
                wish |= {"instructions": instructions.to_json(), "label": read.to_json()}
        brief = self._brief.but(criteria=self._criteria, instructions=instructions)
        move = await self._move(brief, said)
        notes = self._watch.notes(state)
        wish |= {"noted": list(notes)} if notes else {}
        ops = [self._voice.said(note, role="system") for note in notes.values()]
        self._shown = self._kit.parts.live.settle(self._key.task)
        self._add("move", wish, *ops, *self._announced(move), result=rows.move_to_json(move))
        if move.say:
            await self._flush()
        return True

    @property
    def _criteria(self) -> tuple[str, ...]:
        """Return what the result must fulfil as of now: the owner's last words, or else the agent's own."""
        edited = self._journal.criteria(self._key.task)
        return (self._brief.criteria or self._state.criteria) if edited is None else edited

    def _unheard(self) -> list[ev.Event]:
        """Return what a person said to this task that its agent does not know yet."""
        return self._journal.steering(self._key.task, after=self._state.heard)

    def _announced(self, move: ports.Move) -> list[Op]:
        """Return what everybody gets to know of a move at once."""
        voice, before = self._voice, self._state
        ops: list[Op] = []
        if move.say:
            ops.append(voice.said(move.say, message=self._shown))
            self._shown = None
        if isinstance(move, (ports.Wishes, ports.Done)) and move.plan not in (None, before.plan):
            ops.append(voice.op(ev.PlanUpdated, items=move.plan or ()))
        silent = self._criteria == before.criteria  # the owner said nothing
        if silent and isinstance(move, ports.Wishes) and move.criteria not in ((), before.criteria):
            ops.append(voice.op(ev.CriteriaRestated, criteria=move.criteria))
        if isinstance(move, ports.Done):
            ops.append(voice.op(ev.TaskMoved, state=TaskState.VERIFYING))
        return ops

    async def _move(self, brief: Brief, said: Sequence[str]) -> ports.Move:
        """Return the agent's move; what it returned instead of one, or what will not pass by itself, ends the attempt.

        Raises:
            DeskhandError: what may pass by itself.
        """
        agent = self._agent
        if agent is None:
            return ports.GiveUp(reasons=(self._say("attempt.no_agent", name=self._brief.agent),))
        try:
            move = bounded(await agent.move(brief, rows.with_steering(self._state.turns, said)))
            rows.move_to_json(move)  # what cannot be written is not said
        except DeskhandError as error:
            if error.code.retryable:
                raise
            return ports.GiveUp(reasons=(error.sentence(self._gate.language),))
        except Exception:  # noqa: BLE001 - an agent is a guest: whatever it does, the attempt ends honestly
            _log.exception("agent.broke")
            return ports.GiveUp(reasons=(self._say("attempt.agent_broke"),))
        return move

    async def _use(self, move: ports.Wishes) -> bool:
        """Carry out the next wish, or several at once that only look."""
        if self._state.open is not None:
            return await self._resolve(move, self._state.open)
        if ask := self._watch.probed(self._state):
            return await self._question(ask, limits=list(ask.choices), denied=True)
        looking: list[tuple[ports.ToolCall, Ruling]] = []
        for call in move.calls[len(self._state.results) :]:
            ruling = await self._admit(call)
            if isinstance(ruling, Ruling) and ruling.looks:
                looking.append((call, ruling))
                continue
            if looking:
                break
            if isinstance(ruling, ports.ToolResult):
                self._note(call, Performed(result=ruling))
            elif ruling.decision is rules.Decision.ASK and not self._permitted(ruling):
                return await self._ask(ruling)
            else:
                await self._act(call, ruling)
            return True
        perform, scope = self._gate.perform, self._scope
        performed = await together(*(perform(call, scope, ruling) for call, ruling in looking))
        for (call, _), one in zip(looking, performed, strict=True):
            self._note(call, one)
        return True

    async def _admit(self, call: ports.ToolCall) -> Ruling | ports.ToolResult:
        """Return the ruling about a wish, or at once the result of one that is refused or makes no sense."""
        try:
            ruling = await self._gate.admit(call, self._scope)
        except DeskhandError as error:
            return self._gate.failed(error)
        denied = ruling.decision is rules.Decision.DENY
        return self._gate.refused(ruling) if denied else ruling

    async def _act(self, call: ports.ToolCall, ruling: Ruling) -> None:
        """Commit the intent, wait for the acknowledged accept, have the effect, note the result."""
        wish: JsonObject = {
            "call": rows.to_json(call),
            "action_sha256": ruling.lasting_sha256,
            "asked": ruling.decision is rules.Decision.ASK,
            "rule": ruling.rule,
            "why": ruling.why,
            "facts": self._known().to_json(),
        }
        began, arguments = self._voice.began(self._state.steps + 1, call), call.arguments
        step = self._add("tool", wish, began, arguments=arguments, effect=ruling.effect)
        await together(self._flush(), self._kit.accepted(self._key))
        performed = await self._gate.perform(call, self._within(step), ruling)
        self._finish(step, performed)
        if performed.result.value.get("code") == str(Code.EGRESS_QUOTA):
            raise DeskhandError(Code.EGRESS_QUOTA)  # ends the task, and its owner is told (NE-10)

    def _note(self, call: ports.ToolCall, performed: Performed) -> None:
        """Note a wish that had no effect, with its result, as one row."""
        ops = self._voice.began(self._state.steps + 1, call), self._ended(performed)
        wish, said = JsonObject(call=rows.to_json(call)), rows.to_json(performed.result)
        said |= {"label": performed.label.to_json()}
        self._add("tool", wish, *ops, arguments=call.arguments, result=said)

    def _ended(self, performed: Performed) -> Op:
        """Return: the next step has this result, and so much was used and is known with it."""
        step, result = self._state.steps + 1, performed.result
        return self._voice.op(
            ev.StepFinished,
            step=step,
            outcome=result.outcome,
            summary=result.text[:SUMMARY_CHARS_MAX],
            usage=self._state.spending.usage.but(steps=step),
            label=rules.together(self._known(), performed.label),
        )

    def _finish(self, step: rows.Step, performed: Performed, *more: Op) -> None:
        """Give the open step its result, with the files that differ because of it, and what it brought in."""
        said: JsonObject = {"changes": {**performed.changes}, "label": performed.label.to_json()}
        result = rows.to_json(performed.result) | said
        self._append(replace(step, result=result), self._ended(performed), *more)

    async def _resolve(self, move: ports.Wishes, step: rows.Step) -> bool:
        """Deal with an intent whose result a crash took: repeat, look, or tell (design 3)."""
        call = move.calls[len(self._state.results)]
        same = step.key == rows.step_key(self._key.task, step.n, call.arguments)
        performed = await self._again(call, step) if same else None
        if performed is not None:
            self._finish(step, performed)
            return True
        what = call.title or call.tool
        look = self._gate.targets(call, self._scope) or what
        said = self._say("attempt.unknown", what=what, look=look)
        result = ports.ToolResult(outcome="unknown", value={"look_at": look}, text=said)
        self._finish(step, Performed(result=result), self._voice.said(said, role="system"))
        return True

    async def _again(self, call: ports.ToolCall, step: rows.Step) -> Performed | None:
        """Return the result of an intent that can be repeated or looked for; nothing when it cannot."""
        tool = self._gate.tools.get(call.tool)
        if tool is None or step.effect in (None, "unknown"):
            return None
        ruling = await self._gate.admit(call, self._scope)
        same = step.wish.get("action_sha256") == ruling.lasting_sha256
        asked = step.wish.get("asked") is True and same
        if ruling.decision is rules.Decision.DENY or (ruling.decision is rules.Decision.ASK and not asked):
            return None
        await self._kit.accepted(self._key)
        if step.effect == "probe":
            probe = getattr(tool, "probe", None)
            found = await probe(call.arguments, self._scope.place) if probe else None
            return Performed(result=found) if isinstance(found, ports.ToolResult) else None
        return await self._gate.perform(call, self._within(step), ruling)

    def _within(self, step: rows.Step) -> Scope:
        """Return the places, as this step acts in them."""
        scope = self._scope
        scope.begins(self._state.steps + 1)
        return replace(scope, place=replace(scope.place, step=step.key))

    def _permitted(self, ruling: Ruling) -> bool:
        """Return whether there is a recorded yes for exactly this action, or for its kind in this task."""
        yes, covered = self._state.yes, ruling.covered_by & self._state.grants
        return bool(covered or (yes and yes.action_sha256 == ruling.action_sha256))

    async def _ask(self, ruling: Ruling) -> bool:
        """Ask a person for a yes; an earlier yes to something that has changed is void."""
        voice, yes = self._voice, self._state.yes
        if ask := self._watch.pressed(self._state):
            return await self._question(ask, limits=list(ask.choices), asked=True)
        approval, ops = voice.approval(ruling), list[Op]()
        if yes is not None:
            changed = yes.void or self._say("attempt.changed")
            ops.append(voice.op(ev.ApprovalVoided, approval=yes.approval, reason=changed))
        ops.append(voice.op(ev.ApprovalRequested, approval=approval))
        wish: JsonObject = {"approval": approval.to_json(), "grant": ruling.grant}
        return await self._wait(wish, approval.id, *ops)

    async def _question(self, ask: ports.Ask, **more: Json) -> bool:
        """Put a question to a person."""
        question = self._voice.question(ask)
        wish: JsonObject = {"question": question.to_json(), **more}
        asks = self._voice.op(ev.QuestionAsked, question=question)
        return await self._wait(wish, question.id, asks)

    async def _wait(self, wish: JsonObject, ref: str, *ops: Op) -> bool:
        """Store what a person is asked as a row, and let go."""
        self._add("wait", wish, *ops, ref=ref)
        await self._flush()
        return False

    def _decide(self, step: rows.Step) -> bool:
        """Take in the decision about an approval or question, if there is one."""
        event = self._journal.decision(step.ref or "")
        if event is None:
            return False
        body = event.body
        if event.kind == "question.answered":
            answer = str(body.get("answer", ""))
            limits = more(step.wish, answer) if "limits" in step.wish else {}
            self._append(replace(step, result={"answer": answer, **limits}))
        elif body.get("decision") == "allow":
            asked = Approval.from_json(step.wish["approval"])
            counts = self._kit.parts.trust.counted(asked, body, say=self._say)
            if counts["scope"] == "always":
                keep_line(self._kit.parts.home, asked, event)
            self._append(replace(step, result=counts))
        else:
            reason = body.get("reason")
            why = "refused.person_because" if reason else "refused.person"
            said = self._say(why, reason=reason)
            refusal = ports.ToolResult(outcome="denied", value={}, text=said)
            denied: JsonObject = {"decision": "deny", "text": said}
            self._append(replace(step, result=denied), self._ended(Performed(result=refusal)))
        return True

    async def _halted(self) -> bool:
        """End what gets nowhere or was stopped, and pause what used up a limit; return whether it did."""
        if why := self._watch.lost(self._state):
            await self.give_up([why])
        elif why := self._watch.stopped(self._state):
            await self.give_up([why], made=[*self._state.changes])
        elif ask := self._watch.question(self._state):
            await self._question(ask, limits=list(ask.choices))
        else:
            return False
        return True

    async def _verify(self, done: ports.Done) -> bool:
        """Look whether it is right, then end or try again.

        Quick checks share one commit with the claim and the end; before what may take minutes (the owner's
        commands, a verifier) the claim is committed. What the owner wants meanwhile counts: other criteria are
        looked at anew, and a word to the agent gives it another round.
        """
        voice, scope, criteria = self._voice, self._scope, self._criteria
        if self._state.checks:  # of a look that was broken off, or that was for other criteria
            self._add("check", {"anew": True}, voice.op(ev.ChecksReset), result={})
        if self._brief.checks:
            await self._flush()
        for check in await verify(done, self._brief.checks, scope, self._gate):
            self._check(check)
        if criteria and not self._plain(done):
            await self._judge(done, self._brief.but(criteria=criteria))
        outcome = verdict_of(self._state.checks, unknown_effects=self._state.unknown)
        if outcome.failed and self._state.tries < self._kit.parts.tries_max:
            again = voice.op(ev.ChecksReset), voice.op(ev.TaskMoved, state=TaskState.WORKING)
            self._add("check", {"retry": True}, *again, result={})
            return True
        when = voice.now  # before the hand-over, which waits for a hub that is away
        ops = await self._hand_over(done.outputs, when=when)
        if self._criteria != criteria or self._listen():
            return True
        reasons = [self._say("attempt.check_failed", name=name) for name in outcome.failed]
        return await self._end(outcome, *ops, reasons=reasons, done=done, when=when)

    def _plain(self, done: ports.Done) -> bool:
        """Whether it is the plain answer to a plain question: nothing was done, and nobody said how to check it."""
        brief, state = self._brief, self._state
        asked = brief.checks or brief.criteria or self._journal.criteria(self._key.task)
        return not (asked or done.outputs or done.checks or state.acted or state.changes)

    async def _judge(self, done: ports.Done, brief: Brief) -> None:
        """Let somebody with fresh eyes look at what our own checks let pass."""
        checks, scope = self._state.checks, self._scope
        if not isinstance(self._agent, ports.Verifier) or not all(check.passed for check in checks):
            return
        await self._flush()
        paths = (*done.outputs, *self._state.changes)
        found = await evidence_of(paths, checks, scope, self._gate)
        found += [] if done.outputs else [ports.Evidence(name="answer", text=done.summary)]
        judgement = await judged(self._agent, brief, found)
        spent = rows.to_json(judgement.spent) if judgement.spent else {}
        self._add("check", {"judged": True, "spent": spent}, result={})
        for check in judgement.checks:
            self._check(check)

    def _check(self, check: Check) -> None:
        said = self._voice.op(ev.CheckFinished, check=check)
        seen = of_place(self._scope.place, mixed=self._scope.mixed()).to_json()
        self._add("check", {"name": check.name, "label": seen}, said, result=check.to_json())

    def _listen(self) -> bool:
        """Give the agent another round if a person said something that it does not know; return whether it has one."""
        if not (self._hears and self._unheard()):
            return False
        ops = [self._voice.op(ev.ChecksReset)] if self._state.checks else []
        if isinstance(self._state.move, ports.Done):
            ops.append(self._voice.op(ev.TaskMoved, state=TaskState.WORKING))
        self._add("check", {"heard": True}, *ops, result={})
        return True

    async def _hand_over(self, paths: Sequence[str], *, when: str | None = None) -> list[Op]:
        """Bring results to the hub, and return what says that they are there."""
        paths = [one for one in paths if not await denied(one, self._scope, self._gate)]
        results, voice = self._scope.place.results, replace(self._voice, at=when)
        return await upload(paths, results, self._kit.parts, voice, meanwhile=self._flush)

    async def _end(
        self,
        outcome: Outcome,
        *ops: Op,
        reasons: Sequence[str],
        done: ports.Done | None = None,
        when: str | None = None,
    ) -> bool:
        """Say the last thing of the attempt, and that it is over; ``when`` it was, if not now."""
        plain, voice = done is not None and self._plain(done), replace(self._voice, at=when)
        finished = voice.op(
            ev.TaskFinished,
            state=outcome.state,
            verdict=outcome.verdict,
            summary=done.summary if done else None,
            not_done_because=tuple(reasons),
            changes=Changes.from_json(Counter(self._state.changes.values())),
            usage=self._state.spending.usage,
            model=self._state.spending.model,
            answer=plain,
            label=self._known(),
        )
        last: list[Op] = []
        if done and plain:
            last.append(voice.said(done.summary, message=self._shown, meant="answer"))
        if self._unheard() and not self._hears:
            last.append(voice.remarked("attempt.cannot_hear"))
        await self._flush(*ops, *last, finished, finished=True)
        return False

    def _add(
        self, kind: rows.StepKind, wish: JsonObject, *ops: Op, arguments: JsonObject | None = None, **rest: object
    ) -> rows.Step:
        """Fold in the next row; of a move or wait it says how long was worked since the last of them."""
        if kind in ("move", "wait"):
            now = self._kit.parts.clock.monotonic()
            worked = min(now - self._since, STEP_COUNTED_SECONDS_MAX)
            wish = wish | {"worked": int(worked * 1000)}
            self._since = now
        n = self._state.next_n
        key = rows.step_key(self._key.task, n, wish if arguments is None else arguments)
        step = replace(rows.Step(n=n, kind=kind, key=key, wish=wish, at=self._voice.now), **rest)
        self._append(step, *ops)
        return step

    def _append(self, step: rows.Step, *ops: Op) -> None:
        """Fold in a row, or its result; it is written with the next commit."""
        self._state = rows.apply(self._state, step)
        self._unsaved.append(step)
        self._unsaid.extend(ops)

    async def _flush(self, *ops: Op, finished: bool = False) -> None:
        """Commit what is not written yet: rows, results and what is to be said, together."""
        steps, self._unsaved = self._unsaved, []
        said, self._unsaid = [*self._unsaid, *ops], []
        if not (steps or said or finished):
            return
        status = "finished" if finished else "open"
        write = partial(self._journal.record, self._key, place=self._place)
        # On a disk that takes nothing it waits here, because what was done is known only here.
        commit = partial(write, steps=steps, ops=said, status=status)
        await self._backoff.until_done(commit, meanwhile=self.tell_of_wait)

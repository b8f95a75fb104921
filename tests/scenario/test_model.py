"""The real hub, computers and phones against a plain model, wish by wish, with everything going wrong in between.

Hypothesis makes the stories and shortens the one that fails. Without ``MODEL_EXAMPLES`` they are the same each
time; with it there are so many, and other ones, from ``--hypothesis-seed`` if one is given.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from typing_extensions import override

from deskhand.protocol.ops import OpResult
from deskhand.protocol.tasks import Approval, Task
from deskhand.protocol.wire import JsonObject
from deskhand.testing.world.hub import ACCOUNT
from deskhand.testing.world.laptops import AGENT
from deskhand.testing.world.loop import VirtualLoop
from deskhand.testing.world.machines import Machine
from deskhand.testing.world.phones import Phone
from deskhand.testing.world.world import World, unhurried
from tests.model import ANSWER, ENDS, UNDER_WAY, Job, Model

TWO_COMPUTERS = 1
"""A seed whose world has two computers and two phones."""
PATIENCE_SECONDS = 900.0
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "20"))
WORDS = st.lists(st.sampled_from(["look", "idem", "once", "probe", "ask"]), max_size=3)
PICK = st.integers(0, 7)
TWO = st.integers(0, 1)


class Promised(RuleBasedStateMachine):
    """One story: wishes, decisions and mishaps, and after each of them the same state here and there."""

    def __init__(self) -> None:
        """Make a world in good weather."""
        super().__init__()
        self.home, self.loop = Path(tempfile.mkdtemp(prefix="deskhand-model-")), VirtualLoop()
        self.stack = ExitStack()
        self.stack.callback(shutil.rmtree, self.home)
        self.stack.callback(self.loop.close)
        self.stack.enter_context(unhurried())
        self.world = World(TWO_COMPUTERS, self.home, self.loop)
        self.world.chaos.pace, self.world.weather.latency = 0.02, 0.02
        self.model = Model()
        self.threads: dict[int, str] = {}

    @initialize()
    def begin(self) -> None:
        """Switch everything on, and wait until both phones know both computers."""
        self.loop.run_until_complete(self.world.begin())
        self.loop.run_until_complete(self.world.acquainted())

    # --- what people wish ---------------------------------------------------------------------------------------

    @rule(phone=TWO, laptop=TWO, asks=st.booleans(), words=WORDS)
    def post(self, phone: int, laptop: int, words: list[str], *, asks: bool) -> None:
        """Ask for some work."""
        laptop = 0 if laptop in self.model.gone else laptop
        text = " ".join([f"job-{self.model.threads + 1}", *words])
        folder = self.world.laptops[laptop].folder("etc" if asks else "usr")
        answer = self._wish(phone, "message.post", text=text, agent=AGENT, folder=folder)
        self.model.post(text, laptop=laptop, asks=asks, words=tuple(words))
        self._agree()
        task = next(t for t in self._tasks() if t.id == answer.task)
        self.threads[self.model.threads] = task.thread

    @precondition(lambda self: self._jobs(UNDER_WAY))
    @rule(pick=PICK, phone=TWO, allow=st.booleans())
    def decide(self, pick: int, phone: int, *, allow: bool) -> None:
        """Answer a question, or an approval; the second to decide is told so."""
        job = self._pick(UNDER_WAY, pick)
        task = self._task(job)
        ref = task.waiting_for[0].id
        if job.waits_for == "question":
            self._wish(phone, "question.answer", question=ref, answer=ANSWER)
            self.model.decide(job, allow=True)
        else:
            approval = self.world.phones[phone].account.get(Approval, ref)
            assert approval is not None
            sha256, decision = approval.action_sha256, "allow" if allow else "deny"
            self._wish(phone, "approval.decide", approval=ref, action_sha256=sha256, decision=decision)
            again = self._wish(
                1 - phone, "approval.decide", refused=True, approval=ref, action_sha256=sha256, decision=decision
            )
            assert again.error is not None
            assert again.error.code == "already_decided"
            self.model.decide(job, allow=allow)
        self._agree()

    @precondition(lambda self: self._jobs(UNDER_WAY, "queued", "paused"))
    @rule(pick=PICK, phone=TWO)
    def cancel(self, pick: int, phone: int) -> None:
        """End a task that waits for something."""
        job = self._pick((UNDER_WAY, "queued", "paused"), pick)
        self._about(phone, "task.cancel", job)
        self.model.cancel(job)
        self._agree()

    @precondition(lambda self: self._jobs("queued"))
    @rule(pick=PICK, phone=TWO)
    def pause(self, pick: int, phone: int) -> None:
        """Hold back one whose turn has not come."""
        job = self._pick("queued", pick)
        self._about(phone, "task.pause", job)
        self.model.pause(job)
        self._agree()

    @precondition(lambda self: self._jobs("paused"))
    @rule(pick=PICK, phone=TWO)
    def resume(self, pick: int, phone: int) -> None:
        """Let it go on."""
        job = self._pick("paused", pick)
        self._about(phone, "task.resume", job)
        self.model.resume(job)
        self._agree()

    @precondition(lambda self: self._jobs(*ENDS))
    @rule(pick=PICK, phone=TWO)
    def retry(self, pick: int, phone: int) -> None:
        """Ask for the same once more, unless its computer is gone."""
        job = self._pick(ENDS, pick)
        gone = job.laptop in self.model.gone
        self._about(phone, "task.retry", job, refused=gone)
        if not gone:
            self.model.retry(job)
        self._agree()

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK, phone=TWO)
    def erase(self, pick: int, phone: int) -> None:
        """Erase a conversation; refused while something is under way in it."""
        thread = self.model.jobs[pick % len(self.model.jobs)].thread
        jobs = [job for job in self.model.jobs if job.thread == thread]
        if any(self.model.moving(job) for job in jobs):
            return
        busy = any(job.state == UNDER_WAY for job in jobs)
        self._wish(phone, "thread.erase", thread=self.threads[thread], refused=busy)
        if not busy:
            self.model.erase(thread)
        self._agree()

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK, phone=TWO, back=st.integers(0, 5))
    def read(self, pick: int, phone: int, back: int) -> None:
        """Show a conversation up to some number."""
        thread = self.model.jobs[pick % len(self.model.jobs)].thread
        seq = max(self.world.phones[phone].cursor - back, 0)
        self._wish(phone, "read.mark", thread=self.threads[thread], seq=seq)
        self.model.mark_read(self.world.phones[phone].name, thread, seq)
        self._agree()

    # --- what goes wrong ----------------------------------------------------------------------------------------

    @rule(pick=PICK, away=st.sampled_from([0.1, 5, 200]))
    def crash(self, pick: int, away: float) -> None:
        """Somebody dies and comes back."""
        self._machine(pick).crash("in the story", away=away)
        self._agree()

    @rule(pick=PICK, seconds=st.sampled_from([20, 300, 1200]), suspended=st.booleans())
    def sleep(self, pick: int, seconds: float, *, suspended: bool) -> None:
        """Somebody sleeps and wakes up."""
        self._machine(pick).freeze(seconds, suspended=suspended)
        self.loop.run_until_complete(self.world.clock.sleep(seconds))
        self._agree()

    @rule(pick=PICK, seconds=st.sampled_from([-3600, -5, 5, 3600]))
    def jump(self, pick: int, seconds: float) -> None:
        """A wall clock is set; the hub's only forward, because its numbers order what the model knows by turns."""
        machine = self._machine(pick)
        ahead = abs(seconds) if machine is self.world.house else seconds
        machine.clock.ahead += timedelta(seconds=ahead)
        self._agree()

    @rule(laptop=TWO)
    def arm(self, laptop: int) -> None:
        """A computer will die right after its next effect."""
        self.model.armed.add(laptop)
        self.world.chaos.planned[f"laptop{laptop + 1} after an effect"] = 1

    @rule(laptop=TWO)
    def cut(self, laptop: int) -> None:
        """A computer loses the net."""
        self.model.apart.add(laptop)
        self.world.weather.apart[f"laptop{laptop + 1}"] = True
        self._agree()

    @precondition(lambda self: self.model.apart)
    @rule()
    def heal(self) -> None:
        """Whoever was cut off is back."""
        self.world.weather.apart.clear()
        for laptop in sorted(self.model.apart):
            self.model.heal(laptop)
        self._agree()

    @precondition(lambda self: not self.model.gone)
    @rule()
    def remove(self) -> None:
        """The second computer is stolen."""
        self._wish(0, "device.revoke", device="laptop2")
        self.model.remove(1)
        self._agree()

    @override
    def teardown(self) -> None:
        """Let all of it come to its end, and judge it as every world is judged."""
        try:
            for person in self.world.people:
                self.loop.create_task(person.live())
            self.loop.run_until_complete(self.world.settle())
            self.loop.run_until_complete(self.world.judge())
            assert self.world.chaos.violations == []
        finally:
            for machine in self.world.machines:
                machine.close()
            self.stack.close()

    # --- looking ------------------------------------------------------------------------------------------------

    def _agree(self) -> None:
        """Wait until the hub says what the model says."""
        self.loop.run_until_complete(self._settled())

    async def _settled(self) -> None:
        left = PATIENCE_SECONDS
        while (differs := await self._differs()) and left > 0:
            await self.world.clock.sleep(2)
            left -= 2
        for line in self.world.chaos.story:
            note(line)
        assert differs == []
        for laptop in range(2):
            if not self.world.chaos.planned.get(f"laptop{laptop + 1} after an effect"):
                self.model.armed.discard(laptop)

    async def _differs(self) -> list[str]:
        """Return what the hub or a phone shows otherwise."""
        store = self.world.house.store
        if store is None or not self.world.house.serving:
            return ["the hub is down"]
        found: list[str] = []
        real: dict[str, list[Task]] = {}
        for task in reversed(await store.find(ACCOUNT, Task, limit=1000)):  # oldest first
            real.setdefault(task.text, []).append(task)
        wanted = self.model.seen()
        found += [f"{text} is there" for text in real if text not in wanted]
        for text, jobs in wanted.items():
            shown = [(str(t.state), str(t.verdict)) for t in real.get(text, [])]
            same = len(shown) == len(jobs) and all(
                state == "moving" or (state == shown_state and verdict in verdicts)
                for (state, verdicts), (shown_state, verdict) in zip(jobs, shown, strict=True)
            )
            found += [] if same else [f"{text} is {shown}, not {jobs}"]
        open_now = len(await store.find(ACCOUNT, Approval, states=["open"]))
        asked = [j for j in self.model.jobs if j.state == UNDER_WAY and j.waits_for == "approval"]
        if not self.model.apart and open_now != len(asked):
            found.append(f"{open_now} approvals are open, not {len(asked)}")
        found += await self._unordered()
        head = await store.head(ACCOUNT)
        return found + [phone.name for phone in self.world.phones if phone.cursor != head]

    async def _unordered(self) -> list[str]:
        """Return what is wrong with the order of what was said, and with what was read."""
        events = await self.world.house.events()
        said = [str(e.body["text"]) for e in events if e.kind == "message.posted" and e.body.get("role") == "user"]
        wanted = [text for thread, text in self.model.said if thread not in self.model.erased]
        found = [] if said == wanted else [f"said {said}, not {wanted}"]
        for phone in self.world.phones:
            marks = cast("JsonObject", (await self.world.house.snapshot(phone.name))["read"])
            mine = {
                self.threads[thread]: seq
                for (who, thread), seq in self.model.read.items()
                if who == phone.name and thread not in self.model.erased
            }
            found += [] if marks == mine else [f"{phone.name} has read {marks}, not {mine}"]
        return found

    # --- doing --------------------------------------------------------------------------------------------------

    def _wish(self, phone: int, kind: str, *, refused: bool = False, **body: object) -> OpResult:
        about = {name: str(body.pop(name)) for name in ("thread", "task") if name in body}
        one: Phone = self.world.phones[phone]
        op = one.want(kind, cast("JsonObject", body), **about)
        answered = self.world.until(lambda: op in one.answers, seconds=PATIENCE_SECONDS)
        assert self.loop.run_until_complete(answered)
        answer = one.answers[op]
        assert (answer.status == "rejected") == refused, answer
        return answer

    def _about(self, phone: int, kind: str, job: Job, *, refused: bool = False) -> None:
        self._wish(phone, kind, task=self._task(job).id, refused=refused)

    def _task(self, job: Job) -> Task:
        same = [other for other in self.model.jobs if other.text == job.text]
        n = next(n for n, other in enumerate(same) if other is job)
        return [task for task in self._tasks() if task.text == job.text][n]

    def _tasks(self) -> list[Task]:
        return self.world.phones[0].account.find(Task, limit=1000)

    def _jobs(self, *states: str) -> list[Job]:
        return [j for j in self.model.jobs if j.state in states and not self.model.moving(j)]

    def _pick(self, states: str | tuple[str, ...], pick: int) -> Job:
        jobs = self._jobs(*((states,) if isinstance(states, str) else states))
        return jobs[pick % len(jobs)]

    def _machine(self, pick: int) -> Machine:
        machines = self.world.machines
        return machines[pick % len(machines)]


Promised.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=10,
    deadline=None,
    derandomize="MODEL_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestModel = pytest.mark.timeout(max(600, 30 * EXAMPLES))(Promised.TestCase)

"""What an account must look like once nothing moves any more: a plain model, without time, network or crashes.

A task is a list of words done one after the other; it stops where a person is needed. The model says where each one
stands after every wish; ``tests/scenario/test_model.py`` holds the real hub, computers and phones against it. It refuses
to know anything of epochs, streams or rows: if those do their work, nobody can see them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

EFFECTS = ("idem", "once", "probe")
ANSWER = "this"
UNDER_WAY = "input_required"
ENDS = ("completed", "failed", "canceled")


@dataclass(slots=True)
class Job:
    """One task as a person knows it."""

    text: str
    laptop: int
    asks: bool
    words: tuple[str, ...]
    thread: int
    state: str = "queued"
    done: int = 0
    yes: bool = False
    doubtful: bool = False
    accepted: bool = False

    @property
    def waits_for(self) -> str | None:
        """Return what a person is asked for: an answer, or a yes."""
        word = self.words[self.done] if self.done < len(self.words) else ""
        if word == "ask":
            return None if self.yes else "question"
        return "approval" if word in EFFECTS and self.asks and not self.yes else None


@dataclass(slots=True)
class Model:
    """All tasks, in the order in which they were taken; who is cut off, who is gone; what was read."""

    jobs: list[Job] = field(default_factory=list[Job])
    apart: set[int] = field(default_factory=set[int])
    gone: set[int] = field(default_factory=set[int])
    armed: set[int] = field(default_factory=set[int])
    erased: set[int] = field(default_factory=set[int])
    said: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    read: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    threads: int = 0

    def post(self, text: str, *, laptop: int, asks: bool, words: tuple[str, ...]) -> None:
        """Take a task in a conversation of its own."""
        self.threads += 1
        self.said.append((self.threads, text))
        self.jobs.append(Job(text, laptop, asks, words, self.threads))
        self.settle()

    def decide(self, job: Job, *, allow: bool) -> None:
        """Say yes or no to what it asks, or answer its question."""
        if job.waits_for == "question":
            self.said.append((job.thread, ANSWER))
        if allow:
            job.yes = True
        else:
            job.done += 1
        job.state = "working"
        self.settle()

    def cancel(self, job: Job) -> None:
        """End it."""
        job.state = "canceled"
        self.settle()

    def pause(self, job: Job) -> None:
        """Stop the clock of one that has not begun."""
        job.state = "paused"
        self.settle()

    def resume(self, job: Job) -> None:
        """Let it wait for its turn again."""
        job.state = "queued"
        self.settle()

    def retry(self, job: Job) -> None:
        """Begin one like it, in the same conversation."""
        self.jobs.append(Job(job.text, job.laptop, job.asks, job.words, job.thread))
        self.settle()

    def erase(self, thread: int) -> None:
        """Forget a conversation in which nothing is under way."""
        self.erased.add(thread)
        self.jobs = [job for job in self.jobs if job.thread != thread]
        self.settle()

    def remove(self, laptop: int) -> None:
        """A computer is lost for good: what was to be done there ends, since nobody else has its folders."""
        self.gone.add(laptop)
        for job in self.jobs:
            if job.laptop == laptop and job.state not in ENDS:
                job.state = "failed"
        self.settle()

    def mark_read(self, phone: str, thread: int, seq: int) -> None:
        """A phone has shown so much of a conversation: never less than before."""
        self.read[phone, thread] = max(self.read.get((phone, thread), 0), seq)

    def heal(self, laptop: int) -> None:
        """A computer is back on the net."""
        self.apart.discard(laptop)
        self.settle()

    def moving(self, job: Job) -> bool:
        """Return whether nobody can say yet how far it is: its computer is cut off and has something to do."""
        busy = job.state in {"working", "queued"}
        return job.laptop in self.apart and busy

    def seen(self) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
        """Return how each task must look: its state and the verdicts it may have; nothing of what is moving."""
        found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for job in self.jobs:
            state = "moving" if self.moving(job) else job.state
            found.setdefault(job.text, []).append((state, _verdicts(job)))
        return found

    def settle(self) -> None:
        """Let everything go on until it ends or waits for a person."""
        going = True
        while going:
            going = False
            for job in self.jobs:
                if job.state == "working" and job.laptop not in self.apart:
                    self._work(job)
                    going = True
            starting = self._next()
            if starting is not None:
                starting.state, going = "working", True

    def _next(self) -> Job | None:
        """Return the task whose turn it is: the oldest of the conversation with the least under way."""
        under_way = [job for job in self.jobs if job.state in {"working", UNDER_WAY}]
        busy = {(job.laptop, job.asks) for job in under_way}
        load = Counter(job.thread for job in under_way)
        able = [
            job
            for job in self.jobs
            if job.state == "queued"
            and job.laptop not in self.apart
            and (job.laptop, job.asks) not in busy
            and load[job.thread] < 3
        ]
        return min(able, key=lambda job: load[job.thread], default=None)

    def _work(self, job: Job) -> None:
        """Do the next word, or stop before it."""
        if job.done == len(job.words):
            job.state = "completed"
        elif job.waits_for:
            job.state = UNDER_WAY
        else:
            word = job.words[job.done]
            if word in EFFECTS and job.laptop in self.armed:
                job.doubtful = job.doubtful or word == "once"
            job.done, job.yes = job.done + 1, False


def _verdicts(job: Job) -> tuple[str, ...]:
    """Return what may be the verdict: a crash in the middle of what cannot be repeated leaves a doubt."""
    if job.state == "completed":
        return ("unverified", "verified") if job.doubtful else ("verified",)
    return ("not_done",) if job.state == "failed" else ("None",)

"""Free text without a model: held, suggested, run only by a person's word; and the one question when a model comes (A-06)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.clock import Ids, SystemClock
from deskhand.core import conversation, dispatching, lifecycle
from deskhand.core.dispatching import Round
from deskhand.core.drafting import Draft, Wish
from deskhand.errors import Code, DeskhandError
from deskhand.protocol import events as ev
from deskhand.protocol.events import ORDER_KINDS, body_of
from deskhand.protocol.objects import Folder, FolderMode, Role, Runner
from deskhand.protocol.ops import EventAppend, MessagePost, Principal, QuestionAnswer, TaskRunAs, TaskSuggest
from deskhand.protocol.tasks import Question, QueueReason, Suggestion, Task, TaskState
from deskhand.testing.account import MemoryAccount

IDS = Ids(SystemClock())
OWNER = Principal(account="a", id="dev_owner", role=Role.OWNER)
MEMBER = Principal(account="a", id="dev_member", role=Role.MEMBER)
LAPTOP = Principal(account="a", id="laptop", role=Role.RUNNER)
WAITING = (TaskState.QUEUED, QueueReason.NO_MODEL)


class Desk:
    """An account with computers that come and go, with and without a model."""

    def __init__(self, *names: str, language: str = "en") -> None:
        self.account = MemoryAccount()
        self.connected = set(names)
        self._language = language
        for name in names:
            self.advertise(name)

    def advertise(self, name: str, *, model: bool = False) -> None:
        said = {
            "id": name, "name": name, "incarnation": "i", "protocol": 1, "kinds": [*sorted(ORDER_KINDS)],
            "agents": ["builtin", "commands"] if model else ["commands"], "advertised_at": self.account.now,
            "sandbox": {"name": "none", "level": "none"},
            "commands": [{"name": "brief", "summary": "", "usage": ""}],
        }  # fmt: skip
        body = ev.RunnerAdvertised(runner=Runner.from_json(said))
        self.account.emit(Draft(body=body, actor=name))
        self.dispatch()

    def dispatch(self) -> None:
        now = Round(
            self.account,
            connected=frozenset(self.connected),
            at_once=9,
            context_of=lambda _: (),
            ids=IDS,
            language=self._language,
        )
        for draft in now.drafts():
            self.account.emit(draft)

    def wish(self, who: Principal = OWNER, task: Task | None = None) -> Wish:
        return Wish(principal=who, thread=None, task=task.id if task else None, ids=IDS)

    def post(self, text: str = "summarise my notes", **body: str) -> Task:
        message = MessagePost.from_json({"text": text, **body})
        made = self.account.take(conversation.post_message(self.account, self.wish(), message))
        self.dispatch()
        return self.task(made.task)

    def task(self, name: str | Task | None) -> Task:
        found = self.account.get(Task, name.id if isinstance(name, Task) else name or "")
        assert found is not None
        return found

    def standing(self, *tasks: Task) -> list[tuple[TaskState, QueueReason | None]]:
        return [(self.task(one).state, self.task(one).reason) for one in tasks]

    def suggest(self, task: Task, **more: str) -> Suggestion:
        shown = {"id": "7-1", "command": "/brief .", "preview": "Reads.", "runner": "laptop"}
        one = Suggestion.from_json({**shown, **more}).bound
        wish, body = self.wish(LAPTOP, task), TaskSuggest(suggestions=(one,))
        self.account.take(dispatching.suggest(self.account, wish, body))
        return one

    def run_as(self, task: Task, one: Suggestion, sha256: str | None = None) -> None:
        body = TaskRunAs(suggestion=one.id, preview_sha256=sha256 or one.preview_sha256)
        self.account.take(dispatching.run_as(self.account, self.wish(task=task), body))
        self.dispatch()

    def asked(self) -> list[Question]:
        return [one for one in self.account.find(Question) if one.tasks]

    def answer(self, said: str, who: Principal = OWNER) -> None:
        body = QuestionAnswer(question=self.asked()[-1].id, answer=said)
        self.account.take(conversation.answer_question(self.account, self.wish(who), body))
        self.dispatch()


def _refused(code: Code, act: Callable[..., None], *arguments: object) -> None:
    with pytest.raises(DeskhandError) as caught:
        act(*arguments)
    assert caught.value.code is code


def test_the_computer_that_is_there_is_asked_what_a_waiting_task_may_mean() -> None:
    """With the brief, once; nobody else's stream carries it."""
    desk = Desk("laptop")

    task = desk.post()
    desk.dispatch()

    orders = [body_of(event) for event in desk.account.log if event.kind == "task.queued"]
    (queued,) = cast("list[ev.TaskQueued]", orders)
    assert queued.brief is not None
    assert (queued.brief.task, queued.brief.text) == (task.id, "summarise my notes")


def test_a_suggestion_runs_as_it_was_shown_and_the_words_are_kept() -> None:
    """The command is the task's text, on the computer that made it; what the person wrote stays."""
    desk = Desk("laptop")
    task = desk.post()

    desk.run_as(task, desk.suggest(task))

    after = desk.task(task)
    assert (after.state, after.agent, after.runner) == (TaskState.WORKING, "commands", "laptop")
    assert (after.text, after.said, after.title) == ("/brief .", "summarise my notes", task.title)


def test_another_preview_another_suggestion_and_a_second_tap_are_refused() -> None:
    """Bound by hash like an approval; what was run is said."""
    desk = Desk("laptop")
    task = desk.post()
    one = desk.suggest(task)

    _refused(Code.ACTION_CHANGED, desk.run_as, task, one, "0" * 64)
    _refused(Code.ACTION_CHANGED, desk.run_as, task, one.but(id="9-9"))
    desk.run_as(task, one)
    _refused(Code.ALREADY_DECIDED, desk.run_as, task, one)

    chosen = [event.kind for event in desk.account.log].count("suggestion.chosen")
    assert chosen == 1


def test_a_suggestion_that_was_replaced_cannot_be_run_any_more() -> None:
    """Stale is stale, also where the command reads the same."""
    desk = Desk("laptop")
    task = desk.post()
    old = desk.suggest(task)
    desk.suggest(task, id="8-1", preview="Reads other files.")

    _refused(Code.ACTION_CHANGED, desk.run_as, task, old)

    assert desk.standing(task) == [WAITING]


def test_what_has_begun_is_not_turned_into_a_command() -> None:
    """Half of a model's work is no command's beginning."""
    desk = Desk("laptop")
    task = desk.post()
    one = desk.suggest(task)
    desk.advertise("laptop", model=True)
    desk.answer("Run now")

    _refused(Code.ILLEGAL_STATE, desk.run_as, task, one)

    assert (desk.task(task).agent, desk.task(task).said) == ("builtin", None)


@pytest.mark.parametrize(
    "lie",
    [
        {"runner": "desktop"},
        {"folder": "fld_other"},
        {"folder": "fld_nowhere"},
        {"command": "brief ."},
        {"preview_sha256": "0" * 64},
    ],
)
def test_a_computer_suggests_only_its_own_commands_in_its_own_folders(lie: dict[str, str]) -> None:
    """A stolen computer cannot put words on a card that another one would run."""
    desk = Desk("laptop", "desktop")
    other = Folder(id="fld_other", runner="desktop", root="/o", label="o", mode=FolderMode.ASK)
    desk.account.emit(Draft(body=ev.FolderPut(folder=other), actor=OWNER.id))
    task = desk.post()
    shown = {"id": "7-1", "command": "/brief .", "preview": "Reads.", "runner": "laptop"}
    one = Suggestion.from_json({**shown, **lie})
    one = one if "preview_sha256" in lie else one.bound

    with pytest.raises(DeskhandError) as caught:
        dispatching.suggest(desk.account, desk.wish(LAPTOP, task), TaskSuggest(suggestions=(one,)))

    assert caught.value.code is Code.INVALID


def test_a_question_of_an_agent_never_stands_for_the_hubs_own() -> None:
    """An attempt that names tasks in its question releases none of them."""
    desk = Desk("laptop")
    waiting = desk.post()
    mine = desk.post("/brief .")
    question = {
        "id": "qst_1", "task": mine.id, "thread": mine.thread, "text": "Run now?", "choices": ["Run now"],
        "tasks": [waiting.id], "asked_at": desk.account.now,
    }  # fmt: skip
    body = {"kind": "question.asked", "body": {"epoch": 1, "question": question}}

    wish = desk.wish(LAPTOP, mine)
    said = EventAppend.from_json(body)
    desk.account.take(lifecycle.append_event(desk.account, wish, said))

    asked = desk.account.get(Question, "qst_1")
    assert asked is not None
    assert asked.tasks == ()


def test_when_a_model_comes_waiting_tasks_ask_once_and_yes_runs_them_all() -> None:
    """One question for three tasks, whoever comes and goes; its yes releases exactly these."""
    desk = Desk("laptop", "desktop")
    tasks = [desk.post() for _ in range(3)]

    for name in ("laptop", "desktop"):
        desk.advertise(name, model=True)
    for name in ("laptop", "desktop"):
        desk.connected.discard(name)
        desk.dispatch()
        desk.connected.add(name)
        desk.dispatch()

    (question,) = desk.asked()
    assert question.text == "3 tasks waited for a model. Run now?"
    assert question.choices == ("Run now", "Not now")
    assert desk.standing(*tasks) == [WAITING] * 3
    desk.answer("run now")
    assert desk.standing(*tasks) == [(TaskState.WORKING, None)] * 3


def test_not_now_keeps_them_and_each_can_be_resumed() -> None:
    """Kept is not lost: they are not asked about again, and one goes on by its own resume."""
    desk = Desk("laptop")
    first, second = desk.post(), desk.post()
    desk.advertise("laptop", model=True)

    desk.answer("not now")
    desk.advertise("laptop", model=False)
    desk.advertise("laptop", model=True)
    desk.account.take(lifecycle.resume_task(desk.account, desk.wish(task=first)))
    desk.dispatch()

    assert len(desk.asked()) == 1
    assert desk.standing(first, second) == [(TaskState.WORKING, None), (TaskState.PAUSED, QueueReason.NO_MODEL)]


def test_a_new_task_runs_at_once_where_a_model_is() -> None:
    """Only what waited is asked about."""
    desk = Desk("laptop")
    old = desk.post()
    desk.advertise("laptop", model=True)

    new = desk.post()

    assert desk.standing(old, new) == [WAITING, (TaskState.WORKING, None)]


def test_what_was_run_meanwhile_is_not_released_and_a_question_about_nothing_is_closed() -> None:
    """The question counts only what still waits when it is answered."""
    desk = Desk("laptop")
    task = desk.post()
    one = desk.suggest(task)
    desk.advertise("laptop", model=True)

    desk.run_as(task, one)

    assert [question.state for question in desk.asked()] == ["void"]
    assert desk.task(task).agent == "commands"


def test_a_slip_in_the_name_of_a_command_is_answered_with_what_there_is() -> None:
    """The message is not taken; the names of all computers' commands are said."""
    desk = Desk("laptop")

    with pytest.raises(DeskhandError) as refused:
        desk.post("/breif notes")

    assert (refused.value.code, refused.value.detail) == (Code.UNKNOWN_COMMAND, "/breif; /brief")


def test_other_words_are_no_answer_and_other_people_have_none() -> None:
    """Neither is taken as a yes."""
    desk = Desk("laptop", language="ko")
    task = desk.post()
    desk.advertise("laptop", model=True)

    assert desk.asked()[0].choices == ("지금 실행", "나중에")
    _refused(Code.INVALID, desk.answer, "yes, but only the first")
    _refused(Code.FORBIDDEN, desk.answer, "지금 실행", MEMBER)

    assert desk.standing(task) == [WAITING]
    assert desk.asked()[0].state == "open"


def test_a_task_that_waited_for_its_computer_and_not_for_a_model_runs_when_it_comes() -> None:
    """Away is not without a model: nobody has to say it twice."""
    desk = Desk("laptop")
    desk.advertise("laptop", model=True)
    desk.connected.clear()
    task = desk.post()

    desk.connected.add("laptop")
    desk.dispatch()

    assert desk.standing(task) == [(TaskState.WORKING, None)]


_COMES_AND_GOES = ("model", "plain", "off", "on")
_STEPS = st.lists(
    st.sampled_from(
        ["post", "suggest"] + [f"{what} {name}" for what in _COMES_AND_GOES for name in ("laptop", "desktop")]
    ),
    max_size=40,
)


@given(_STEPS)
def test_what_began_to_wait_never_runs_by_itself(steps: list[str]) -> None:
    """Whatever comes and goes: without a tap or an answer nothing that waited is given out, and one question is asked."""
    desk = Desk("laptop", "desktop")
    for step in steps:
        what, _, name = step.partition(" ")
        match what:
            case "post":
                desk.post()
            case "suggest":
                for one in filter(dispatching.waits, desk.account.find(Task)):
                    desk.suggest(one)
            case "on":
                desk.connected.add(name)
            case "off":
                desk.connected.discard(name)
            case _:
                desk.advertise(name, model=what == "model")
        desk.dispatch()

    waited = {
        event.task
        for event in desk.account.log
        if (event.kind, event.body.get("reason")) == ("task.queued", "no_model")
    }
    given_out = {event.task for event in desk.account.log if event.kind == "task.assigned"}
    named = Counter(task for question in desk.asked() for task in question.tasks)
    assert waited.isdisjoint(given_out)
    assert len(desk.asked()) <= 1
    assert not named or max(named.values()) == 1

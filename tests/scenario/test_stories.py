"""Single stories in the world: one fault at a chosen place, told step by step; every promise is judged at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from deskhand.protocol.tasks import Approval, Question, Task, TaskState, Verdict
from deskhand.protocol.wire import JsonObject
from deskhand.testing.world.laptops import AGENT, Laptop
from deskhand.testing.world.links import FaultyLink
from deskhand.testing.world.phones import Phone
from deskhand.testing.world.world import Outcome, World, simulate

pytestmark = pytest.mark.timeout(120)  # a world takes seconds, on a busy machine many

TWO_COMPUTERS = 1
"""A seed whose world has two computers and two phones."""


def _told(story: Callable[[World], Awaitable[None]]) -> Outcome:
    outcome = simulate(TWO_COMPUTERS, story)
    assert outcome.violations == ()
    return outcome


def _post(phone: Phone, laptop: Laptop, text: str, *, root: str = "usr") -> None:
    body: JsonObject = {"text": text, "agent": AGENT, "folder": laptop.folder(root)}
    phone.want("message.post", body)


def _decide(phone: Phone, decision: str) -> None:
    (approval,) = phone.account.find(Approval, states=["open"])
    body: JsonObject = {"approval": approval.id, "decision": decision, "action_sha256": approval.action_sha256}
    phone.want("approval.decide", body)


def _only_task(phone: Phone) -> Task:
    (task,) = phone.account.find(Task)
    return task


async def _ended(world: World, phone: Phone, *, count: int = 1) -> None:
    assert await world.until(lambda: len([task for task in phone.account.find(Task) if task.final]) == count)


async def _asked(world: World, phone: Phone) -> None:
    assert await world.until(lambda: bool(phone.account.find(Approval, states=["open"])))


def test_crash_between_effect_and_result_is_told_not_repeated() -> None:
    """R4: what may have happened and cannot be repeated is done once, said to be unknown, and not called verified."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        world.chaos.planned[f"{laptop.name} after an effect"] = 1

        _post(phone, laptop, "x once")
        await _ended(world, phone)

        assert sum(world.effects.times.values()) == 1
        assert _only_task(phone).verdict is Verdict.UNVERIFIED
        assert laptop.lives == 2

    _told(story)


def test_crash_between_intent_and_effect_of_an_idempotent_tool_is_repaired() -> None:
    """R4: what may be repeated is repeated, and the result is as good as without the crash."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        world.chaos.planned[f"{laptop.name} after an effect"] = 1

        _post(phone, laptop, "x idem")
        await _ended(world, phone)

        assert sum(world.effects.times.values()) == 2
        assert _only_task(phone).verdict is Verdict.VERIFIED

    _told(story)


def test_an_effect_that_can_be_looked_for_is_looked_for() -> None:
    """R4: after the crash the tool finds its effect, so nothing is unknown and nothing is done twice."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        world.chaos.planned[f"{laptop.name} after an effect"] = 1

        _post(phone, laptop, "x probe")
        await _ended(world, phone)

        assert sum(world.effects.times.values()) == 1
        assert _only_task(phone).verdict is Verdict.VERIFIED

    _told(story)


def test_a_yes_given_while_the_computer_is_cut_off_and_dies_is_used_once() -> None:
    """R18: the decision waits in the log, arrives after partition and crash, and lets exactly one effect happen."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        _post(phone, laptop, "x once", root="etc")
        await _asked(world, phone)

        world.weather.apart[laptop.name] = True
        _decide(phone, "allow")
        assert await world.until(lambda: not phone.outbox)
        laptop.crash("in the story", away=30)
        await world.clock.sleep(60)
        assert world.effects.happened == []
        world.weather.apart.clear()
        await _ended(world, phone)

        assert sum(world.effects.times.values()) == 1

    _told(story)


def test_two_phones_decide_at_once() -> None:
    """AP-03: one decision counts, both phones show the same one, and a no that came first lets nothing happen."""

    async def story(world: World) -> None:
        first, second = world.phones[:2]
        _post(first, world.laptops[0], "x once", root="etc")
        await _asked(world, first)
        await _asked(world, second)

        _decide(first, "allow")
        _decide(second, "deny")
        await _ended(world, first)
        await _ended(world, second)

        assert [a.state for a in first.account.find(Approval)] == [a.state for a in second.account.find(Approval)]
        answers = {next(reversed(phone.answers.values())).status for phone in (first, second)}
        assert answers == {"ok", "rejected"}

    _told(story)


def test_a_message_whose_acknowledgement_died_with_the_hub_is_there_once() -> None:
    """R1: the hub dies right after the commit; the phone sends again and learns that it was a duplicate."""

    async def story(world: World) -> None:
        phone = world.phones[0]
        await world.clock.sleep(30)  # by then everybody has connected, and the next commit is the message
        world.chaos.planned["hub after a commit"] = 1

        _post(phone, world.laptops[0], "x look")
        await _ended(world, phone)

        assert next(iter(phone.answers.values())).status == "duplicate"
        assert world.house.lives == 2

    _told(story)


def test_two_computers_work_side_by_side() -> None:
    """R3: each task is done by the computer whose folder it names, each exactly once."""

    async def story(world: World) -> None:
        phone = world.phones[0]
        await world.clock.sleep(10)  # by then the hub knows both, and their folders
        for laptop in world.laptops:
            _post(phone, laptop, f"for-{laptop.name} idem idem")
        await _ended(world, phone, count=2)

        ran = {one.label: one.laptop for one in world.effects.happened}
        assert sorted(ran.values()) == ["laptop1", "laptop1", "laptop2", "laptop2"]
        assert set(world.effects.times.values()) == {1}

    _told(story)


def test_cancelling_while_an_effect_is_under_way_ends_the_task_once() -> None:
    """R9: what the attempt says after the cancellation is kept and is never state."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        _post(phone, laptop, "x once once once")
        assert await world.until(lambda: bool(world.effects.happened))
        world.weather.apart[laptop.name] = True
        phone.want("task.cancel", {}, task=_only_task(phone).id)
        await _ended(world, phone)
        await world.clock.sleep(120)
        world.weather.apart.clear()

        assert await world.until(lambda: laptop.journal is not None and not laptop.journal.outbox())
        assert _only_task(phone).state is TaskState.CANCELED
        assert any(event.kind == "event.superseded" for event in phone.account.log)

    _told(story)


def test_of_a_home_and_its_copy_only_the_newer_works(tmp_path: Path) -> None:
    """R9: a copy says nothing of what the original says; when it is connected, the original is told and stops.

    What was under way waits for its owner, because the copy may not know all that was done; then it goes on there.
    """

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        await world.clock.sleep(10)
        _post(phone, laptop, "x once look look")
        tasks = phone.account.find
        assert await world.until(lambda: [t for t in tasks(Task) if t.usage.steps == 1] != [])
        world.weather.apart[laptop.name] = True
        assert await world.until(lambda: laptop.journal is not None and bool(laptop.journal.outbox()))
        clone = Laptop(laptop.name, world.chaos, home=tmp_path, effects=world.effects)
        clone.link = FaultyLink(world.house, laptop.name, world.weather, clone.clock)
        _copy(laptop, clone)
        laptop.close()
        world.laptops[0] = clone
        world.weather.apart.clear()

        clone.boot()
        assert await world.until(lambda: _only_task(phone).state is TaskState.PAUSED)
        assert clone.journal is not None
        assert not clone.journal.outbox()
        laptop.boot()
        assert await world.until(lambda: laptop.gone, seconds=60)
        phone.want("task.resume", {}, task=_only_task(phone).id)
        await _ended(world, phone)

        assert sum(world.effects.times.values()) == 1
        assert _only_task(phone).epoch == 2

    _told(story)


@pytest.mark.survives(
    "A computer is stolen or breaks for good while it has tasks",
    "After you remove it, what it had not begun goes to another computer, what is bound to its folders ends as not done, "
    "and nothing it still says is believed",
)
def test_what_a_removed_computer_held_goes_on_elsewhere_or_ends() -> None:
    """PA-07, R3, R9: a movable task it never accepted is done by another one; a pinned one ends; it is shut out."""

    async def story(world: World) -> None:
        phone, kept, lost = world.phones[0], world.laptops[0], world.laptops[1]
        _post(phone, kept, "busy ask")
        assert await world.until(lambda: bool(phone.account.find(Question)))
        world.weather.apart[lost.name] = True
        phone.want("message.post", {"text": "movable idem", "agent": AGENT})
        _post(phone, lost, "pinned idem")
        assert await world.until(lambda: _of(phone, lost) == ["movable idem", "pinned idem"])

        phone.want("device.revoke", {"device": lost.name})
        await _ended(world, phone, count=2)
        world.weather.apart.clear()
        assert await world.until(lambda: lost.gone)

        states = {task.text: (task.state, task.runner) for task in phone.account.find(Task)}
        assert states["movable idem"] == (TaskState.COMPLETED, kept.name)
        assert states["pinned idem"] == (TaskState.FAILED, lost.name)
        assert [one.laptop for one in world.effects.happened] == [kept.name]

    _told(story)


def _of(phone: Phone, laptop: Laptop) -> list[str]:
    under_way = phone.account.find(Task, states=[TaskState.WORKING])
    return sorted(task.text for task in under_way if task.runner == laptop.name)


def test_a_computer_that_sleeps_for_eight_hours_goes_on_where_it_was() -> None:
    """R8: no time passes for it, its link stands half open; awake, it finishes, and everything happened once."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        _post(phone, laptop, "x once once once")
        assert await world.until(lambda: bool(world.effects.happened))

        laptop.freeze(8 * 3600, suspended=True)
        await world.clock.sleep(8 * 3600 - 1)
        assert not _only_task(phone).final
        await _ended(world, phone)

        assert sorted(world.effects.times.values()) == [1, 1, 1]
        assert _only_task(phone).verdict is Verdict.VERIFIED

    _told(story)


def _copy(original: Laptop, clone: Laptop) -> None:
    source = original.disk.raw_connection().driver_connection
    target = clone.disk.raw_connection().driver_connection
    assert source is not None
    assert target is not None
    target.deserialize(source.serialize())


@pytest.mark.parametrize("seed", range(4))
def test_what_is_asked_for_at_the_very_beginning_is_taken(seed: int) -> None:
    """A story begins when every phone shows every folder; before that a wish is refused, as nobody could tap it."""

    async def story(world: World) -> None:
        _post(world.phones[0], world.laptops[0], "x idem")
        assert await world.until(lambda: bool(world.effects.happened), seconds=120)

    assert simulate(seed, story).violations == ()


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=-1)], ids=["ahead", "behind"])
@pytest.mark.parametrize("whose", ["hub", "phone"])
def test_a_time_to_begin_is_the_true_one_once_clocks_are_right(whose: str, ahead: timedelta) -> None:
    """R7: seed 200001; what waits for its time begins within minutes of a clock that was a day off being put right."""

    async def story(world: World) -> None:
        machine = world.house if whose == "hub" else world.phones[0]
        machine.clock.ahead += ahead
        person = world.people[0]
        for _ in range(40):
            person.post(world.laptops[0])
        assert await world.until(lambda: not world.phones[0].outbox)

    outcome = simulate(TWO_COMPUTERS, story)

    assert outcome.violations == ()
    assert outcome.counts["simulated seconds"] < 3600


def test_a_story_is_the_same_wherever_its_homes_lie() -> None:
    """R20: results outside any folder lie in a home whose place differs each time; nothing of it is in the hash."""

    async def story(world: World) -> None:
        phone = world.phones[0]
        phone.want("message.post", {"text": "x once both", "agent": AGENT})
        await _ended(world, phone)

    first, again = _told(story), _told(story)

    assert first.sha256 == again.sha256

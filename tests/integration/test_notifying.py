"""Notifications of a whole hub in virtual time: judged when due, held, said again, sent by another road, explained."""

from __future__ import annotations

from random import Random
from typing import cast

import pytest

from deskhand.core.delivery import Announcement
from deskhand.hub.delivering import plan
from deskhand.ports import Notice, PushSubscription, SendOutcome
from deskhand.testing.memory_store import open_memory_disk
from deskhand.testing.world.loop import VirtualLoop
from tests.notifying import DESK, GUEST, LAPTOP, PHONE, A, House, Road, begin, furnish, in_virtual_time


def test_a_screen_that_showed_it_keeps_the_phone_still() -> None:
    """R6: the desk shows that very conversation and says that it was read: nothing is sent, and the ledger says why."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, thread = await house.task()
            async with house.looks(DESK, thread):
                await house.end(task)
                await house.op(DESK, "read.mark", {"seq": 10_000}, thread=thread)
                await house.clock.sleep(10)

        assert await house.fates() == [("suppressed", "on_screen", "")]
        assert house.push.tried == []

    in_virtual_time(story)


def test_a_screen_to_which_something_is_on_its_way_is_looked_at() -> None:
    """R6: the news itself, or a heartbeat, is under way to it at that moment; a little later it is there."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, thread = await house.task()
            short, _ = await house.task()
            ended: list[float] = []
            async with house.looks(DESK, thread, takes=lambda: house.clock.elapsed() > ended[-1] + 1):
                ended.append(house.clock.elapsed())
                await house.end(task)
                await house.clock.sleep(2)
                await house.op(DESK, "read.mark", {"seq": 10_000}, thread=thread)
                await house.clock.sleep(10)
            async with house.looks(PHONE, takes=lambda: house.clock.elapsed() > ended[-1] + 1):
                ended.append(house.clock.elapsed())
                await house.end(short, state="completed")
                await house.clock.sleep(10)

        assert [reason for _, reason, _ in await house.fates()] == ["on_screen", "short"]
        assert house.push.tried == []

    in_virtual_time(story)


def test_a_phone_that_lost_its_network_is_told() -> None:
    """R6: its page seems to be there and takes nothing: after a moment the short task is told as well."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, _ = await house.task()
            async with house.looks(PHONE, takes=lambda: False):
                await house.end(task, state="completed")
                await house.clock.sleep(10)

        assert await house.fates() == [("accepted", None, "")]

    in_virtual_time(story)


@pytest.mark.parametrize("where", ["another conversation", "frozen", "a guest"])
def test_no_other_screen_keeps_the_phone_still(where: str) -> None:
    """R6: not an app open elsewhere, not one that does not say it showed it, not another person's."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, thread = await house.task()
            _, other = await house.task()
            await house.op(PHONE, "thread.share", {}, thread=thread)
            who = GUEST if where == "a guest" else DESK
            async with house.looks(who, other if where == "another conversation" else thread):
                await house.end(task)
                if where == "a guest":
                    await house.op(GUEST, "read.mark", {"seq": 10_000}, thread=thread)
                await house.clock.sleep(10)

        assert await house.fates() == [("accepted", None, "")]
        assert len(house.push.taken) == 1

    in_virtual_time(story)


def test_a_short_task_is_not_told_to_who_has_the_app_open() -> None:
    """Finished within a minute with the app visible: no push; without it, or after a long run, there is one."""

    async def story(house: House) -> None:
        async with house.laptop():
            first, thread = await house.task()
            async with house.looks(PHONE):
                await house.end(first, state="completed")
                await house.clock.sleep(10)
                long, _ = await house.task(thread=thread)
                await house.clock.sleep(61)
                await house.end(long, state="completed")
                await house.clock.sleep(10)
            away, _ = await house.task(thread=thread)
            await house.end(away, state="completed")
            await house.clock.sleep(10)

        assert await house.fates() == [("suppressed", "short", ""), ("accepted", None, ""), ("accepted", None, "")]

    in_virtual_time(story)


def test_a_muted_conversation_is_still() -> None:
    """Muted by a wish that every device sees; other conversations go on telling."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, thread = await house.task()
            other, _ = await house.task()
            await house.op(DESK, "thread.mute", {"muted": True}, thread=thread)
            await house.end(task)
            await house.end(other)
            await house.clock.sleep(10)

        assert await house.fates() == [("suppressed", "muted", ""), ("accepted", None, "")]

    in_virtual_time(story)


def test_a_question_is_said_again_after_five_minutes_and_elsewhere_after_fifteen() -> None:
    """P-05: the same tag on the phone, then the second road; with the badge of what waits."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, _ = await house.task()
            question = await house.ask(task)
            await house.clock.sleep(4 * 60)
            early = len(house.push.taken)
            await house.clock.sleep(2 * 60)
            again = len(house.push.taken)
            await house.clock.sleep(10 * 60)

        assert (early, again, len(house.push.taken)) == (1, 2, 2)
        assert [(one.tag, one.waiting) for one in (*house.push.taken, *house.ntfy.taken)] == [
            (question, (question,))
        ] * 3
        assert await house.fates() == [
            ("accepted", None, ""),
            ("accepted", None, "reminder"),
            ("accepted", None, "second"),
        ]

    in_virtual_time(story)


def test_an_answered_question_is_not_said_again() -> None:
    """P-05: an answer on any device ends it, and a first try that comes too late is not made."""

    async def story(house: House) -> None:
        async with house.laptop():
            house.push.answers = [SendOutcome(status="retry", retry_after_seconds=60)]
            task, thread = await house.task()
            question = await house.ask(task)
            await house.clock.sleep(5)
            await house.op(DESK, "question.answer", {"question": question, "answer": "this"}, task=task, thread=thread)
            await house.clock.sleep(20 * 60)

        assert await house.fates() == [("suppressed", "over", "")]
        assert house.push.taken == house.ntfy.tried == []

    in_virtual_time(story)


def test_without_a_browser_the_other_road_is_the_first() -> None:
    """P-05: a phone without push is told by ntfy at once, and once more by it."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, _ = await house.task()
            await house.ask(task)
            await house.clock.sleep(20 * 60)

        assert [one.occasion for one in await house.ledger()] == ["", "reminder"]
        assert len(house.ntfy.taken) == 2

    in_virtual_time(story, subscribed=False)


def test_quiet_hours_end_with_one_message() -> None:
    """P-05: everything of the night comes at its end as one message; each row says what became of it."""

    async def story(house: House) -> None:
        now = house.clock.now()
        ends = f"{(now.hour + 2) % 24:02}:00"
        await house.set(quiet=f"{now.hour:02}:00-{ends}", zone="UTC")
        async with house.laptop():
            tasks = [await house.task() for _ in range(3)]
            for task, _ in tasks[1:]:
                await house.end(task)
            await house.ask(tasks[0][0])
            await house.clock.sleep(1800)
            night = await house.fates()
            await house.clock.sleep(2 * 3600)

        assert {(fate, reason) for fate, reason, _ in night} == {("held", "quiet")}
        [message] = house.push.taken
        assert (message.body, message.tag, message.urgency) == ("Needs you: 1 · Failed: 2", "digest", "high")
        fates = [fate for fate in await house.fates() if fate[2] != "second"]
        assert sorted(fates) == [("accepted", "digest", "")] + [("suppressed", "digest", "")] * 2 + [
            ("suppressed", "digest", "reminder")
        ]

    in_virtual_time(story)


def test_a_digest_that_fails_is_tried_again_whole() -> None:
    """R6: nothing that was only mentioned is lost with the message that mentioned it."""

    async def story(house: House) -> None:
        now = house.clock.now()
        await house.set(quiet=f"{now.hour:02}:00-{(now.hour + 1) % 24:02}:00", zone="UTC")
        async with house.laptop():
            for task, _ in [await house.task() for _ in range(3)]:
                await house.end(task)
            await house.clock.sleep(3700)

        assert [one.body for one in house.push.tried] == ["Failed: 3"] * 3
        assert sorted(await house.fates()) == [("accepted", "digest", "")] + [("suppressed", "digest", "")] * 2

    in_virtual_time(story, answers=[SendOutcome(status="retry"), SendOutcome(status="retry")])


def test_no_device_gets_more_than_ten_in_a_minute() -> None:
    """P-06: the rest comes as one message a minute later, and nothing is lost; what needs somebody is never held."""

    async def story(house: House) -> None:
        async with house.laptop():
            tasks = [await house.task() for _ in range(16)]
            for task, _ in tasks[:-1]:
                await house.end(task)
            await house.ask(tasks[-1][0])
            await house.clock.sleep(20)
            at_once = len(house.push.taken)
            await house.clock.sleep(90)

        assert at_once == 11
        assert house.push.taken[-1].body == "Failed: 5"
        assert len(house.push.taken) == 12

    in_virtual_time(story)


def test_a_computer_that_stays_away_in_its_work_is_told_of() -> None:
    """P-05: after ten minutes, once for each absence; one that comes back in time, or that was idle, is not."""

    async def story(house: House) -> None:
        async with house.laptop():
            task, _ = await house.task()
        await house.clock.sleep(5 * 60)
        async with house.looks(LAPTOP):
            await house.clock.sleep(60)
        early = await house.fates()
        await house.clock.sleep(30 * 60)
        [one] = await house.ledger()
        async with house.looks(LAPTOP):
            await house.end(task, state="completed")
            await house.clock.sleep(60)
        await house.clock.sleep(30 * 60)

        assert early == []
        assert (one.kind, one.tag, one.fate) == ("runner_offline", LAPTOP.id, "accepted")
        assert [one.kind for one in await house.ledger()] == ["runner_offline", "finished"]

    in_virtual_time(story)


def test_the_owner_chooses_to_read_what_happened() -> None:
    """PU-01: by default the kind of thing only; with the owner's word the title and what was said."""

    async def story(house: House) -> None:
        async with house.laptop():
            (first, _), (second, _) = [await house.task() for _ in range(2)]
            await house.end(first)
            await house.clock.sleep(5)
            await house.set(text="full")
            await house.end(second)
            await house.clock.sleep(5)

        assert [one.body for one in house.push.taken] == ["A task could not be done.", "/brief notes: salaries"]

    in_virtual_time(story)


def test_a_subscription_that_is_gone_is_dropped() -> None:
    """PU-03: 410 drops it, the row says so, and from then on the other road is the first."""

    async def story(house: House) -> None:
        async with house.laptop():
            (first, _), (second, _) = [await house.task() for _ in range(2)]
            await house.end(first)
            await house.clock.sleep(5)
            await house.end(second)
            await house.clock.sleep(5)

        assert await house.fates() == [("failed", "gone", ""), ("accepted", None, "")]
        assert (len(house.push.tried), len(house.ntfy.taken)) == (1, 1)

    in_virtual_time(story, answers=[SendOutcome(status="gone", reason="gone")])


def test_a_hub_that_dies_between_commit_and_send_loses_nothing() -> None:
    """R6: planned with the event, half of the attempts failing, the hub dead in between: each arrives under its tag."""
    loop, disk = VirtualLoop(), open_memory_disk()
    chance = Random(7)
    moody = [SendOutcome(status="retry" if chance.random() < 0.5 else "accepted") for _ in range(40)]
    push = Road(moody)

    async def run() -> None:
        house = await begin(loop, disk, push, Road())
        await furnish(house, subscribed=True)
        tasks: list[str] = []
        async with house.laptop():
            for _ in range(8):
                task, _ = await house.task()
                tasks.append(task)
            await house.hub.stop()
            for task in tasks:
                await house.end(task)
        sent_by_the_dead = len(push.tried)
        await house.hub.store.close()
        reborn = await begin(loop, disk, push, Road())
        await reborn.clock.sleep(3600)

        assert sent_by_the_dead == 0
        assert sorted(one.tag for one in push.taken) == sorted(tasks)
        assert {fate for fate, _, _ in await reborn.fates()} == {"accepted"}
        assert any(one.attempts > 1 for one in await reborn.ledger())
        await reborn.hub.stop()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_a_member_is_told_of_their_own_work_alone() -> None:
    """IS-04, PU-01: what is done for somebody else goes to that person and to nobody else, whatever it would say."""

    async def story(house: House) -> None:
        keys = {"endpoint": "https://push.invalid/guest", "p256dh": "k", "auth": "a"}
        await house.hub.store.put_subscription(PushSubscription(id="sub_2", account=A, device=GUEST.id, **keys))
        async with house.laptop():
            task, _ = await house.task()
            await house.end(task)
            await house.clock.sleep(5)
            mine = await house.op(GUEST, "message.post", {"text": "/brief notes"})
            await house.op(GUEST, "task.cancel", {}, task=mine.task)
            where = await house.thread_of(mine.task or "")
        announced = Announcement(kind="failed", tag="t", thread=where, task=mine.task)
        write, ids = house.hub.store.write, house.ids
        await write(A, lambda tx: plan(tx, announced, ids=ids))

        rows = await house.ledger()
        assert [(one.task, one.device) for one in rows] == [(task, PHONE.id), (mine.task, GUEST.id)]

    in_virtual_time(story)


class Weather:
    """Push services of one seed: half of the attempts fail, in every way there is; each screen holds one of a tag."""

    def __init__(self, chance: Random) -> None:
        """Begin badly."""
        self.chance, self.bad = chance, True
        self.screen: dict[str, Notice] = {}
        self.shown: list[str] = []

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Take it or not; what is taken may still be answered with a fault, so that it comes twice."""
        del subscription
        fails = self.bad and self.chance.random() < 0.5
        if not fails or self.chance.random() < 0.2:
            self.screen[notice.tag] = notice
            self.shown.append(notice.id)
        wait = self.chance.choice((None, 0.0, 30.0))
        return SendOutcome(
            status="retry" if fails else "accepted", reason="503" if fails else "", retry_after_seconds=wait
        )


ALLOWED = {"over", "muted", "digest", "off", "read"}
"""Why something need not be sent in these stories, in which nobody looks."""


async def _afternoon(house: House, chance: Random, muted: set[str]) -> None:
    """A task that is muted, asks, fails or ends, and some time."""
    async with house.laptop():
        task, thread = await house.task()
        if chance.random() < 0.2:
            muted.add(thread)
            await house.op(DESK, "thread.mute", {"muted": True}, thread=thread)
        if chance.random() < 0.4:
            question = await house.ask(task)
            await house.clock.sleep(chance.choice((1, 400, 1000)))
            await house.op(DESK, "question.answer", {"question": question, "answer": "x"}, task=task, thread=thread)
        else:
            await house.end(task, state=chance.choice(("failed", "completed")))
        await house.clock.sleep(chance.choice((0, 0.01, 5, 90)))


async def _unexplained(house: House, roads: dict[str, Weather], muted: set[str]) -> list[str]:
    """Return what is wrong with the ledger, once all is well."""
    found: list[str] = []
    for row in await house.ledger():
        to = roads[row.road]
        fine = {
            "is over": row.fate in {"accepted", "suppressed"},
            "was taken": row.fate != "accepted" or row.id in to.shown,
            "says why not": row.fate == "accepted" or row.reason in ALLOWED,
            "was muted": row.reason != "muted" or row.thread in muted,
            "stands on the screen": row.fate != "accepted" or bool({row.tag, "digest"} & to.screen.keys()),
        }
        found += [f"{word}: {row.to_json()}" for word, holds in fine.items() if not holds]
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_each_notification_arrives_once_and_is_explained(seed: int) -> None:
    """R6, PU-03: half of the attempts fail, the hub dies between commit and send, it is night, a thread is muted."""
    chance, loop, disk = Random(seed), VirtualLoop(), open_memory_disk()
    roads = {"webpush": Weather(chance), "ntfy": Weather(chance)}

    async def life() -> House:
        return await begin(loop, disk, *[cast("Road", road) for road in roads.values()])

    async def run() -> list[str]:
        house, muted = await life(), set[str]()
        await furnish(house, subscribed=chance.random() < 0.8)
        hour = house.clock.now().hour
        night = f"{hour:02}:00-{(hour + 1) % 24:02}:00" if chance.random() < 0.4 else ""
        await house.set(roads=chance.choice(("second", "always")), quiet=night, zone="UTC")
        for _ in range(chance.randint(3, 12)):
            await _afternoon(house, chance, muted)
            if chance.random() < 0.3:
                await house.hub.stop()
                await house.hub.store.close()
                house = await life()
        for road in roads.values():
            road.bad = False
        await house.clock.sleep(2 * 3600)
        found = await _unexplained(house, roads, muted)
        await house.hub.stop()
        return found

    try:
        assert loop.run_until_complete(run()) == []
    finally:
        loop.close()

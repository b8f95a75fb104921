"""Whether a notification goes out now, later or not at all: every decision has a word for the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from deskhand.clock import stamp
from deskhand.core.delivery import (
    HOW,
    SEEN_SECONDS,
    Circumstances,
    NoticeClass,
    Said,
    Verdict,
    absences,
    place_of,
    quiet_until,
    ran_seconds,
    reminders,
    verdict,
    worded,
)
from deskhand.core.settings import REGISTRY, checked, effective
from deskhand.errors import DeskhandError
from deskhand.protocol.objects import Delivery, Presence, Setting
from deskhand.protocol.tasks import Question, Task
from deskhand.protocol.wire import Json
from deskhand.texts import LANGUAGES, text

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATE = NOON + timedelta(seconds=SEEN_SECONDS + 1)


def told(kind: str = "finished", **more: object) -> Delivery:
    """Plan one for the phone at noon."""
    base = {"id": "dlv_1", "class": kind, "road": "webpush", "device": "dev_phone", "tag": "t", "fate": "planned"}
    return Delivery.from_json({**base, "at": stamp(NOON), **more})


def task(name: str = "tsk_1", **more: object) -> Task:
    """Make a task that a person began."""
    origin = {"surface": "page", "device": "dev_phone"}
    base = {"id": name, "thread": "thr_1", "title": "T", "text": "t", "agent": "commands", "state": "working"}
    return Task.from_json(
        {**base, "origin": origin, "trust": "owner", "created_at": stamp(NOON), "created_by": "dev_phone", **more}
    )


def said(**values: Json) -> Said:
    """Return settings, by the name behind ``notify.``."""
    stored = {f"notify.{name}": value for name, value in values.items()}
    return lambda name: effective(stored, name)


def judged(one: Delivery, settings: Said, now: datetime = LATE, **how: Any) -> Verdict:  # noqa: ANN401 - its fields
    """Judge one; nobody looks unless it is said."""
    return verdict(one, Circumstances(**how), settings, now=now)


@pytest.mark.parametrize("kind", sorted(get_args(NoticeClass)))
def test_nothing_stands_in_the_way_of_most(kind: str) -> None:
    """R6: without a word of the owner and with nobody looking, every class goes out."""
    assert judged(told(kind), said(), ran_seconds=120).fate == "sent"


@pytest.mark.parametrize(
    ("kind", "how", "reason"),
    [
        ("needs_you", {"over": True}, "over"),
        ("runner_offline", {"over": True}, "over"),
        ("finished", {"muted": True}, "muted"),
        ("needs_you", {"muted": True}, "muted"),
        ("needs_you", {"read": True, "screen": True}, "on_screen"),
        ("finished", {"read": True}, "read"),
        ("failed", {"read": True}, "read"),
        ("finished", {"app": True, "taken": True, "ran_seconds": 60}, "short"),
    ],
)
def test_what_is_kept_back_says_why(kind: str, how: dict[str, Any], reason: str) -> None:
    """R6: what is over, muted, read or on the very screen is suppressed with that word."""
    found = judged(told(kind), said(), **how)

    assert (found.fate, found.reason) == ("suppressed", reason)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("needs_you", {"screen": True}),
        ("needs_you", {"read": True}),
        ("needs_you", {"app": True}),
        ("finished", {"app": True, "taken": True, "ran_seconds": 61}),
        ("finished", {"app": True, "ran_seconds": 2}),
        ("finished", {"ran_seconds": 2}),
        ("failed", {"app": True}),
    ],
)
def test_only_a_screen_that_showed_it_keeps_a_notification_back(kind: str, how: dict[str, Any]) -> None:
    """R6: an app that is open elsewhere, a screen that did not say it showed it, a question only read: it goes out."""
    assert judged(told(kind), said(), **how).fate == "sent"


def test_a_screen_has_a_moment_to_show_it() -> None:
    """R6: while it may still show it, the notification waits; a phone that only seems to look does not hold it."""
    early = judged(told("needs_you"), said(), NOON, screen=True)

    assert (early.fate, early.reason) == ("planned", "looked_at")
    assert early.until == NOON + timedelta(seconds=SEEN_SECONDS)
    assert judged(told("needs_you"), said(), early.until or NOON, screen=True).fate == "sent"


def test_a_reminder_comes_whoever_looks() -> None:
    """R6: a page that stays open before an empty chair cannot keep the second word back."""
    again = told("needs_you", occasion="reminder")

    assert judged(again, said(), NOON, screen=True, read=True).fate == "sent"


def test_a_class_is_switched_off_for_one_device_or_road() -> None:
    """The matrix: one pair of class and place is off, every other one stays on."""
    off = said(off=["finished dev_phone", "failed ntfy"])

    assert judged(told(), off).reason == "off"
    assert judged(told("failed"), off).fate == "sent"
    assert judged(told(device="dev_other"), off).fate == "sent"
    assert judged(told("failed", road="ntfy", device=None), off).reason == "off"


def test_quiet_hours_hold_what_can_wait() -> None:
    """Held until the end; what needs somebody breaks through only where the owner says so; a test always does."""
    quiet = said(quiet="22:00-07:00", zone="Europe/Berlin")
    night = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)  # 23:30 in Berlin
    loud = said(quiet="22:00-07:00", zone="Europe/Berlin", quiet_needs_you=True)

    held = judged(told(), quiet, night)

    assert (held.fate, held.reason, held.until) == ("held", "quiet", datetime(2026, 11, 24, 6, 0, tzinfo=UTC))
    assert judged(told("needs_you"), quiet, night).fate == "held"
    assert judged(told("needs_you"), loud, night).fate == "sent"
    assert judged(told("failed"), loud, night).fate == "held"
    assert judged(told("test"), quiet, night).fate == "sent"


@pytest.mark.parametrize(
    ("hours", "zone", "now", "ends"),
    [
        ("", "UTC", "2026-11-23T23:00", None),
        ("22:00-07:00", "UTC", "2026-11-23T21:59", None),
        ("22:00-07:00", "UTC", "2026-11-23T22:00", "2026-11-24T07:00"),
        ("22:00-07:00", "UTC", "2026-11-24T06:59", "2026-11-24T07:00"),
        ("22:00-07:00", "UTC", "2026-11-24T07:00", None),
        ("13:00-14:30", "UTC", "2026-11-24T13:30", "2026-11-24T14:30"),
        ("13:00-14:30", "UTC", "2026-11-24T14:30", None),
        ("22:00-07:00", "Asia/Seoul", "2026-11-23T13:00", "2026-11-23T22:00"),
        ("00:00-00:00", "UTC", "2026-11-23T15:00", "2026-11-24T00:00"),
        # The night in which Berlin's clocks go back is an hour longer.
        ("22:00-07:00", "Europe/Berlin", "2026-10-24T20:30", "2026-10-25T06:00"),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(hours: str, zone: str, now: str, ends: str | None) -> None:
    """Over midnight, in any zone, also when the clocks change."""
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)

    found = quiet_until(moment, hours, zone=zone)

    assert found == (datetime.fromisoformat(ends).replace(tzinfo=UTC) if ends else None)


def test_an_unanswered_question_is_said_again_and_then_elsewhere() -> None:
    """After five and fifteen minutes, or when the owner says; with 0 never."""
    asked = Question(id="qst_1", task="tsk_1", thread="thr_1", text="Which?", asked_at=stamp(NOON))

    found = list(reminders([asked], said()))

    assert [(at - NOON, one.occasion) for at, one in found] == [
        (timedelta(minutes=5), "reminder"),
        (timedelta(minutes=15), "second"),
    ]
    assert {(one.kind, one.tag, one.thread, one.task) for _, one in found} == {("needs_you", "qst_1", "thr_1", "tsk_1")}
    assert list(reminders([asked], said(remind_minutes=0, second_minutes=0))) == []


def test_a_computer_is_told_of_only_while_its_work_stands_still() -> None:
    """Ten minutes after it was last heard, and only with a task of it under way."""
    working = task(runner="run_1")
    links = {
        name: Presence(runner=name, connected=connected, seen_at=stamp(NOON))
        for name, connected in (("run_1", False), ("run_2", False), ("run_3", True))
    }
    busy = [working, task("tsk_2", runner="run_3"), task("tsk_3", runner="run_2", state="queued")]

    [(at, one)] = absences(links, busy, said())

    assert (at - NOON, one.kind, one.tag) == (timedelta(minutes=10), "runner_offline", "run_1")
    assert list(absences(links, busy, said(offline_minutes=0))) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted(HOW))
def test_the_usual_text_names_the_kind_of_thing(kind: str, language: str) -> None:
    """PU-01: without the owner's word a text says nothing of the content; with it, in one line and bounded."""
    _, plain = worded([told(kind)], language=language)
    _, full = worded([told(kind)], language=language, detail="Salaries:\n  " + "x" * 9000)

    assert plain == text(f"notice.{kind}.body", language=language)
    assert full.startswith("Salaries: xx")
    assert len(full) == 500


def test_several_are_one_message_that_counts_them() -> None:
    """The digest counts things, not messages: a question that was said twice is one, and alone it is no digest."""
    asked = [told("needs_you", tag="apr_1"), told("needs_you", tag="apr_1", occasion="reminder")]

    digest = worded([*asked, told(tag="a"), told(tag="b")], language="en", detail="never shown")

    assert digest == ("Deskhand", "Needs you: 1 · Finished: 2")
    assert worded(asked, language="en")[1] == text("notice.needs_you.body")


def test_a_task_that_never_began_took_no_time() -> None:
    """Without a beginning or an end there is nothing to measure."""
    done = task(started_at=stamp(NOON), finished_at=stamp(NOON + timedelta(seconds=75)))

    assert ran_seconds(done) == 75
    assert ran_seconds(done.but(started_at=None)) == 0
    assert ran_seconds(None) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("quiet", "22-7"), ("quiet", "25:00-07:00"), ("zone", "Mars/Base"), ("text", "all"), ("off", "finished dev_1")],
)
def test_a_setting_that_would_keep_everything_back_by_mistake_is_refused(name: str, value: Json) -> None:
    """What is not understood is not stored, and the answer shows what it has to be like."""
    with pytest.raises(DeskhandError) as caught:
        checked(f"notify.{name}", value)

    assert REGISTRY[f"notify.{name}"].like in str(caught.value)


def test_where_a_tap_leads() -> None:
    """To the task, its conversation, the computers or the beginning."""
    assert place_of(told("test")) == "/"
    assert place_of(told("runner_offline")) == "/#/computers"
    assert place_of(told(thread="thr_1")) == "/#/threads/thr_1"
    assert place_of(told(thread="thr_1", task="tsk_1")) == "/#/threads/thr_1/tasks/tsk_1"


def test_a_setting_that_is_a_list_is_read_as_it_was_stored() -> None:
    """R15: what a page switched off is still switched off after a restart."""
    stored = Setting(id="notify.off", value=["finished dev_1"], changed_at=stamp(NOON), changed_by="dev_1")

    assert Setting.from_json(stored.to_json()) == stored

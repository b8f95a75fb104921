"""What a message becomes, and what of a thread goes with a task."""

from __future__ import annotations

import pytest

from deskhand.clock import Ids, SystemClock
from deskhand.core import conversation
from deskhand.core.delivery import announcement, next_try_seconds
from deskhand.core.dispatching import context_of
from deskhand.core.drafting import Wish
from deskhand.core.settings import REGISTRY, checked, effective
from deskhand.errors import Code, DeskhandError
from deskhand.limits import CONTEXT_CHARS_MAX, CONTEXT_MESSAGES_MAX, DELIVERY_TRIES_MAX, LEASE_SECONDS
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import MessagePost, Principal
from deskhand.protocol.tasks import Task
from deskhand.protocol.wire import Json, JsonObject
from deskhand.testing.account import MemoryAccount
from deskhand.texts import LANGUAGES, text

IDS = Ids(SystemClock())


def _post(account: MemoryAccount, said: str, body: JsonObject | None = None, *, role: Role = Role.OWNER) -> str:
    me = Principal(account="a", id=f"dev_{role}", role=role)
    rest = dict(body or {})
    thread = rest.pop("thread", None)
    wish = Wish(principal=me, thread=str(thread) if thread else None, task=None, ids=IDS)
    message = MessagePost.from_json({"text": said, **rest})
    return account.take(conversation.post_message(account, wish, message)).task or ""


def test_a_long_message_gets_a_short_title() -> None:
    """The title is the first line that says something, cut where it can be seen."""
    titles = [conversation.title_of("\n  hello \nworld"), conversation.title_of("x" * 200)]

    assert titles == ["hello", "x" * 79 + "…"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"folder": "/nowhere"}, Code.FOLDER_UNKNOWN, "folder"),
        ({"thread": "thr_none"}, Code.NOT_FOUND, "thread"),
        ({"as": "steer", "to": "tsk_none"}, Code.NOT_FOUND, "to"),
        ({"as": "answer", "to": "qst_none"}, Code.NOT_FOUND, "question"),
        ({"not_before": "tomorrow"}, Code.INVALID, "not_before"),
        ({"not_before": "2026-01-02T10:00:00"}, Code.INVALID, "not_before"),
    ],
)
def test_what_does_not_exist_is_named(body: JsonObject, code: Code, field: str) -> None:
    """Bad input gets a typed error that names the field, and nothing is half done."""
    account = MemoryAccount()

    with pytest.raises(DeskhandError) as caught:
        _post(account, "hello", body)

    assert (caught.value.code, caught.value.field, account.log) == (code, field, [])


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    """R7: stamps are compared as text, so whatever a program sends is written as every stamp is."""
    account = MemoryAccount()

    task = _post(account, "later", {"not_before": "2026-01-02T10:00:00+09:00"})

    found = account.get(Task, task)
    assert found is not None
    assert found.not_before == "2026-01-02T01:00:00.000Z"


def test_words_of_a_member_are_not_the_owners() -> None:
    """Trust is stamped by who speaks, never taken from the message."""
    account = MemoryAccount()

    _post(account, "a", {"trust": "owner"})
    _post(account, "b", {"trust": "owner"}, role=Role.MEMBER)

    said = [body for body in map(ev.body_of, account.log) if isinstance(body, ev.MessagePosted)]
    assert [one.trust for one in said] == ["owner", "untrusted"]


def test_context_is_the_newest_and_bounded() -> None:
    """A thread of years costs a task no more than a thread of a day; the task's own words are not repeated."""
    account = MemoryAccount()
    task = _post(account, "first")
    thread = account.log[0].thread
    for number in range(30):
        task = _post(account, f"{number} " + "x" * 4000, {"thread": thread})

    items = context_of([e for e in account.log if e.kind == "message.posted"], but_task=task)

    assert len(items) <= CONTEXT_MESSAGES_MAX
    assert sum(len(item.text) for item in items) <= CONTEXT_CHARS_MAX
    assert items[-1].text.startswith("28 ")
    assert items[0].text.endswith("[…]")


def test_a_notification_says_the_kind_of_thing_and_nothing_of_its_content() -> None:
    """PU-01: the default text of every class is generic, in every language."""
    finished = ev.TaskFinished.from_json({"state": "completed", "summary": "salary list", "epoch": 1})

    planned = announcement(finished, thread="thr_1", task="tsk_1")

    assert planned is not None
    said = [text(f"notice.{planned.kind}.body", language=language) for language in LANGUAGES]
    assert (planned.kind, planned.tag) == ("finished", "tsk_1")
    assert not any("salary" in one for one in said)


def test_cancelling_notifies_nobody() -> None:
    """The owner did it; a push about it would be noise."""
    canceled = ev.TaskFinished.from_json({"state": "canceled", "epoch": 2})

    assert announcement(canceled, thread="t", task="k") is None


def test_retries_wait_longer_and_end() -> None:
    """Back-off grows, obeys Retry-After, and gives up in the ledger rather than silently."""
    waits = [next_try_seconds(n, asked_for=None, spread=0.0) for n in range(1, DELIVERY_TRIES_MAX)]

    assert waits == sorted(w for w in waits if w is not None)
    assert next_try_seconds(1, asked_for=90, spread=0.0) == 90
    assert next_try_seconds(DELIVERY_TRIES_MAX, asked_for=None, spread=0.0) is None


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_setting_has_a_default_of_its_type_and_a_sentence(name: str) -> None:
    """One registry for config, page and docs; the default passes its own check."""
    spec = REGISTRY[name]
    default: Json = [*spec.default] if isinstance(spec.default, tuple) else spec.default

    assert effective({}, name) == checked(name, default)
    assert REGISTRY["lease_seconds"].default == LEASE_SECONDS
    assert all(text(f"setting.{name}", language=language) for language in LANGUAGES)


@pytest.mark.parametrize(
    ("name", "value"),
    [("nonsense", 1), ("lease_seconds", "30"), ("lease_seconds", True), ("lease_seconds", 1),
     ("language", "fr"), ("hub.hosts", "a"), ("notify.allow_private_endpoints", 1)],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_it_takes(name: str, value: Json) -> None:
    """A broken line is refused with the setting's name, never half taken."""
    with pytest.raises(DeskhandError) as caught:
        checked(name, value)

    assert (caught.value.code, caught.value.field) == (Code.CONFIG_INVALID, name)

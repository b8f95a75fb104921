"""Web Push against a push service that checks, decrypts and fails like a vendor's."""

from __future__ import annotations

import base64
import dataclasses
import logging
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from deskhand.core.settings import checked
from deskhand.egress import Egress, EgressResponse
from deskhand.errors import Code, DeskhandError
from deskhand.notify.webpush import (
    WebPush,
    endpoint_allowed,
    public_key_b64url,
    topic_of,
)
from deskhand.ports import Notice, Notifier, SendOutcome
from deskhand.protocol.signing import new_key
from deskhand.testing.push.crypto import Browser, UnreadableError
from deskhand.testing.push.service import Answer, FakePushService
from tests.contract.roads import stored

KEY = new_key()
NOW = datetime(2026, 11, 22, 10, 4, 7, tzinfo=UTC)
SUBJECT = "mailto:owner@deskhand.example"
NOTICE = Notice(
    id="dlv_01hzzz",
    tag="apr_01habc",
    title="Deskhand needs you",
    body="Approval apr_01habc · 승인이 필요합니다",
    url_path="/approvals/apr_01habc",
    urgency="high",
    ttl_seconds=900,
    waiting=("apr_01habc",),
)


class Now:
    """A clock that stands, and is set by hand."""

    def __init__(self, moment: datetime = NOW) -> None:
        """Show ``moment``."""
        self.moment = moment

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return the moment as a number."""
        return self.moment.timestamp()

    def elapsed(self) -> float:
        """Return the same: this machine never sleeps."""
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Turn the clock."""
        self.moment += timedelta(seconds=seconds)


def sender(*, clock: Now | None = None, key: str = KEY, allow_private: bool = True, subject: str = SUBJECT) -> Notifier:
    """Return the adapter, allowed to call loopback unless told otherwise."""
    said = {"notify.subject": subject, "notify.allow_private_endpoints": allow_private}
    return WebPush(vapid_key=key, said=said.get, app_url="https://hub.example/", clock=clock or Now())


def service_at(moment: datetime = NOW) -> FakePushService:
    """Return a push service whose clock stands at ``moment``."""
    return FakePushService(clock=Now(moment))


async def test_the_browser_reads_exactly_what_was_sent() -> None:
    """The declarative message arrives whole, in any script, with the delivery id, the badge and what still waits."""
    async with service_at() as service:
        subscription = stored(service.subscribe(public_key_b64url(KEY)))

        outcome = await sender().send(subscription, NOTICE)
        [message] = await service.received(1)

    assert outcome == SendOutcome(status="accepted", http_status=201, reason="accepted")
    assert message.payload == {
        "web_push": 8030,
        "notification": {
            "title": "Deskhand needs you",
            "body": "Approval apr_01habc · 승인이 필요합니다",
            "tag": "apr_01habc",
            "navigate": "https://hub.example/approvals/apr_01habc",
            "data": {"delivery": "dlv_01hzzz", "waiting": ["apr_01habc"]},
        },
        "app_badge": 1,
        "mutable": True,
    }


async def test_the_service_is_told_time_urgency_and_a_topic_and_who_asks() -> None:
    """What a push service needs is in the headers; the token is for this origin and half a day."""
    async with service_at() as service:
        await sender().send(stored(service.subscribe()), NOTICE)
        [message] = await service.received(1)

    assert (message.headers["ttl"], message.headers["urgency"]) == ("900", "high")
    assert (message.headers["topic"], len(topic_of("x" * 500))) == (topic_of("apr_01habc"), 32)
    assert message.claims == {"aud": service.origin, "exp": int(NOW.timestamp()) + 12 * 3600, "sub": SUBJECT}


async def test_no_word_of_the_notice_is_on_the_wire() -> None:
    """PU-01: headers and body that the vendor sees hold neither text nor ids, also not as base64."""
    async with service_at() as service:
        await sender().send(stored(service.subscribe()), NOTICE)
        [attempt] = await service.attempted(1)

    wire = attempt.body + "\n".join(f"{k}: {v}" for k, v in attempt.headers.items()).encode()
    words = [NOTICE.title, NOTICE.body, NOTICE.tag, NOTICE.id, NOTICE.url_path, "web_push"]
    spellings = [word.encode() for word in words]
    spellings += [base64.urlsafe_b64encode(word).rstrip(b"=")[:-1] for word in spellings]
    assert [spelling for spelling in spellings if spelling in wire] == []


async def test_the_size_on_the_wire_tells_little() -> None:
    """PU-01: a short and a longer text are the same number of bytes."""
    longer = dataclasses.replace(NOTICE, body="x" * 150)
    async with service_at() as service:
        subscription = stored(service.subscribe())

        await sender().send(subscription, NOTICE)
        await sender().send(subscription, longer)
        first, second = await service.received(2)

    assert len(first.ciphertext) == len(second.ciphertext)


async def test_another_key_cannot_read_it() -> None:
    """PU-01: only the browser that subscribed decrypts; a stranger and a changed byte fail."""
    async with service_at() as service:
        await sender().send(stored(service.subscribe()), NOTICE)
        [message] = await service.received(1)

    with pytest.raises(UnreadableError):
        Browser.new().decrypt(message.ciphertext)
    with pytest.raises(UnreadableError):
        Browser.new().decrypt(message.ciphertext[:-1] + b"\x00")


async def test_a_message_for_exchanged_keys_stays_unread() -> None:
    """The fake is strict: a message sealed for other keys is taken by the service, and shown by nobody."""
    async with service_at() as service:
        ours, other = service.subscribe(), service.subscribe()
        crossed = stored({"endpoint": ours["endpoint"], "keys": other["keys"]})

        outcome = await sender().send(crossed, NOTICE)

    assert (outcome.status, service.messages, len(service.unreadable)) == ("accepted", [], 1)


@pytest.mark.parametrize("skew", [timedelta(hours=13), timedelta(hours=-13)])
async def test_an_expired_or_overlong_token_is_refused(skew: timedelta) -> None:
    """A clock that is half a day off gives 403, for a person to cure; nothing is retried."""
    async with service_at(NOW + skew) as service:
        outcome = await sender().send(stored(service.subscribe()), NOTICE)

    assert outcome == SendOutcome(status="refused", http_status=403, reason="service_refused")


async def test_only_the_key_that_subscribed_may_send() -> None:
    """A subscription made for one VAPID key turns another hub's key away."""
    async with service_at() as service:
        subscription = stored(service.subscribe(public_key_b64url(KEY)))

        outcome = await sender(key=new_key()).send(subscription, NOTICE)

    assert (outcome.status, outcome.http_status, service.messages) == ("refused", 403, [])


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(status=404), SendOutcome(status="gone", http_status=404, reason="gone")),
        (Answer(status=410), SendOutcome(status="gone", http_status=410, reason="gone")),
        (
            Answer(status=429, headers={"Retry-After": "120"}),
            SendOutcome(status="retry", http_status=429, retry_after_seconds=120, reason="rate_limited"),
        ),
        (Answer(status=429), SendOutcome(status="retry", http_status=429, reason="rate_limited")),
        (Answer(status=500), SendOutcome(status="retry", http_status=500, reason="service_error")),
        (
            Answer(status=503, headers={"Retry-After": "7"}),
            SendOutcome(status="retry", http_status=503, retry_after_seconds=7, reason="service_error"),
        ),
        (Answer(status=400), SendOutcome(status="refused", http_status=400, reason="service_refused")),
        (
            Answer(status=302, headers={"Location": "http://127.0.0.1:1/"}),
            SendOutcome(status="refused", http_status=302, reason="service_refused"),
        ),
        (Answer(drop=True), SendOutcome(status="retry", reason="unavailable")),
        (Answer(status=201, flood=1024**4), SendOutcome(status="accepted", http_status=201, reason="accepted")),
    ],
)
async def test_every_answer_has_one_meaning(answer: Answer, outcome: SendOutcome) -> None:
    """PU-03, SS-03, SS-07: gone, retry with the vendor's wait, refused; drops are retried, floods cut."""
    async with service_at() as service:
        subscription = stored(service.subscribe())
        service.answer_next(answer)

        found = await sender().send(subscription, NOTICE)

    assert (found, len(service.attempts)) == (outcome, 1)


async def test_a_service_that_is_away_is_tried_again_later() -> None:
    """A refused connection is a passing trouble."""
    async with service_at() as service:
        subscription = stored(service.subscribe())

    outcome = await sender().send(subscription, NOTICE)

    assert outcome == SendOutcome(status="retry", reason="unavailable")


async def test_a_retry_replaces_what_it_repeats() -> None:
    """PU-03, R6: with half of the tries failing, each notice is shown once, under the same topic and tag."""
    seeded = random.Random(7)
    async with FakePushService(clock=Now(), chance=seeded, failure_rate=0.5) as service:
        subscription = stored(service.subscribe())
        push = sender()

        for number in range(20):
            notice = dataclasses.replace(NOTICE, tag=f"tsk_{number}")
            await push.send(subscription, notice)
            while (await push.send(subscription, notice)).status != "accepted":
                pass

    assert len(service.shown()) == 20
    assert {attempt.status for attempt in service.attempts} == {201, 503}
    assert len({attempt.headers["topic"] for attempt in service.attempts}) == 20


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/push/x",
        "https://127.0.0.1/push/x",
        "https://localhost/push/x",
        "https://[::1]/push/x",
        "https://[::ffff:127.0.0.1]/push/x",
        "https://2130706433/push/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://192.168.1.1/push/x",
        "https://93.184.216.34/push/x",
        "https://hub.internal/push/x",
        "https://push.example.org/push/x",
        "http://fcm.googleapis.com/fcm/send/x",
        "https://fcm.googleapis.com:8443/fcm/send/x",
        "https://fcm.googleapis.com.evil.test/fcm/send/x",
        "https://evilfcm.googleapis.com/fcm/send/x",
        "https://evil.test#.push.apple.com/x",
        "https://user@fcm.googleapis.com/x",
        "file:///etc/passwd",
        "",
    ],
)
async def test_an_endpoint_that_is_no_vendors_is_refused_without_dialling(url: str) -> None:
    """PU-02, SS-01: a client that registers an inner or unknown address makes us call nothing."""
    asked: list[str] = []

    async def resolve(name: str, _port: int) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"]

    push = WebPush(
        vapid_key=KEY,
        said={"notify.subject": SUBJECT}.get,
        app_url="https://hub.example/",
        clock=Now(),
        way_out=Egress(resolve=resolve),
    )
    keys = {"p256dh": Browser.new().p256dh, "auth": Browser.new().auth}

    outcome = await push.send(stored({"endpoint": url, "keys": keys}), NOTICE)

    assert outcome == SendOutcome(status="refused", reason="endpoint_not_allowed")
    assert asked == []


async def test_a_vendors_name_that_leads_inside_is_not_called() -> None:
    """PU-02: the allow-list does not replace the check of the address."""
    browser = Browser.new()

    async def resolve(_name: str, _port: int) -> Sequence[str]:
        return ["10.0.0.1"]

    push = WebPush(
        vapid_key=KEY,
        said={"notify.subject": SUBJECT}.get,
        app_url="https://hub.example/",
        clock=Now(),
        way_out=Egress(resolve=resolve),
    )
    keys = {"p256dh": browser.p256dh, "auth": browser.auth}
    endpoint = "https://fcm.googleapis.com/fcm/send/x"

    outcome = await push.send(stored({"endpoint": endpoint, "keys": keys}), NOTICE)

    assert outcome == SendOutcome(status="refused", reason="address_refused")


async def test_loopback_needs_the_owners_word() -> None:
    """PU-02: the very endpoint that the tests use is refused where the setting is off."""
    async with service_at() as service:
        outcome = await sender(allow_private=False).send(stored(service.subscribe()), NOTICE)

    assert (outcome.status, service.attempts) == ("refused", [])


@pytest.mark.parametrize(
    "url",
    [
        "https://fcm.googleapis.com/fcm/send/x",
        "https://updates.push.services.mozilla.com/wpush/v2/x",
        "https://web.push.apple.com/x",
        "https://wns2-par02p.notify.windows.com/w/?token=x",
    ],
)
def test_the_four_vendors_need_no_entry(url: str) -> None:
    """The endpoints that real browsers give are allowed as they are."""
    assert endpoint_allowed(url)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", ""),
        ("not base64!", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("AAAA", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("B" + "A" * 86, "AAAAAAAAAAAAAAAAAAAAAA"),
        ("é" * 87, "AAAAAAAAAAAAAAAAAAAAAA"),
        (Browser.new().p256dh, "AAAA"),
    ],
    ids=["none", "no base64", "too short", "no point", "no ASCII", "a short secret"],
)
async def test_keys_that_are_none_are_refused(p256dh: str, auth: str) -> None:
    """A subscription with broken keys is an outcome, never an exception, and nothing is sent."""
    async with service_at() as service:
        endpoint = service.subscribe()["endpoint"]
        broken = stored({"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}})

        outcome = await sender().send(broken, NOTICE)

    assert outcome == SendOutcome(status="refused", reason="bad_keys")
    assert service.attempts == []


async def test_any_text_fits_into_what_services_carry() -> None:
    """PU-01: title and body are cut, so that the sealed message stays within 4096 bytes."""
    endless = dataclasses.replace(NOTICE, title="제" * 9999, body="목" * 9999)
    async with service_at() as service:
        outcome = await sender().send(stored(service.subscribe()), endless)
        [message] = await service.received(1)

    assert (outcome.status, len(message.ciphertext) <= 4096) == ("accepted", True)
    assert len(message.payload["notification"]["body"]) == 500


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "owner@deskhand.example",
        "mailto:root@localhost",
        "mailto:root@box.LOCAL",
        "https://localhost/",
        "https://localhost:3375",
        "http://hub.example/",
        "tel:123",
        "https://hub.example /x",
    ],
)
def test_a_contact_that_some_vendor_turns_away_cannot_be_set(subject: str) -> None:
    """Better a clear sentence at once than a 403 at the first notification."""
    with pytest.raises(DeskhandError) as caught:
        checked("notify.subject", subject)

    assert caught.value.code is Code.CONFIG_INVALID


async def test_a_web_address_is_a_good_contact() -> None:
    """Both forms of RFC 8292 pass the strict service."""
    assert checked("notify.subject", SUBJECT) == SUBJECT
    assert checked("notify.subject", "https://hub.local.example:8443/contact")
    async with service_at() as service:
        outcome = await sender(subject="https://hub.example/contact").send(stored(service.subscribe()), NOTICE)

    assert outcome.status == "accepted"


@pytest.mark.parametrize("key", ["", "no key", "-----BEGIN PRIVATE KEY-----\n"])
def test_a_broken_hub_key_is_told_at_start(key: str) -> None:
    """A key that cannot be read stops the start and does not appear in the message."""
    with pytest.raises(DeskhandError) as caught:
        sender(key=key)

    assert (caught.value.code, caught.value.detail) == (Code.CONFIG_INVALID, "push key")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("999999999999", 86400),
        ("-5", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 10:04:37 GMT", None),
    ],
)
def test_the_wait_of_a_vendor_is_read_and_bounded(value: str, seconds: int | None) -> None:
    """Seconds, never negative, never longer than a day; anything else says nothing, and our own waits hold."""
    answer = EgressResponse(status=429, headers={"retry-after": value}, body=b"")

    assert SendOutcome.answered(answer.status, answer.headers).retry_after_seconds == seconds


async def test_neither_logs_nor_outcomes_hold_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """PU-01: no log line at any level holds an endpoint path, a key, a token or a word of the notice."""
    caplog.set_level(logging.DEBUG)
    faults = [Answer(status=410), Answer(status=500), Answer(status=400), Answer(drop=True)]
    async with service_at() as service:
        subscription = stored(service.subscribe())
        service.answer_next(*faults)

        outcomes = [await sender().send(subscription, NOTICE) for _ in range(5)]
        refused = await sender(allow_private=False).send(subscription, NOTICE)

    said = caplog.text + repr((outcomes, refused, subscription))
    path = subscription.endpoint.rpartition("/")[2]
    token = service.attempts[-1].headers["authorization"].split("t=")[1].split(",")[0]
    secrets = [path, subscription.p256dh, subscription.auth, token, NOTICE.title, NOTICE.body]
    assert [one.status for one in outcomes] == ["gone", "retry", "refused", "retry", "accepted"]
    assert [secret for secret in secrets if secret in said] == []


def test_the_hub_starts_without_the_library() -> None:
    """Importing the adapter loads neither the push library nor an HTTP client."""
    program = (
        "import sys, deskhand.notify.webpush;"
        "print([name for name in ('webpush', 'jwt', 'httpcore', 'httpx') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

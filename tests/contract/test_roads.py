"""Every road to a person keeps the same promises, each against a real server on loopback."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deskhand import limits
from deskhand.clock import SystemClock
from deskhand.notify import roads
from deskhand.notify.roads import Apprise, Mail, Ntfy
from deskhand.ports import Notice, SendOutcome
from tests.contract.roads import APP, PASSWORD, Mood, keeping, open_road, post, settings, web

pytestmark = pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")  # apprise asks for it on old Pythons
ROADS = ("webpush", "ntfy", "mail", "apprise")
HTTP_ROADS = ("webpush", "ntfy")
NOTICE = Notice(
    id="dlv_1",
    tag="apr_1",
    title="Deskhand",
    body="A task waits for your decision. 승인",
    url_path="/#/threads/thr_1/tasks/tsk_1",
    urgency="high",
    ttl_seconds=900,
    waiting=("apr_1",),
)


@pytest.mark.parametrize("name", ROADS)
async def test_a_notice_is_taken_and_arrives_as_it_was_said(name: str) -> None:
    """R6: what a road calls accepted has arrived, whole and in any script."""
    async with open_road(name) as road:
        outcome = await road.notifier.send(road.subscription, NOTICE)

        assert (outcome.status, outcome.reason) == ("accepted", "accepted")
        assert road.taken() == [NOTICE.body]


@pytest.mark.parametrize(
    ("name", "mood", "expected"),
    [
        *((name, "busy", "retry") for name in ROADS),
        *((name, "refuses", "refused") for name in (*HTTP_ROADS, "mail")),
        *((name, "gone", "gone") for name in HTTP_ROADS),
        ("mail", "gone", "refused"),
        ("apprise", "refuses", "retry"),
    ],
)
async def test_a_no_is_told_from_a_not_now(name: str, mood: Mood, expected: str) -> None:
    """PU-03: what may pass is tried again and then arrives; a no for good is not; gone is its own word."""
    async with open_road(name) as road:
        road.next(mood)

        outcome = await road.notifier.send(road.subscription, NOTICE)
        again = await road.notifier.send(road.subscription, NOTICE)

        assert outcome.status == expected
        assert outcome.reason
        assert (again.status, len(road.taken())) == ("accepted", 1)


@pytest.mark.parametrize("name", HTTP_ROADS)
async def test_a_service_that_says_when_to_come_back_is_obeyed(name: str) -> None:
    """PU-03: 429 with Retry-After: the wait it asks for is the outcome's."""
    async with open_road(name) as road:
        road.next("limits")

        outcome = await road.notifier.send(road.subscription, NOTICE)

    assert (outcome.status, outcome.reason, outcome.retry_after_seconds) == ("retry", "rate_limited", 77)


@pytest.mark.parametrize("name", HTTP_ROADS)
async def test_a_service_that_never_answers_is_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R6: silence ends in a timeout that is tried again, not in a courier that stands."""
    monkeypatch.setattr(limits, "PUSH_SECONDS_MAX", 0.2)
    async with open_road(name) as road:
        road.next("hangs")

        outcome = await road.notifier.send(road.subscription, NOTICE)

    assert (outcome.status, outcome.reason) == ("retry", "timeout")


@pytest.mark.parametrize("name", ["ntfy", "mail", "apprise"])
async def test_a_service_that_is_not_there_is_tried_again(name: str) -> None:
    """R6: a refused connection is no refusal."""
    async with open_road(name) as road:
        notifier, subscription = road.notifier, road.subscription

    outcome = await notifier.send(subscription, NOTICE)

    assert outcome.status == "retry"


@pytest.mark.parametrize("name", ["ntfy", "mail", "apprise"])
async def test_no_secret_and_no_address_gets_into_a_log(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """SE-01: tokens, passwords, topics and addresses of people stay out, whatever happens."""
    with caplog.at_level(logging.DEBUG):
        async with open_road(name) as road:
            road.next("busy")
            await road.notifier.send(road.subscription, NOTICE)
            await road.notifier.send(road.subscription, NOTICE)
        await road.notifier.send(road.subscription, NOTICE)

    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("mail.")]  # aiosmtpd's own log
    for secret in (PASSWORD, "tk_secret-token", "my-topic", "you@example.org", "json://"):
        assert not any(secret in line for line in ours)


async def test_a_topic_gets_title_urgency_place_and_what_it_replaces() -> None:
    """The request is the server's own JSON; the token stands in its header and nowhere else."""
    with web() as server:
        said = settings(ntfy=f"http://127.0.0.1:{server.port}/base/my-topic")

        await Ntfy(said=said, secret=keeping("tk_secret-token"), app_url=APP, clock=SystemClock()).send(None, NOTICE)

    assert server.paths == ["/base/"]
    assert server.headers[0]["authorization"] == "Bearer tk_secret-token"
    assert json.loads(server.bodies[0]) == {
        "topic": "my-topic",
        "title": "Deskhand",
        "message": NOTICE.body,
        "priority": 4,
        "click": "https://hub.example/#/threads/thr_1/tasks/tsk_1",
        "sequence_id": "apr_1",
    }


@pytest.mark.parametrize(
    "url", ["http://ntfy.example/topic", "ftp://ntfy.example/topic", "https://169.254.169.254/t", "t"]
)
async def test_a_topic_elsewhere_than_on_an_encrypted_host_is_refused(url: str) -> None:
    """PU-02: plain http leaves the own network for nobody, and what must never be dialled is not."""
    outcome = await Ntfy(said=settings(ntfy=url), secret=keeping(None), app_url=APP, clock=SystemClock()).send(
        None, NOTICE
    )

    assert outcome.status in {"refused", "retry"}
    assert outcome.reason in {"address_refused", "unavailable"}


async def test_a_mail_is_one_plain_message_that_replaces_itself() -> None:
    """One id per delivery, one conversation per tag, no automatic answers, and a title cannot make a header."""
    evil = replace(NOTICE, title="Done\r\nBcc: x@evil.example")
    with post() as (office, port):
        said = settings(mail=f"smtp://me%40example.org@127.0.0.1:{port}", mail_to="you@example.org")
        road = Mail(said=said, secret=keeping(PASSWORD), app_url=APP, clock=SystemClock())

        outcome = await road.send(None, evil)

    [message] = office.mails
    assert outcome.status == "accepted"
    assert office.logins == [PASSWORD.encode()]
    assert message["Bcc"] is None
    assert "evil.example" in message["Subject"]
    assert (message["From"], message["To"]) == ("me@example.org", "you@example.org")
    assert (message["Message-ID"], message["References"]) == ("<dlv_1@deskhand.invalid>", "<apr_1@deskhand.invalid>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert "https://hub.example/#/threads/thr_1/tasks/tsk_1" in message.get_content()
    assert message["Date"].datetime.astimezone(UTC) <= datetime.now(UTC)  # noqa: TID251 - a mail of this very moment


async def test_a_password_leaves_this_machine_by_tls_only() -> None:
    """A server elsewhere without STARTTLS gets no word; ``127.1`` is a name as far as anybody can tell."""
    with post() as (office, port):
        said = settings(mail=f"smtp://me@127.1:{port}", mail_to="you@example.org")
        road = Mail(said=said, secret=keeping(PASSWORD), app_url=APP, clock=SystemClock())

        outcome = await road.send(None, NOTICE)

    assert outcome == SendOutcome(status="refused", reason="no_tls")
    assert (office.mails, office.logins) == ([], [])


def self_signed(folder: Path) -> Path:
    """Make a certificate for this machine, with its key in the same file."""
    file = folder / "server.pem"
    about = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-keyout", file.with_suffix(".key"), "-out", file, *about]
    subprocess.run(made, check=True, capture_output=True)
    file.write_text(file.with_suffix(".key").read_text() + file.read_text())
    return file


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_mail_server_has_to_be_who_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    """TLS is checked: a server with a certificate of its own making is trusted only where it was made known."""
    cert = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with post(ssl_context=context) as (office, port):
        said = settings(mail=f"smtps://me@127.0.0.1:{port}", mail_to="you@example.org")
        road = Mail(said=said, secret=keeping(PASSWORD), app_url=APP, clock=SystemClock())

        outcome = await road.send(None, NOTICE)

    assert outcome.status == ("accepted" if trusted else "retry")
    assert len(office.mails) == trusted


async def test_the_rest_of_the_world_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the notice is refused with a word for it."""

    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(roads, "import_module", missing)
    road = Apprise(said=settings(apprise=True), secret=keeping("json://127.0.0.1/"), app_url=APP, clock=SystemClock())

    outcome = await road.send(None, NOTICE)

    assert outcome == SendOutcome(status="refused", reason="not_installed")


def test_a_road_is_ready_where_it_leads_somewhere() -> None:
    """Nothing is planned for a road that nobody set up."""
    none, some = settings(), settings(ntfy="https://ntfy.example/t", mail="smtps://a", apprise=True)
    for kind in (Ntfy, Apprise):
        assert not kind(said=none, secret=keeping(None), app_url=APP, clock=SystemClock()).ready()
        assert kind(said=some, secret=keeping(None), app_url=APP, clock=SystemClock()).ready()
    assert not Mail(said=none, secret=keeping(None), app_url=APP, clock=SystemClock()).ready()
    assert Mail(said=some, secret=keeping(None), app_url=APP, clock=SystemClock()).ready()

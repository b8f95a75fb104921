"""The far ends of every road to a person, on loopback: each takes a notice, and fails as it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from typing_extensions import override

from deskhand.clock import SystemClock
from deskhand.notify.roads import Apprise, Mail, Ntfy
from deskhand.notify.webpush import WebPush, public_key_b64url
from deskhand.ports import Notifier, PushSubscription
from deskhand.protocol.signing import new_key
from deskhand.secret import Secret
from deskhand.testing.push.service import Answer, FakePushService

Mood = Literal["refuses", "busy", "gone", "hangs", "limits"]
APP = "https://hub.example/"
HTTP: dict[Mood, int] = {"refuses": 403, "busy": 503, "gone": 410, "limits": 429}
PASSWORD = "dhp-roads-password-1f"


@dataclass(kw_only=True)
class Road:
    """A road with what is at its end: ``taken`` is what arrived, ``next`` lets the far end fail once."""

    notifier: Notifier
    subscription: PushSubscription | None = None
    taken: Callable[[], list[str]]
    next: Callable[[Mood], object]


@dataclass
class Server:
    """A web server that answers as told and keeps what it took."""

    moods: deque[Mood] = field(default_factory=deque[Mood])
    bodies: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    paths: list[str] = field(default_factory=list[str])
    freed: threading.Event = field(default_factory=threading.Event)
    port: int = 0


@contextmanager
def web() -> Generator[Server]:
    """Serve until the block ends."""
    kept = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            kept.paths.append(self.path)
            kept.headers.append({name.lower(): value for name, value in self.headers.items()})
            mood = kept.moods.popleft() if kept.moods else None
            if mood == "hangs":
                kept.freed.wait(5)
                return
            if mood is None:
                kept.bodies.append(body)
            self.send_response(HTTP[mood] if mood else 200)
            self.send_header("Retry-After", "77")
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Write no log: it would name topics."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        kept.freed.set()
        server.shutdown()
        server.server_close()
        thread.join()


class PostOffice:
    """A mail server's rules: it answers as told and keeps what it took."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.moods: deque[Mood] = deque()
        self.mails: list[EmailMessage] = []
        self.logins: list[bytes] = []
        self.freed = threading.Event()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - their name
        """Take a message, or not."""
        del server, session
        mood = self.moods.popleft() if self.moods else None
        if mood in {"refuses", "gone"}:
            return "550 no such mailbox"
        if mood is not None:
            return "451 come back later"
        self.mails.append(message_from_bytes(cast("bytes", envelope.content), policy=policy.default))
        return "250 taken"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:  # noqa: ANN401 - their type
        """Take whoever knows the password."""
        del server, session, envelope, mechanism
        self.logins.append(data.password)
        return AuthResult(success=data.password == PASSWORD.encode())


@contextmanager
def post(**how: Any) -> Generator[tuple[PostOffice, int]]:  # noqa: ANN401 - their options
    """Serve mail until the block ends."""
    office = PostOffice()
    options: dict[str, Any] = {"auth_require_tls": False, "authenticator": office.authenticate, **how}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    controller = Controller(office, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield office, port
    finally:
        controller.stop()


def settings(**values: object) -> Callable[[str], object]:
    """Return settings as ``config.toml`` would give them."""
    return lambda name: values.get(name.removeprefix("notify."), "")


def keeping(value: str | None) -> Callable[[str], Secret | None]:
    """Return secrets of which every one is this."""
    return lambda name: Secret(name, value) if value else None


def stored(subscribed: Mapping[str, Any], *, account: str = "acc_1", device: str = "dev_1") -> PushSubscription:
    """Return a browser's subscription as the hub keeps it."""
    about = {"id": f"sub_{device}", "account": account, "device": device, "endpoint": subscribed["endpoint"]}
    return PushSubscription(**about, **subscribed["keys"])


@asynccontextmanager
async def open_road(name: str) -> AsyncGenerator[Road]:
    """Have one road with its far end."""
    if name == "webpush":
        async with FakePushService() as service:
            key = new_key()
            sub = service.subscribe(public_key_b64url(key))
            how = settings(subject="mailto:owner@deskhand.example", allow_private_endpoints=True)
            yield Road(
                notifier=WebPush(vapid_key=key, said=how, app_url=APP, clock=SystemClock()),
                subscription=stored(sub),
                taken=lambda: [message.payload["notification"]["body"] for message in service.messages],
                next=lambda mood: service.answer_next(
                    Answer(status=HTTP.get(mood, 503), headers={"Retry-After": "77"}, hang=mood == "hangs")
                ),
            )
    elif name == "mail":
        with post() as (office, port):
            said = settings(mail=f"smtp://me%40example.org@127.0.0.1:{port}", mail_to="you@example.org")
            yield Road(
                notifier=Mail(said=said, secret=keeping(PASSWORD), app_url=APP, clock=SystemClock()),
                taken=lambda: [mail.get_content().splitlines()[0] for mail in office.mails],
                next=office.moods.append,
            )
    else:
        with web() as server:
            here = f"127.0.0.1:{server.port}"
            ntfy = Ntfy(
                said=settings(ntfy=f"http://{here}/my-topic"),
                secret=keeping("tk_secret-token"),
                app_url=APP,
                clock=SystemClock(),
            )
            other = Apprise(
                said=settings(apprise=True), secret=keeping(f"json://{here}/x"), app_url=APP, clock=SystemClock()
            )
            yield Road(
                notifier=ntfy if name == "ntfy" else other,
                taken=lambda: [json.loads(body)["message"].splitlines()[0] for body in server.bodies],
                next=server.moods.append,
            )

"""A push service on loopback that behaves like a vendor's, and the browser behind it that decrypts.

It subscribes with real P-256 keys, checks what RFC 8030, 8188, 8291 and 8292 ask of a sender (headers, VAPID token,
record), decrypts with code of its own, keeps what came, and can be told to fail. It refuses to be lenient: a message
that a strict vendor or browser would not take is answered as they would, and it shares no code with the sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import h11

from deskhand.clock import Clock, SystemClock
from deskhand.testing.push.crypto import Browser, UnreadableError, verify_vapid

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_URGENCIES = {"very-low", "low", "normal", "high"}
_BODY_BYTES_MAX = 4096
_HEAD_AND_BODY_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service does with one message instead of accepting it.

    ``hang`` never answers; ``drop`` cuts the connection after reading; ``flood`` sends that many bytes of body.
    """

    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    flood: int = 0
    hang: bool = False
    drop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request as it stood on the wire, whatever became of it. ``status`` is 0 where nothing was answered."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One accepted message, decrypted by the browser that subscribed."""

    endpoint: str
    headers: Mapping[str, str]
    claims: Mapping[str, Any]
    ciphertext: bytes
    text: str

    @property
    def payload(self) -> dict[str, Any]:
        """Return the decrypted JSON object."""
        return json.loads(self.text)

    @property
    def tag(self) -> str:
        """Return the tag by which a browser replaces one notification with the next."""
        return str(self.payload["notification"]["tag"])


@dataclass(slots=True, kw_only=True)
class _Subscription:
    endpoint: str
    browser: Browser
    sender_key: str | None
    gone: bool = False


class FakePushService:
    """A push service to be used as ``async with FakePushService() as service``.

    Args:
        clock: judges the expiry of tokens.
        port: 0 picks a free one.
        chance: a seeded source; with it, each message fails with ``failure_rate``.
        failure_rate: between 0 and 1.
        failure: what such a failure looks like.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        port: int = 0,
        chance: random.Random | None = None,
        failure_rate: float = 0.0,
        failure: Answer | None = None,
    ) -> None:
        """Keep the settings; ``start`` opens the socket."""
        self.messages: list[Received] = []
        self.unreadable: list[str] = []
        self.attempts: list[Attempt] = []
        self._clock = clock or SystemClock()
        self._port = port
        self._chance = chance
        self._failure_rate = failure_rate
        self._failure = failure or Answer(status=503)
        self._planned: deque[Answer] = deque()
        self._subscriptions: dict[str, _Subscription] = {}
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Open the loopback socket."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the socket and every connection, also those that hang."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def origin(self) -> str:
        """Return ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self._port}"

    def subscribe(self, sender_key: str | None = None) -> dict[str, Any]:
        """Return what ``PushSubscription.toJSON()`` gives; with ``sender_key`` only that VAPID key may send."""
        browser = Browser.new()
        path = f"/push/{browser.token}"
        self._subscriptions[path] = _Subscription(endpoint=self.origin + path, browser=browser, sender_key=sender_key)
        keys = {"p256dh": browser.p256dh, "auth": browser.auth}
        return {"endpoint": self.origin + path, "expirationTime": None, "keys": keys}

    def unsubscribe(self, endpoint: str) -> None:
        """Answer 410 for ``endpoint`` from now on."""
        self._subscriptions[endpoint.removeprefix(self.origin)].gone = True

    def answer_next(self, *answers: Answer) -> None:
        """Use up ``answers``, one per message, before accepting again."""
        self._planned.extend(answers)

    async def received(self, count: int = 1) -> list[Received]:
        """Wait until ``count`` messages were accepted and decrypted, and return all of them."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.messages) >= count)
        return list(self.messages)

    async def attempted(self, count: int = 1) -> list[Attempt]:
        """Wait until ``count`` requests were read, whatever became of them."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.attempts) >= count)
        return list(self.attempts)

    def shown(self) -> dict[tuple[str, str], Received]:
        """Return what stands on the screens: per endpoint and tag the latest message."""
        return {(message.endpoint, message.tag): message for message in self.messages}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._serving[task] = writer
        try:
            request = await _read_request(reader)
            if request is not None:
                await self._answer(writer, *request)
        except ConnectionError:
            pass  # the sender went away, as senders do
        finally:
            self._serving.pop(task)
            writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> None:
        answer = self._fault() or self._judge(method, path, headers, body)
        silent = answer.hang or answer.drop
        status = 0 if silent else answer.status
        async with self._changed:
            self.attempts.append(Attempt(path=path, headers=headers, body=body, status=status))
            self._changed.notify_all()
        if answer.drop:
            writer.transport.abort()
        elif answer.hang:
            await _until_closed(writer)
        else:
            await _write_answer(writer, answer)

    def _fault(self) -> Answer | None:
        if self._planned:
            return self._planned.popleft()
        if self._chance is not None and self._chance.random() < self._failure_rate:
            return self._failure
        return None

    def _judge(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        subscription = self._subscriptions.get(path)
        if subscription is None:
            return Answer(status=404)
        if subscription.gone:
            return Answer(status=410)
        problem = _problem(method, headers, body)
        if problem is not None:
            return Answer(status=problem)
        claims = verify_vapid(
            headers["authorization"],
            audience=self.origin,
            sender_key=subscription.sender_key,
            now=self._clock.now().timestamp(),
        )
        if claims is None:
            return Answer(status=403)
        self._deliver(subscription, headers, claims, body)
        # Vendors name the message after the subscription, so a log of this header would leak it.
        message = f"{subscription.endpoint}/message/{len(self.attempts)}"
        return Answer(status=201, headers={"Location": message})

    def _deliver(
        self, subscription: _Subscription, headers: dict[str, str], claims: dict[str, Any], body: bytes
    ) -> None:
        """Hand over to the browser: the service cannot know whether it can read the message."""
        try:
            text = subscription.browser.decrypt(body).decode("utf-8")
        except (UnreadableError, UnicodeDecodeError) as error:
            self.unreadable.append(str(error))
            return
        self.messages.append(
            Received(endpoint=subscription.endpoint, headers=headers, claims=claims, ciphertext=body, text=text)
        )


def _problem(method: str, headers: Mapping[str, str], body: bytes) -> int | None:
    """Return the status that a message deserves before its token is looked at."""
    if method != "POST":
        return 405
    if len(body) > _BODY_BYTES_MAX:
        return 413
    if not _well_formed(headers):
        return 400
    return None if "authorization" in headers else 401


def _well_formed(headers: Mapping[str, str]) -> bool:
    topic = headers.get("topic")
    return (
        headers.get("content-encoding") == "aes128gcm"
        and headers.get("ttl", "").isdecimal()
        and headers.get("urgency", "normal") in _URGENCIES
        and (topic is None or _TOPIC.fullmatch(topic) is not None)
    )


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes] | None:
    """Return method, path, headers and body of the one request on a connection."""
    parser = h11.Connection(our_role=h11.SERVER, max_incomplete_event_size=_HEAD_AND_BODY_BYTES_MAX)
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_HEAD_AND_BODY_BYTES_MAX)
            parser.receive_data(data)
            if not data and head is None:
                return None
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            break
    if head is None:
        return None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return head.method.decode("ascii"), head.target.decode("ascii"), headers, bytes(body)


async def _write_answer(writer: asyncio.StreamWriter, answer: Answer) -> None:
    lines = [f"HTTP/1.1 {answer.status} Status", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append(f"Content-Length: {answer.flood}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    async for chunk in _zeros(answer.flood):
        writer.write(chunk)
        await writer.drain()
    await writer.drain()


async def _zeros(count: int) -> AsyncIterator[bytes]:
    while count > 0:
        size = min(count, 1 << 16)
        count -= size
        yield bytes(size)


async def _until_closed(writer: asyncio.StreamWriter) -> None:
    """Return when the other side, or ``stop``, has closed the connection."""
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()

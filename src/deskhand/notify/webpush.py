"""Web Push: one notice, sealed for one browser, handed to that browser's vendor.

Encryption (RFC 8291) is the library's; the VAPID token (RFC 8292) is signed by PyJWT, because the library's own leaves
the port out of the audience. The vendor sees a time, a size bucket and a hashed topic, never a word. It refuses to
call anything but the known vendors (and, where the owner says so, the own network), to follow a redirect, to hand an answer of the
service to anybody, and to log anything: what became of a notice stands in the ledger.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urljoin

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from deskhand import egress, limits
from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.notify import posted
from deskhand.ports import Notice, PushSubscription, SendOutcome

VENDORS: Final = (
    "fcm.googleapis.com",  # Chrome, Edge on Android, Brave, Opera, Samsung
    "push.services.mozilla.com",
    "push.apple.com",
    "notify.windows.com",
)
"""Hosts (and everything below them) that browsers of the four vendors use."""

_DECLARATIVE = 8030
_TOKEN_SECONDS = 12 * 3600
_TOPIC_CHARS = 32
_POINT_BYTES, _SECRET_BYTES = 65, 16


class WebPush:
    """Sends notices to browsers.

    Args:
        vapid_key: the hub's P-256 key as PEM, made once; another key voids every subscription.
        said: what the account's settings say now: ``notify.subject``, the contact that vendors may use, and
            ``notify.allow_private_endpoints``, which admits addresses of the own network and plain http to them.
        app_url: where a tap leads.
        clock: dates the tokens.
        way_out: the way out; one with the rules of the settings unless given.

    Raises:
        DeskhandError: ``config_invalid``, for a key that is none.
    """

    name = "webpush"

    def __init__(
        self,
        *,
        vapid_key: str,
        said: Callable[[str], object],
        app_url: str,
        clock: Clock,
        way_out: egress.Egress | None = None,
    ) -> None:
        self._key, self._clock, self._given = _load_key(vapid_key), clock, way_out
        self._said, self._app_url = said, app_url
        self.public_key = public_key_b64url(vapid_key)

    def allows(self, url: str) -> bool:
        """Say whether a browser may register this endpoint."""
        return endpoint_allowed(url, allow_private=bool(self._said("notify.allow_private_endpoints")))

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Seal ``notice`` for the browser and hand it to its vendor; every failure is an outcome, none is raised."""
        if subscription is None:
            return SendOutcome(status="gone", reason="unsubscribed")
        if not self.allows(subscription.endpoint):
            return SendOutcome(status="refused", reason="endpoint_not_allowed")
        payload = payload_of(notice, app_url=self._app_url)
        try:
            # Off the loop: the first one imports the library (0.3 s), each one is about a millisecond of arithmetic.
            body = await asyncio.to_thread(_seal, payload, subscription)
            token = await asyncio.to_thread(self._token, subscription.endpoint)
        except ValueError:
            return SendOutcome(status="refused", reason="bad_keys")
        headers = {
            "Authorization": f"vapid t={token}, k={self.public_key}",
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(min(max(0, int(notice.ttl_seconds)), limits.PUSH_TTL_SECONDS_MAX)),
            "Topic": topic_of(notice.tag),
            "Urgency": notice.urgency,
        }
        private = {egress.ANY_PRIVATE} if self._said("notify.allow_private_endpoints") else ()
        way_out = self._given or egress.Egress(allowed=frozenset(private))
        return await posted(way_out, subscription.endpoint, headers=headers, body=body)

    def _token(self, endpoint: str) -> str:
        import jwt  # noqa: PLC0415 - loaded with the library, never at start

        claims: dict[str, Any] = {
            "aud": egress.parse_target(endpoint).origin,
            "exp": int(self._clock.now().timestamp()) + _TOKEN_SECONDS,
            "sub": self._said("notify.subject"),
        }
        return jwt.encode(claims, self._key, algorithm="ES256")


def public_key_b64url(vapid_key: str) -> str:
    """Return what the page gives to ``pushManager.subscribe``; ``config_invalid`` for what is no P-256 key."""
    public = _load_key(vapid_key).public_key()
    point = public.public_bytes(form.Encoding.X962, form.PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode("ascii")


def endpoint_allowed(url: str, *, allow_private: bool = False) -> bool:
    """Say whether a browser may register this endpoint and whether we may call it (the address is judged later)."""
    try:
        target = egress.parse_target(url)
    except DeskhandError:
        return False
    literal = target.literal
    if literal is not None or target.host == "localhost":
        return allow_private and (literal is None or egress.reach_of(literal) == "private")
    known = any(target.host == vendor or target.host.endswith(f".{vendor}") for vendor in VENDORS)
    return known and target.origin == f"https://{target.host}"


def payload_of(notice: Notice, *, app_url: str) -> bytes:
    """Return the declarative message, which the worker reads too, padded so that its size tells little."""
    message: dict[str, Any] = {
        "web_push": _DECLARATIVE,
        "notification": {
            "title": notice.title[: limits.PUSH_TITLE_CHARS_MAX],
            "body": notice.body[: limits.PUSH_TEXT_CHARS_MAX],
            "tag": notice.tag,
            "navigate": urljoin(app_url, notice.url_path),
            "data": {"delivery": notice.id, "waiting": notice.waiting[: limits.PUSH_WAITING_MAX]},
        },
        "app_badge": len(notice.waiting),
        "mutable": True,  # lets the worker acknowledge where the browser would show it alone
    }
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return text + b" " * (-len(text) % limits.PUSH_PAD_BYTES)


def topic_of(tag: str) -> str:
    """Return the header by which the service replaces an undelivered message: a hash, so it names nothing."""
    digest = hashlib.sha256(tag.encode("utf-8")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")[:_TOPIC_CHARS]


def _seal(payload: bytes, subscription: PushSubscription) -> bytes:
    """Encrypt for the browser. The key made here signs only the library's token, which is thrown away.

    Raises:
        ValueError: the browser's keys are none.
    """
    import webpush.types as push  # noqa: PLC0415 - 0.3 s, never at start  # pyright: ignore[reportMissingTypeStubs]
    import webpush.vapid  # noqa: PLC0415 - as above  # pyright: ignore[reportMissingTypeStubs]

    keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
    sizes = [len(base64.urlsafe_b64decode(f"{key}===")) for key in keys.values()]
    if sizes != [_POINT_BYTES, _SECRET_BYTES]:
        raise ValueError(subscription.id)
    to = push.WebPushSubscription.model_validate({"endpoint": subscription.endpoint, "keys": keys})
    private, public, _ = webpush.vapid.VAPID.generate_keys()
    sealer = webpush.WebPush(private_key=private, public_key=public, subscriber="unused@a.example")
    return sealer.get(payload, to).encrypted


def _load_key(vapid_key: str) -> ec.EllipticCurvePrivateKey:
    with contextlib.suppress(ValueError, TypeError):
        key = form.load_pem_private_key(vapid_key.encode(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return key
    raise DeskhandError(Code.CONFIG_INVALID, "push key")

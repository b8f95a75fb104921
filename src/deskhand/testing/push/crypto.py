"""What a browser and a push service do with keys: decrypt RFC 8291 messages and verify RFC 8292 tokens.

For tests and the demo only. Written against the RFCs with plain primitives and on purpose without the library that
the sender uses, so that both cannot share one mistake. It refuses to send anything.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self, cast

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_TOKEN_SECONDS_MAX = 24 * 3600
_SALT, _SIZE, _LENGTH = 16, 4, 1
_HEAD = _SALT + _SIZE + _LENGTH
_HALF = 32


class Flaw(StrEnum):
    """Why a message cannot be read."""

    HEADER = "header"
    RECORDS = "more than one record"
    SENDER_KEY = "sender key"
    TAG = "not for this key, or changed"
    PADDING = "padding"


class UnreadableError(Exception):
    """The browser cannot decrypt the message: it would show nothing, or a default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """The receiving end of one subscription."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    secret: bytes = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Make keys as a browser does when it subscribes."""
        return cls(
            key=ec.generate_private_key(ec.SECP256R1()), secret=secrets.token_bytes(16), token=secrets.token_urlsafe(32)
        )

    @property
    def p256dh(self) -> str:
        """Return the public key as a subscription carries it."""
        return b64url(point(self.key.public_key()))

    @property
    def auth(self) -> str:
        """Return the shared secret as a subscription carries it."""
        return b64url(self.secret)

    def decrypt(self, body: bytes) -> bytes:
        """Return the plain text of one aes128gcm record (RFC 8188, 8291).

        Raises:
            UnreadableError: the message is not for this key, was changed, or is not one record.
        """
        if len(body) < _HEAD or len(body) < _HEAD + body[_HEAD - 1]:
            raise UnreadableError(Flaw.HEADER)
        salt, sender_point = body[:_SALT], body[_HEAD : _HEAD + body[_HEAD - 1]]
        record = body[_HEAD + len(sender_point) :]
        if len(record) > int.from_bytes(body[_SALT : _SALT + _SIZE]):
            raise UnreadableError(Flaw.RECORDS)
        try:
            sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender_point)
        except ValueError as error:
            raise UnreadableError(Flaw.SENDER_KEY) from error
        shared = self.key.exchange(ec.ECDH(), sender)
        both = point(self.key.public_key()) + sender_point
        material = _derive(shared, salt=self.secret, info=b"WebPush: info\0" + both, length=32)
        key = _derive(material, salt=salt, info=b"Content-Encoding: aes128gcm\0", length=16)
        nonce = _derive(material, salt=salt, info=b"Content-Encoding: nonce\0", length=12)
        try:
            padded = AESGCM(key).decrypt(nonce, record, None)
        except InvalidTag as error:
            raise UnreadableError(Flaw.TAG) from error
        text = padded.rstrip(b"\0")
        if not text.endswith(b"\x02"):  # the mark of the last record
            raise UnreadableError(Flaw.PADDING)
        return text[:-1]


def verify_vapid(authorization: str, *, audience: str, sender_key: str | None, now: float) -> dict[str, Any] | None:
    """Return the claims of a valid ``vapid t=..., k=...`` header, else nothing."""
    scheme, _, rest = authorization.partition(" ")
    pairs = (part.strip().partition("=") for part in rest.split(","))
    parts = {name: value for name, _, value in pairs}
    if scheme.lower() != "vapid" or not {"t", "k"} <= parts.keys():
        return None
    if sender_key is not None and parts["k"] != sender_key:
        return None
    try:
        claims = _signed_claims(parts["t"], parts["k"])
        expires = float(claims["exp"])
    except (ValueError, KeyError, TypeError, InvalidSignature):
        return None
    subject = str(claims.get("sub", ""))
    # Apple turns away a subject that no operator can be reached by.
    reachable = subject.startswith(("mailto:", "https://")) and not subject.endswith("localhost")
    fresh = now < expires <= now + _TOKEN_SECONDS_MAX
    return claims if fresh and reachable and claims.get("aud") == audience else None


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the 65 bytes of an uncompressed point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def b64url(data: bytes) -> str:
    """Return URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """Return the bytes of unpadded URL-safe base64.

    Raises:
        ValueError: other characters, or padding.
    """
    if "=" in text:
        raise ValueError(text)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


def _signed_claims(token: str, key: str) -> dict[str, Any]:
    signed, _, signature_text = token.rpartition(".")
    header_text, _, claims_text = signed.partition(".")
    signature = unb64url(signature_text)
    header = cast("dict[str, Any]", json.loads(unb64url(header_text)))
    if header.get("alg") != "ES256" or len(signature) != 2 * _HALF:
        raise ValueError(header)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64url(key))
    r, s = int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:])
    public.verify(utils.encode_dss_signature(r, s), signed.encode("ascii"), ec.ECDSA(hashes.SHA256()))
    return cast("dict[str, Any]", json.loads(unb64url(claims_text)))


def _derive(material: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(material)

"""Signed statements: a device's yes to exactly one action, and its word for another device (security 1.1).

The bytes that are signed travel beside the signature, so that there is no canonical spelling to argue about; the public
key travels too, and counts only where its fingerprint is trusted. It refuses every key but P-256, and a statement that
says anything else than what was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from deskhand.errors import DeskhandError
from deskhand.protocol.wire import Json, JsonObject, Wire, strict_json

Risk = Literal["low", "medium", "high"]
Prefix = Literal["deskhand-approval-v1\0", "deskhand-certify-v1\0", "deskhand-hub-v1\0"]
APPROVAL: Final[Prefix] = "deskhand-approval-v1\0"
CERTIFY: Final[Prefix] = "deskhand-certify-v1\0"
HUB: Final[Prefix] = "deskhand-hub-v1\0"
_RISKS: Final = ("low", "medium", "high")
_HALF: Final = 32


class Signed(Wire):
    """A statement with its signature (r and s, base64url) and the key it was made with (SPKI, base64url)."""

    statement: str | None = None
    signature: str | None = None
    key: str | None = None


def must_sign(risk: Risk, scope: str, hub_trust: Risk) -> bool:
    """Return whether a yes counts only if a trusted device signed it: above ``hub_trust``, or one that stays."""
    return (scope == "always" and hub_trust != "high") or _RISKS.index(risk) > _RISKS.index(hub_trust)


def fingerprint_of(key: str) -> str:
    """Return what people compare and computers pin of a public key: half of its SHA-256, in hex."""
    return hashlib.sha256(_bytes(key)).hexdigest()[:_HALF]


def approval_statement(
    approval: Mapping[str, Json], *, account: str, decision: str, scope: str, device: str
) -> JsonObject:
    """Return what is signed to decide an approval; of one that stays also for what and how long."""
    stays = ("pattern", "until") if scope == "always" else ()
    return {
        "account": account,
        **{name: approval[name] for name in ("runner", "task", "epoch")},
        "approval": approval["id"],
        **{name: approval[name] for name in ("nonce", "action_sha256")},
        "decision": decision,
        "scope": scope,
        **{name: approval[name] for name in stays if name in approval},
        "device": device,
    }


def certify_statement(*, account: str, device: str, fingerprint: str, runner: str) -> JsonObject:
    """Return what is signed to let a device approve on one computer, or on all (``*``)."""
    return {"account": account, "device": device, "fingerprint": fingerprint, "runner": runner}


def hub_of(said: Json, nonce: str) -> str:
    """Return the fingerprint of the hub that signed what was asked of it just now; empty where none did."""
    proof = Signed.from_json(said)
    return fingerprint_of(proof.key or "") if holds(proof, HUB, {"nonce": nonce}) else ""


def new_key() -> str:
    """Return a private key as PEM."""
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*pem).decode()


def sign(prefix: Prefix, said: JsonObject, pem: str) -> Signed:
    """Return a statement, signed.

    Raises:
        ValueError: the key is none of ours.
    """
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")  # noqa: TRY004 - what the file says, not who called
    statement = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    der = key.sign((prefix + statement).encode(), ec.ECDSA(hashes.SHA256()))
    halves = (number.to_bytes(_HALF, "big") for number in utils.decode_dss_signature(der))
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Signed(statement=statement, signature=_text(b"".join(halves)), key=_text(public))


def holds(signed: Signed, prefix: Prefix, said: JsonObject) -> bool:
    """Return whether exactly this is stated, and signed with the key that came along. Whose key that is, it says not."""
    statement, raw = (signed.statement or "").encode(), _bytes(signed.signature or "")
    try:
        key = serialization.load_der_public_key(_bytes(signed.key or ""))
        if not isinstance(key, ec.EllipticCurvePublicKey) or len(raw) != 2 * _HALF:
            return False
        r, s = int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big")
        key.verify(utils.encode_dss_signature(r, s), prefix.encode() + statement, ec.ECDSA(hashes.SHA256()))
        return isinstance(key.curve, ec.SECP256R1) and strict_json(statement) == said
    except (DeskhandError, InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False


def _bytes(text: str) -> bytes:
    """Return what base64url says; what is none says nothing that could be trusted."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

"""Statements and signatures that the page, the command line and a computer agree on (security 1.1)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from deskhand.protocol import signing
from deskhand.protocol.signing import APPROVAL, CERTIFY, Signed

SHARED: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "signing.json").read_text(encoding="utf-8")
)
SAID: Final = {
    scope: signing.approval_statement(SHARED["approval"], decision="allow", scope=scope, **SHARED["who"])
    for scope in ("once", "always")
}
RISKS: Final[tuple[signing.Risk, ...]] = ("low", "medium", "high")


def test_the_page_and_python_build_the_same_statements() -> None:
    """The file that the page's tests read holds them byte for byte, Korean too."""
    certificate = signing.certify_statement(account=SHARED["who"]["account"], **SHARED["certificate"])
    pem = signing.new_key()

    built = [signing.sign(APPROVAL, said, pem).statement for said in SAID.values()]
    built.append(signing.sign(CERTIFY, certificate, pem).statement)

    assert built == [SHARED["signed"][name]["statement"] for name in ("once", "always", "certify")]
    assert "한글" in (built[1] or "")


def test_what_a_browser_signed_holds() -> None:
    """Made by WebCrypto, verified here; for its own purpose and its own words only."""
    signed = Signed.from_json(SHARED["by_a_browser"])

    assert signing.holds(signed, APPROVAL, SAID["always"])
    assert not signing.holds(signed, CERTIFY, SAID["always"])
    assert not signing.holds(signed, APPROVAL, SAID["once"])
    assert not signing.holds(signed, APPROVAL, SAID["always"] | {"more": 1})


def test_a_fingerprint_is_the_same_on_both_sides() -> None:
    """People compare it on two screens, so it is 32 signs on each."""
    fingerprint = signing.fingerprint_of(SHARED["signed"]["once"]["key"])

    assert (fingerprint, len(fingerprint)) == (SHARED["fingerprint"], 32)


@pytest.mark.parametrize("scope", ["once", "task", "always"])
def test_what_must_be_signed_follows_from_risk_scope_and_trust(scope: str) -> None:
    """Above ``hub_trust``; for always wherever the hub is not believed in all; with ``high`` never."""
    found = {(risk, trust): signing.must_sign(risk, scope, trust) for risk in RISKS for trust in RISKS}

    above = {(risk, trust) for risk, trust in found if RISKS.index(risk) > RISKS.index(trust)}
    stays = {(risk, trust) for risk, trust in found if scope == "always" and trust != "high"}
    assert {pair for pair, must in found.items() if must} == above | stays


def _spki(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_bytes(serialization.Encoding.DER, form)
    return base64.urlsafe_b64encode(der).decode()


@pytest.mark.parametrize(
    "bent",
    [
        {"key": _spki(ec.generate_private_key(ec.SECP384R1()).public_key())},
        {"key": _spki(ed25519.Ed25519PrivateKey.generate().public_key())},
        {"key": "AAAA"},
        {"key": None},
        {"signature": None},
        {"signature": "AAAA"},
        {"signature": "A" * 86},
        {"statement": None},
        {"statement": '{"account":"acc_1","account":"acc_1"}'},
    ],
)
def test_nothing_else_than_a_p256_signature_holds(bent: dict[str, str | None]) -> None:
    """Other curves, kinds of keys, lengths and bytes are refused, never an error."""
    signed = signing.sign(APPROVAL, SAID["once"], signing.new_key()).but(**bent)

    assert not signing.holds(signed, APPROVAL, SAID["once"])

"""A device of the owner's as far as it signs: its key, and what it says with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from deskhand.protocol import signing
from deskhand.protocol.events import ApprovalDecided, DeviceCertified
from deskhand.protocol.tasks import Approval
from deskhand.protocol.wire import Json, JsonObject
from tests.laptop import ACCOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One device with one key."""

    device: str = "dev_phone"
    account: str = ACCOUNT
    pem: str = field(default_factory=signing.new_key)

    @property
    def fingerprint(self) -> str:
        """Return what its screen shows of its key."""
        return signing.fingerprint_of(signing.sign(signing.CERTIFY, {}, self.pem).key or "")

    def yes(self, approval: Approval, *, scope: str = "once", **otherwise: Json) -> ApprovalDecided:
        """Return its signed yes; ``otherwise`` is what the statement says instead of the truth."""
        about = {"account": self.account, "device": self.device}
        said = signing.approval_statement(approval.to_json(), decision="allow", scope=scope, **about)
        body: dict[str, Any] = {
            "approval": approval.id,
            "decision": "allow",
            "scope": scope,
            "action_sha256": approval.action_sha256,
            "device": self.device,
        }
        signed = signing.sign(signing.APPROVAL, said | otherwise, self.pem)
        return ApprovalDecided.from_json(body | signed.to_json())

    def word_for(self, other: Signer) -> DeviceCertified:
        """Return its signed word that another device may approve on every computer."""
        about = {"device": other.device, "fingerprint": other.fingerprint, "runner": "*"}
        said = signing.certify_statement(account=self.account, **about)
        return DeviceCertified.from_json(about | self.signs(said))

    def signs(self, said: JsonObject) -> JsonObject:
        """Return any certificate, signed."""
        return signing.sign(signing.CERTIFY, said, self.pem).to_json()

    def named(self, device: str) -> Signer:
        """Return the same key as another device's."""
        return replace(self, device=device)

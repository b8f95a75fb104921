"""Who belongs to the account: admitting a device that asks, and taking every right from one.

Admitting only records the yes; the device gets its credential when it claims with its own secret (``pairing``).
"""

from __future__ import annotations

from deskhand.core.drafting import Decision, Draft, Wish
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Tx
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Device, PairRequest
from deskhand.protocol.ops import DeviceAdmit, DeviceRevoke


def decide_request(tx: Tx, wish: Wish, body: DeviceAdmit) -> Decision:
    """Say yes or no to a device that asks to join.

    Raises:
        DeskhandError: ``not_found``, ``already_decided``.
    """
    request = tx.get(PairRequest, body.request)
    if request is None:
        raise DeskhandError(Code.NOT_FOUND, body.request, field="request")
    if request.state != "waiting":
        raise DeskhandError(Code.ALREADY_DECIDED, request.state)
    decided = ev.PairDecided(request=request.id, state="admitted" if body.admit else "refused")
    draft = Draft(body=decided, actor=wish.principal.id, audience="owner")
    return Decision(drafts=(draft,), id=request.id)


def revoke_device(tx: Tx, wish: Wish, body: DeviceRevoke) -> Decision:
    """Take token, streams, pushes and leases from a device at once (PA-07).

    Raises:
        DeskhandError: ``not_found``; ``illegal_state`` for the device that asks, which would lock itself out.
    """
    device = tx.get(Device, body.device)
    if device is None or device.state == "revoked":
        raise DeskhandError(Code.NOT_FOUND, body.device, field="device")
    if device.id == wish.principal.id:
        raise DeskhandError(Code.ILLEGAL_STATE, "a device cannot revoke itself")
    tx.revoke_credentials(device.id)
    revoked = ev.DeviceRevoked(device=device.id)
    return Decision(drafts=(Draft(body=revoked, actor=wish.principal.id),), id=device.id)

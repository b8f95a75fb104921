"""How the command line signs: its own key beside the owner's credential, and what it says with it (security 1.1).

The key is made when it is first needed and never leaves this home. It refuses a key file that others may read.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from deskhand.cli.home import home, local_runner
from deskhand.cli.screen import Obj, speak
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import OWNER_FILE, read_private, write_private

if TYPE_CHECKING:
    from deskhand.protocol.signing import Prefix, Signed
    from deskhand.protocol.wire import JsonObject

KEY_FILE: Final = "signing.json"


def signed_yes(approval: Obj, scope: str) -> Obj:
    """Return the signature of a yes to exactly this approval.

    Raises:
        DeskhandError: ``unauthorized`` where this computer has no owner; ``home_unsafe``.
    """
    from deskhand.protocol.signing import APPROVAL, approval_statement

    said = approval_statement(approval, decision="allow", scope=scope, **owner())
    return _sign(APPROVAL, said).to_json()


def signed_for(device: str, *, fingerprint: str, runner: str) -> Obj:
    """Return this command line's word that a device may approve on a computer, as the op says it."""
    from deskhand.protocol.signing import CERTIFY, certify_statement

    about = {"device": device, "fingerprint": fingerprint, "runner": runner}
    said = certify_statement(account=owner()["account"], **about)
    return {**about, **_sign(CERTIFY, said).to_json()}


def own_fingerprint() -> str:
    """Return the fingerprint of this command line's key."""
    from deskhand.protocol.signing import CERTIFY, fingerprint_of

    return fingerprint_of(_sign(CERTIFY, {}).key or "")


def trust_here(name: str | None, *, remove: bool) -> int:
    """List the devices that this computer trusts, or trust one more or one less."""
    from deskhand.clock import SystemClock
    from deskhand.runner.trust import Trust

    runner = str((local_runner() or {}).get("device", ""))
    trust = Trust(home=home(), runner=runner, clock=SystemClock())
    if name is None:
        known = trust.known()
        found = [{"id": key, **known[key]} for key in trust.fingerprints()]
        return speak.listed(found, "id", "device", "since", "by", none="runner.trusts_nobody")
    said = "".join(name.split())
    if remove and not trust.remove(said):
        raise DeskhandError(Code.NOT_FOUND, name, field="FINGERPRINT")
    if not remove:
        if not re.fullmatch("[0-9a-f]{32}", said):
            raise DeskhandError(Code.INVALID, name, field="FINGERPRINT")
        trust.add(said)
    return speak.done({"id": said}, "runner.untrusted" if remove else "runner.trusted")


def owner() -> dict[str, str]:
    """Return who this command line is to its hub."""
    found = read_private(home() / OWNER_FILE)
    if found is None:
        raise DeskhandError(Code.UNAUTHORIZED, OWNER_FILE)
    return {name: str(found[name]) for name in ("account", "device")}


def _sign(prefix: Prefix, said: JsonObject) -> Signed:
    from deskhand.protocol.signing import new_key, sign

    path = home() / KEY_FILE
    if (kept := read_private(path)) is None:
        kept = {"key": new_key()}
        write_private(path, json.dumps(kept) + "\n")
    return sign(prefix, said, str(kept["key"]))

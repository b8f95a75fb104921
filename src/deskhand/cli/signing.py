"""How the command line signs: its own key beside the owner's credential, and what it says with it (security 1.1).

The key is made when it is first needed and never leaves this home. It refuses a key file that others may read.
Loaded only by what signs.
"""

from __future__ import annotations

import json
import re
from typing import Final

from deskhand.cli.client import home, local_runner
from deskhand.cli.screen import Obj, speak
from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.protocol import signing
from deskhand.runner.ceiling import Trust
from deskhand.store.private import OWNER_FILE, read_private, write_private

KEY_FILE: Final = "signing.json"


def signed_yes(approval: Obj, scope: str) -> Obj:
    """Return the signature of a yes to exactly this approval.

    Raises:
        DeskhandError: ``unauthorized`` where this computer has no owner; ``home_unsafe``.
    """
    said = signing.approval_statement(approval, decision="allow", scope=scope, **_owner())
    return signing.sign(signing.APPROVAL, said, _key()).to_json()


def signed_for(device: str, *, fingerprint: str, runner: str) -> Obj:
    """Return this command line's word that a device may approve on a computer, as the op says it."""
    about = {"device": device, "fingerprint": fingerprint, "runner": runner}
    said = signing.certify_statement(account=_owner()["account"], **about)
    return {**about, **signing.sign(signing.CERTIFY, said, _key()).to_json()}


def own_mark() -> str:
    """Return what the link for a computer says of whom it is to trust: this device and the fingerprint of its key."""
    public = signing.sign(signing.CERTIFY, {}, _key()).key
    return f"{_owner()['device']}.{signing.fingerprint_of(public or '')}"


def trust_here(name: str | None, *, remove: bool) -> int:
    """List the devices that this computer trusts, or trust one more or one less."""
    runner = str((local_runner() or {}).get("device", ""))
    trust = Trust(home=home(), runner=runner, clock=SystemClock())
    if name is None:
        found = [{"id": key, **trust.known()[key]} for key in trust.fingerprints()]
        if pinned := (local_runner() or {}).get("hub"):
            speak.note(speak.say("runner.hub", fingerprint=pinned))
        return speak.listed(found, "id", "device", "since", "by", none="runner.trusts_nobody")
    known = trust.remove(name) if remove else re.fullmatch("[0-9a-f]{32}", name)
    if not known:
        raise DeskhandError(Code.NOT_FOUND if remove else Code.INVALID, name, field="FINGERPRINT")
    if not remove:
        trust.add(name)
    return speak.done({"id": name}, "runner.untrusted" if remove else "runner.trusted")


def _owner() -> dict[str, str]:
    """Return who this command line is to its hub."""
    found = read_private(home() / OWNER_FILE)
    if found is None:
        raise DeskhandError(Code.UNAUTHORIZED, OWNER_FILE)
    return {name: str(found[name]) for name in ("account", "device")}


def _key() -> str:
    path = home() / KEY_FILE
    if (kept := read_private(path)) is None:
        kept = {"key": signing.new_key()}
        write_private(path, json.dumps(kept) + "\n")
    return str(kept["key"])

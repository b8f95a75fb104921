"""Whom a computer believes: the hub up to a risk, and above it the devices that are trusted in its own file.

A key is trusted because its fingerprint was typed at this computer, came in the link with which it was paired (past the
hub), or was certified by a key that is. It refuses everything else that a hub says: who is trusted, how far, and a yes
that is not signed over exactly this request. A device that was revoked is trusted again only at the keyboard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from deskhand.clock import Clock, stamp, unstamp
from deskhand.errors import DeskhandError
from deskhand.protocol import events as ev
from deskhand.protocol import signing, tasks, wire
from deskhand.runner.ceiling import locked
from deskhand.store.private import read_private, write_private

FILE: Final = "trust.json"
_LOCK: Final = "trust.lock"
_KNOWN: Final = TypeAdapter(dict[str, dict[str, str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Reads the file of one home; ``level`` says how far the hub is believed, and is asked each time.

    The file has by each fingerprint its ``device``, ``since`` when, certified ``by`` which key (none: at this
    computer), and whether it was ``revoked``, which stays; of a device that was never trusted also that.
    """

    home: Path
    runner: str
    clock: Clock
    account: str = ""
    level: Callable[[], signing.Risk] = lambda: "high"

    def known(self) -> dict[str, dict[str, str]]:
        """Return what the file says.

        Raises:
            DeskhandError: ``home_unsafe`` when others may read it.
            ValueError: it is damaged.
        """
        return _KNOWN.validate_python(read_private(self.home / FILE) or {})

    def fingerprints(self) -> tuple[str, ...]:
        """Return whose signature counts now; nobody's when the file cannot be believed."""
        with suppress(DeskhandError, ValueError):
            return tuple(key for key, one in self.known().items() if "revoked" not in one)
        return ()

    def add(self, fingerprint: str, *, device: str = "", by: str = "") -> None:
        """Trust a key from now on, at this computer or, ``by`` one that is trusted, if it was never revoked."""
        with self._changing() as known:
            there = fingerprint in known or any(
                one.get("device") == device and "revoked" in one for one in known.values()
            )
            if not (by and there):
                new = {"device": device, "since": stamp(self.clock.now()), "by": by}
                known[fingerprint] = new

    def remove(self, name: str) -> bool:
        """Trust a key no longer, by its fingerprint or its device; return whether it was trusted."""
        before, over = self.fingerprints(), {"revoked": stamp(self.clock.now())}
        with self._changing() as known:
            mine = [key for key, one in known.items() if name in (key, one.get("device"))] or [name]
            known |= {key: {"device": name, **known.get(key, {}), **over} for key in mine}
        return self.fingerprints() != before

    def hear(self, event: ev.Event) -> None:
        """Take in a device's word for another one, if that is trusted; and at once that one was revoked."""
        with suppress(DeskhandError, ValueError):
            match ev.body_of(event):
                case ev.DeviceRevoked(device=device):
                    self.remove(device)
                case ev.DeviceCertified(runner=runner) as said if runner in (self.runner, "*"):
                    about = {"account": self.account, "device": said.device, "runner": runner}
                    told = signing.certify_statement(fingerprint=said.fingerprint, **about)
                    if by := self._signer(said, signing.CERTIFY, told):
                        self.add(said.fingerprint, device=said.device, by=by)
                case _:
                    pass

    def counted(self, approval: tasks.Approval, body: wire.JsonObject, *, say: Callable[..., str]) -> wire.JsonObject:
        """Return a yes as far as it counts here; one that does not is void, says why, and is asked for again."""
        said = ev.ApprovalDecided.from_json(body)
        about = {"account": self.account, "scope": said.scope, "device": said.device or ""}
        told = signing.approval_statement(approval.to_json(), decision="allow", **about)
        if approval.expires_at and self.clock.now() > unstamp(approval.expires_at):
            why = say("trust.expired")
        elif signing.must_sign(approval.risk, said.scope, self.level()) and not self._signer(
            said, signing.APPROVAL, told
        ):
            shown = signing.fingerprint_of(said.key) if said.key else "FINGERPRINT"
            why = say("trust.unsigned", fingerprint=shown)
        else:
            return {"decision": "allow", "scope": said.scope, "action_sha256": said.action_sha256}
        return {"decision": "allow", "scope": "once", "void": why}

    def _signer(self, said: signing.Signed, prefix: signing.Prefix, told: wire.JsonObject) -> str:
        """Return the fingerprint of the trusted key that signed exactly this, if one did."""
        key = signing.fingerprint_of(said.key or "")
        return key if key in self.fingerprints() and signing.holds(said, prefix, told) else ""

    @contextmanager
    def _changing(self) -> Generator[dict[str, dict[str, str]]]:
        """Hold what the file says, to be changed while nobody else does."""
        with locked(self.home / _LOCK):
            yield (known := self.known())
            write_private(self.home / FILE, json.dumps(known, indent=2) + "\n")

"""The secrets of a computer: sealed in ``secrets.bin``, while the key to them lies elsewhere.

Each entry has a nonce of its own and is bound to its name. The key is in the system's keyring where one really
answers (it is tried), else in a systemd credential, else in ``keys/``, which no backup takes. That protects backups and
stolen disks; a program of the same user can do what we can. An entry whose key is not here counts as absent. It refuses
files that others can read, and to keep a value anywhere in the clear.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Final, Protocol, cast

from deskhand.secret import Secret
from deskhand.store.home import make_folder
from deskhand.store.private import read_private, write_private

SECRETS_FILE: Final = "secrets.bin"
KEYS: Final = "keys"
CREDENTIAL: Final = "deskhand"
"""The systemd credential (``LoadCredential=deskhand:…``), which is also our name in a keyring."""
_NONCE_BYTES: Final = 12


class Ring(Protocol):
    """A keyring, as the library ``keyring`` gives it."""

    def get_password(self, service: str, name: str, /) -> str | None:
        """Return a value."""
        ...

    def set_password(self, service: str, name: str, value: str, /) -> None:
        """Keep a value."""
        ...

    def delete_password(self, service: str, name: str, /) -> None:
        """Forget a value."""
        ...


def system_ring() -> Ring | None:
    """Return this system's keyring, if the extra ``keyring`` is installed; whether it answers is another question."""
    return cast("Ring", import_module("keyring")) if find_spec("keyring") else None


class Safe:
    """The secrets under one home. Nothing is kept in memory: the file is read for each question."""

    def __init__(self, home: Path, *, ring: Callable[[], Ring | None] = system_ring) -> None:
        self._home, self._path, self._ring = home, home / SECRETS_FILE, ring

    def read(self, name: str) -> Secret | None:
        """Return a secret, or nothing where it is not there or cannot be opened here."""
        return self._opened(name, self._entries().get(name, ""))

    def reveal(self, name: str) -> str | None:
        """Return the value of a secret, for who adds it to a request right away."""
        found = self.read(name)
        return found.reveal() if found else None

    def all(self) -> dict[str, Secret]:
        """Return every secret that can be opened here."""
        found = {name: self._opened(name, entry) for name, entry in self._entries().items()}
        return {name: secret for name, secret in found.items() if secret}

    def kinds(self) -> dict[str, str]:
        """Return for each name where its key is; empty for one that cannot be opened here."""
        opened = self.all()
        entries = self._entries().items()
        return {name: entry.partition(":")[0] if name in opened else "" for name, entry in entries}

    def put(self, name: str, value: str) -> Secret:
        """Seal a value under a name; what had that name is gone."""
        from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415 - slow to load

        with self._alone():
            kinds = ("keyring", "credential", "file")
            kind, key = next((one, key) for one in kinds if (key := self._key(one, make=True)))
            nonce = token_bytes(_NONCE_BYTES)
            sealed = nonce + aead.ChaCha20Poly1305(key).encrypt(
                nonce, value.encode(), name.encode()
            )
            self._write({**self._entries(), name: f"{kind}:{b64encode(sealed).decode()}"})
        return Secret(name, value)

    def remove(self, name: str) -> bool:
        """Forget a secret; return whether it was there."""
        with self._alone():
            entries = self._entries()
            was = entries.pop(name, None)
            self._write(entries)
        return was is not None

    def _opened(self, name: str, entry: str) -> Secret | None:
        kind, _, sealed = entry.partition(":")
        if not (key := self._key(kind)):
            return None
        from cryptography import exceptions  # noqa: PLC0415 - slow to load
        from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415 - as above

        with suppress(exceptions.InvalidTag, ValueError):
            raw = b64decode(sealed)
            nonce, rest = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
            return Secret(
                name, aead.ChaCha20Poly1305(key).decrypt(nonce, rest, name.encode()).decode()
            )
        return None

    def _key(self, kind: str, *, make: bool = False) -> bytes | None:
        if kind == "keyring":
            said = self._of_ring(make=make)
            return bytes.fromhex(said) if said else None
        if kind == "credential":
            place = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere")) / CREDENTIAL
            return hashlib.sha256(place.read_bytes()).digest() if place.is_file() else None
        path = self._home / KEYS / "secrets.json"
        if make and not path.exists():
            write_private(path, json.dumps({"key": token_hex(32)}))
        found = read_private(path) if kind == "file" else None
        return bytes.fromhex(str(found["key"])) if found else None

    def _of_ring(self, *, make: bool) -> str | None:
        """Return our key in the keyring; a new one only where it gave back and forgot what it was given for a try."""
        with suppress(Exception):  # whatever a keyring does, there are other places
            ring = self._ring()
            if ring and make and ring.get_password(CREDENTIAL, SECRETS_FILE) is None:
                canary, tried = token_hex(), f"{SECRETS_FILE}.try"
                ring.set_password(CREDENTIAL, tried, canary)
                kept = ring.get_password(CREDENTIAL, tried)
                ring.delete_password(CREDENTIAL, tried)
                if kept == canary and ring.get_password(CREDENTIAL, tried) is None:
                    ring.set_password(CREDENTIAL, SECRETS_FILE, token_hex(32))
            return ring.get_password(CREDENTIAL, SECRETS_FILE) if ring else None
        return None

    def _entries(self) -> dict[str, str]:
        return read_private(self._path) or {}

    def _write(self, entries: dict[str, str]) -> None:
        write_private(self._path, json.dumps(entries, indent=1) + "\n")

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Let nobody else change the file meanwhile."""
        make_folder(self._home / KEYS)
        with (self._home / KEYS / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

"""The secrets of a computer: sealed in ``secrets.bin``, while the key to them lies elsewhere.

Each entry has a nonce of its own and is bound to its name. The key is in the system's keyring where one really
answers (it is tried), else in a systemd credential, else in ``keys/``, which no backup takes. That protects backups and
stolen disks; a program of the same user can do what we can. An entry whose key is not here counts as absent, and comes
back with its key. It refuses files that others can read, and to keep a value anywhere in the clear.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from hmac import compare_digest
from importlib import import_module
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any, Final

from deskhand.errors import Code, DeskhandError
from deskhand.secret import TOKEN, Secret
from deskhand.store.private import read_private, write_private

SECRETS_FILE: Final = "secrets.bin"
KEY_FILE: Final = "keys/secrets.json"
CREDENTIAL: Final = "deskhand"
"""The systemd credential (``LoadCredential=deskhand:…``), which is also our name in a keyring."""
LOCKED: Final = "locked"
"""Where the key of an entry is that cannot be opened here."""
_KINDS: Final = ("keyring", "credential", "file")
_NONCE_BYTES: Final = 12


class Safe:
    """The secrets under one home. Nothing is kept in memory: the file is read for each question.

    ``ring`` loads the system's keyring as the library ``keyring`` gives it; whether that answers is another question.
    """

    def __init__(self, home: Path, *, ring: Callable[[], Any] = lambda: import_module("keyring")) -> None:
        self._path, self._key_path, self._ring = home / SECRETS_FILE, home / KEY_FILE, ring

    def all(self) -> dict[str, tuple[str, Secret | None]]:
        """Return for each name where its key is, and the secret if that is here."""
        entries: dict[str, str] = read_private(self._path) or {}
        return {name: self._opened(name, entry) for name, entry in entries.items()}

    def read(self, name: str) -> Secret | None:
        """Return a secret, or nothing where it is not there or cannot be opened here."""
        return self.all().get(name, (LOCKED, None))[1]

    def put(self, name: str, value: str) -> Secret:
        """Seal a value under a name; what had that name is gone."""
        self._change(name, value)
        return Secret(name, value)

    def refuse_reused(self, name: str, value: str) -> None:
        """Refuse a value that opens something else, too (AU-10).

        Raises:
            DeskhandError: ``secret_reused``, with the names of what has it; a way into Deskhand has none.
        """
        kept = self.all().items()
        same = [
            one for one, (_, it) in kept if it and one != name and compare_digest(it.reveal().encode(), value.encode())
        ]
        if same or TOKEN.search(value):
            raise DeskhandError(Code.SECRET_REUSED, ", ".join(same))

    def remove(self, name: str) -> bool:
        """Forget a secret; return whether it was there."""
        return self._change(name, None)

    def _change(self, name: str, value: str | None) -> bool:
        """Replace the file, while nobody else does."""
        self._key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._key_path.with_name("lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            entries = read_private(self._path) or {}
            was = entries.pop(name, None)
            added = {name: self._sealed(name, value)} if value is not None else {}
            write_private(self._path, json.dumps(entries | added, indent=1) + "\n")
        return was is not None

    def _sealed(self, name: str, value: str) -> str:
        from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415 - slow to load

        kind, key = next((one, key) for one in _KINDS if (key := self._key(one, make=True)))
        nonce = token_bytes(_NONCE_BYTES)
        sealed = aead.ChaCha20Poly1305(key).encrypt(nonce, value.encode(), name.encode())
        return f"{kind}:{b64encode(nonce + sealed).decode()}"

    def _opened(self, name: str, entry: str) -> tuple[str, Secret | None]:
        kind, _, sealed = entry.partition(":")
        if key := self._key(kind, make=False):
            from cryptography import exceptions  # noqa: PLC0415 - slow to load
            from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415 - as above

            with suppress(exceptions.InvalidTag, ValueError):
                raw = b64decode(sealed)
                nonce, rest = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
                value = aead.ChaCha20Poly1305(key).decrypt(nonce, rest, name.encode())
                return kind, Secret(name, value.decode())
        return LOCKED, None

    def _key(self, kind: str, *, make: bool) -> bytes | None:
        said: str | None = None
        if kind == "keyring":
            with suppress(Exception):  # whatever a keyring does, there are other places
                said = self._of_ring(self._ring(), make=make)
        elif kind == "credential" and (place := os.environ.get("CREDENTIALS_DIRECTORY")):
            with suppress(FileNotFoundError):
                said = hashlib.sha256(Path(place, CREDENTIAL).read_bytes()).hexdigest()
        elif kind == "file":
            if make and not self._key_path.exists():
                write_private(self._key_path, json.dumps({"key": token_hex(32)}))
            said = (read_private(self._key_path) or {}).get("key")
        return bytes.fromhex(said) if said else None

    def _of_ring(self, ring: Any, *, make: bool) -> str | None:  # noqa: ANN401 - a library's own
        """Return our key in a keyring; a new one only where it gave back and forgot what it was given for a try."""
        if make and ring.get_password(CREDENTIAL, SECRETS_FILE) is None:
            canary = token_hex()
            ring.set_password(CREDENTIAL, canary, canary)
            kept = ring.get_password(CREDENTIAL, canary)
            ring.delete_password(CREDENTIAL, canary)
            if kept == canary and ring.get_password(CREDENTIAL, canary) is None:
                ring.set_password(CREDENTIAL, SECRETS_FILE, token_hex(32))
        return ring.get_password(CREDENTIAL, SECRETS_FILE)

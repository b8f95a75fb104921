"""What only this user can read: ``DESKHAND_HOME``, the small files in it, and the secrets of this computer.

A home is one private directory on a local disk, used by one Deskhand at a time. Loose modes are repaired, foreign
owners refused (SE-02). It refuses network file systems, where locks and write-ahead logs do not hold what they promise.
Putting another in its place is one step: it refuses to delete anything, and to leave a moment in which there is no home
or half of one.

Its small files say who its user is to the hub and what this computer is; every command reads them, so this is light.
It refuses files that others may read, links in their place, and what is no object.

Secrets are sealed in ``secrets.bin``, while the key to them lies elsewhere. Each entry has a nonce of its own and is
bound to its name. The key is in the system's keyring where one really answers (it is tried), else in a systemd
credential, else in ``keys/``, which no backup takes. That protects backups and stolen disks; a program of the same user
can do what we can. An entry whose key is not here counts as absent, and comes back with its key. It refuses to keep a
value anywhere in the clear.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from hmac import compare_digest
from importlib import import_module
from io import BufferedRandom
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any, Final, cast

from deskhand.errors import Code, DeskhandError
from deskhand.secret import TOKEN, Secret

FILE_MODE: Final = 0o600
OWNER_FILE: Final = "owner.json"
RUNNER_FILE: Final = "runner.json"


def read_private(path: Path) -> dict[str, Any] | None:
    """Return the object in a file, or nothing where there is none.

    Raises:
        DeskhandError: ``home_unsafe`` when others can read it or it is damaged.
    """
    said = read_own(path, nobody_else=0o077)
    if said is None:
        return None
    data: object = None
    with suppress(ValueError):
        data = json.loads(said)
    if not isinstance(data, dict):
        raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} is damaged")
    return cast("dict[str, Any]", data)


def read_own(path: Path, *, nobody_else: int = 0o022) -> bytes | None:
    """Return what stands in a file of this user that nobody else may write, or use as said; nothing where there is none.

    Raises:
        DeskhandError: ``home_unsafe`` when others may, or when it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeskhandError(Code.HOME_UNSAFE, f"{path.name}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} is no file of this user")
        if found.st_mode & nobody_else:
            raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} must be 0600")
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Write a file, all or nothing, on disk with its name."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def replacing(path: Path) -> Generator[BufferedRandom]:
    """Open a file to write and read again; it has its name, on disk, only when the block ended well."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        # Or a power cut takes the name away, and with it the way into the account.
        sync(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """See to it that a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- the home


LOCK = "lock"
_FOLDER_MODE = 0o700
_OTHERS = 0o077
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_AT_CWD = -100
_EXCHANGE = 2
_MOUNTS = Path("/proc/self/mounts")

NETWORK = re.compile(
    r"9p|afs|beegfs|ceph|cifs|davfs|glusterfs|gpfs|lustre|ncpfs|nfs4?|smb[23]|smbfs|vboxsf"
    r"|fuse\.(ceph|davfs2|glusterfs|rclone|s3fs|sshfs|vmhgfs-fuse)"
)
"""File systems whose disk is elsewhere."""


def file_system_of(path: Path, *, mounts: Path = _MOUNTS) -> str:
    """Return the type of the innermost mount around a path; the last one wins; empty where the machine does not say."""
    found, depth = "", -1
    for line in mounts.read_text(encoding="utf-8").splitlines() if mounts.is_file() else ():
        _, place, kind, *_ = line.split(" ")
        mount = Path(place.encode().decode("unicode_escape"))
        if path.is_relative_to(mount) and len(mount.parts) >= depth:
            found, depth = kind, len(mount.parts)
    return found


@contextmanager
def open_home(path: Path, *, file_system: Callable[[Path], str] = file_system_of) -> Generator[Path]:
    """Open (or make) a home, repair loose modes and hold its lock; yield where it really lies.

    Raises:
        DeskhandError: ``home_locked``; ``home_unsafe`` with the reason; ``disk_full``.
    """
    with ExitStack() as held:
        with _told():
            make_folder(path)
            path = path.resolve()
            if NETWORK.fullmatch(kind := file_system(path)):
                raise DeskhandError(Code.HOME_UNSAFE, kind)
            _make_private(path)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(path / LOCK, flags, FILE_MODE)
            held.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeskhandError(Code.HOME_LOCKED) from None
            except OSError as error:
                raise DeskhandError(Code.HOME_UNSAFE, "no locks here") from error
            for inner in sorted(path.iterdir()):
                # What lies in a closed directory is closed with it; sockets and links have no modes to repair.
                if not inner.is_symlink() and (inner.is_dir() or inner.is_file()):
                    _make_private(inner)
        yield path


def _make_private(path: Path) -> None:
    """Close a file or directory to others."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
        raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} belongs to somebody else")
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        path.chmod(_FOLDER_MODE if stat.S_ISDIR(found.st_mode) else FILE_MODE)


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DeskhandError(Code.HOME_UNSAFE, error.strerror or "") from None
    except OSError as error:
        raise disk_fault(error) from None


def disk_fault(error: OSError) -> DeskhandError:
    """Return what to tell for what a disk said."""
    return DeskhandError(Code.DISK_FULL if error.errno in _FULL else Code.UNAVAILABLE)


def make_folder(path: Path) -> None:
    """Make a private directory, and what is missing above it, whose names outlive a power cut."""
    for one in reversed([one for one in (path, *path.parents) if not one.exists()]):
        one.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        sync(one.parent)


def exchanged(one: Path, other: Path) -> bool:
    """Let two directories swap their names at once; return whether the system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE)


def place(prepared: Path, home: Path, *, aside: Path) -> Path | None:
    """Make ``prepared`` the home; return where the one before is now, if there was one.

    Raises:
        OSError: it cannot be moved: a mount point, for example.
    """
    os.sync()  # every file that was unpacked, before its directory gets the name that counts
    before = aside if home.exists() else None
    if before is None:
        prepared.rename(home)
    elif exchanged(prepared, home):
        prepared.rename(aside)
    else:
        home.rename(aside)
        try:
            prepared.rename(home)
        except OSError:
            aside.rename(home)
            raise
    sync(home.parent)
    return before


# --- secrets


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

"""The owner's own files on this computer: folders and lines, and whom it believes. A hub can only narrow them.

They are written at the keyboard of this machine and read again before each effect.

- ``folders.json``: which folders may be used and how widely. It refuses directories that nobody should lend (home,
  system, credentials, our own state), a file that others may write, and to guess when it cannot be read.
- ``policy.txt``: the owner's lines about what may happen. What the account says can only make it heavier. What cannot be
  read lets nothing happen but reading.
- ``trust.json``: the hub is believed up to a risk, and above it the devices that are trusted here. A key is trusted
  because its fingerprint was typed at this computer, came in the link with which it was paired (past the hub), or was
  certified by a key that is. Everything else that a hub says is refused: who is trusted, how far, and a yes that is not
  signed over exactly this request. A device that was revoked is trusted again only at the keyboard.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

from pydantic import TypeAdapter

from deskhand.clock import Clock, Ids, SystemClock, stamp, unstamp
from deskhand.errors import Code, DeskhandError
from deskhand.limits import NAME_CHARS_MAX
from deskhand.permissions.evaluate import Policy, problem_sentence
from deskhand.permissions.rules import parse
from deskhand.ports import FolderAccess
from deskhand.protocol import events as ev
from deskhand.protocol import objects, signing, tasks, wire
from deskhand.store.private import read_own, read_private, write_private
from deskhand.tools.beneath import looks_mixed, refuse_root

FOLDERS: Final = "folders.json"
POLICY: Final = "policy.txt"
TRUST: Final = "trust.json"
_EFFECTS: Final = "folders.effects"
_TURN: Final = "folders.turn"
_LOOKS: Final = "root read stat list sha256 foreign mark protected together keep look"
_TRUSTED: Final = TypeAdapter(dict[str, dict[str, str]])
_read = lru_cache(maxsize=8)(parse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A folder as it was granted here.

    ``for_op`` makes it a grant for the one task that this op begins; ``task`` is that task, from its first use on.
    ``inode`` pins which directory was meant (FS-10). ``marked``: whose words are in it, the owner's alone or others'
    too. ``lent_to``: the members for whom work may be done there.
    """

    id: str
    root: str
    mode: objects.FolderMode
    label: str
    inode: int
    marked: objects.Marked = "mine"
    lent_to: tuple[str, ...] = ()
    for_op: str | None = None
    task: str | None = None

    @property
    def as_named(self) -> dict[str, Any]:
        """Return what the hub hears of it."""
        return {name: getattr(self, name) for name in ("id", "root", "label", "mode", "marked", "lent_to")}


_GRANTED: Final = TypeAdapter(tuple[Granted, ...])


class Ceiling:
    """Reads the policy file of one runner's home."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def entries(self) -> tuple[Granted, ...]:
        """Return what is granted now, read from the disk.

        Raises:
            DeskhandError: ``config_invalid`` when the file cannot be understood; ``home_unsafe`` when others may
                write it.
        """
        data = read_own(self._home / FOLDERS)
        if data is None:
            return ()
        try:
            parsed = cast("wire.JsonObject", wire.strict_json(data))
            return _GRANTED.validate_python(parsed["folders"])
        except (DeskhandError, KeyError, TypeError, ValueError) as error:
            raise DeskhandError(Code.CONFIG_INVALID, FOLDERS) from error

    def mode(self, folder: str, brief: tasks.Brief) -> objects.FolderMode | None:
        """Return how widely a task may use a folder now; nothing when not at all, or when the file is broken."""
        with suppress(DeskhandError):
            found = self._entry(folder, brief)
            return found.mode if found else None
        return None

    def bind(self, folder: str, brief: tasks.Brief) -> Granted | None:
        """Return the grant a task may use, by id or path, and give a one-task grant to this task for good."""
        found = self._entry(folder, brief)
        if found is None or found.for_op is None or found.task == brief.task:
            return found
        bound = replace(found, task=brief.task)
        _change(self._home, lambda entries: [bound if e.id == bound.id else e for e in entries])
        return bound

    def lends(self, brief: tasks.Brief) -> bool:
        """Return whether this computer works for whoever asked: the owner, or a member to whom a folder is lent."""
        who = brief.requester
        return who is None or any(who in one.lent_to for one in self.entries())

    @contextmanager
    def holding(self) -> Generator[None]:
        """Let nobody be told that less may happen, while one thing happens; whoever waits to tell goes first."""
        with locked(self._home / _TURN, fcntl.LOCK_SH):
            pass
        with locked(self._home / _EFFECTS, fcntl.LOCK_SH):
            yield

    def settle(self) -> None:
        """Return when whatever was begun before is over: what begins from here on sees what is said now."""
        with locked(self._home / _TURN), locked(self._home / _EFFECTS):
            pass

    def _entry(self, folder: str, brief: tasks.Brief) -> Granted | None:
        """Return the grant of a folder to every task, to this one, or to the one that its op begins."""
        task, op, who = brief.task, brief.op_id, brief.requester
        for one in self.entries():
            mine = one.for_op is None or one.task == task or (one.task is None and one.for_op == op)
            mine = mine and (who is None or who in one.lent_to)
            if mine and folder in (one.id, one.root):
                return one
        return None


@dataclass(frozen=True, slots=True)
class Held:
    """A folder each change of which happens while ``still`` lets it: whatever does not only look is such a change."""

    _folder: FolderAccess
    _still: Callable[[], AbstractContextManager[None]]

    def __getattr__(self, name: str) -> object:
        """Return what the folder does, to be done only while it may be."""
        found = getattr(self._folder, name)
        if name in _LOOKS.split():
            return found

        def held(*what: object, **how: object) -> object:
            with self._still():
                return found(*what, **how)

        return held


@dataclass(frozen=True, slots=True, kw_only=True)
class Lending:
    """Whose words are in a folder and to whom it is lent; unsaid, as before, else as its place suggests, to nobody."""

    marked: objects.Marked | None = None
    to: tuple[str, ...] | None = None


def grant_folder(
    home: Path,
    path: Path,
    *,
    mode: objects.FolderMode,
    label: str = "",
    for_op: str | None = None,
    lending: Lending = Lending(),
) -> Granted:
    """Grant a folder at this machine, to every task or only to the one that the op ``for_op`` begins.

    Granting the same one again changes its mode, its label (what people call it; its name if empty) and what is said
    of ``lending``. Returns when nothing happens any more that would not be allowed now.

    Raises:
        DeskhandError: ``folder_refused`` with the reason; ``config_invalid``; ``home_unsafe``.
    """
    root = refuse_root(path, home=Path.home(), state=home)
    granted = Granted(
        id=Ids(SystemClock()).new("fld"),
        root=str(root),
        mode=mode,
        label=(label or root.name)[:NAME_CHARS_MAX],
        inode=root.stat().st_ino,
        marked="mixed" if looks_mixed(root) else "mine",
        for_op=for_op,
    )

    def change(entries: Sequence[Granted]) -> list[Granted]:
        same = (e for e in entries if (e.root, e.for_op) == (granted.root, for_op))
        old = next(same, granted)
        lent = old.lent_to if lending.to is None else lending.to
        marked = lending.marked or old.marked
        again = replace(granted, id=old.id, task=old.task, marked=marked, lent_to=lent)
        return [*(e for e in entries if e is not old), again]

    after = _change(home, change)
    Ceiling(home).settle()
    return after[-1]


def revoke_folder(home: Path, folder: str) -> bool:
    """Take a folder away, by id or path; return whether it was there."""
    before = Ceiling(home).entries()
    after = _change(home, lambda entries: [e for e in entries if folder not in (e.id, e.root)])
    Ceiling(home).settle()
    return len(after) < len(before)


def policy_text(home: Path) -> str:
    """Return the owner's lines as they are written now.

    Raises:
        DeskhandError: ``config_invalid``, ``home_unsafe``.
    """
    try:
        return (read_own(home / POLICY) or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DeskhandError(Code.CONFIG_INVALID, POLICY) from error


def policy_now(home: Path, account: wire.Json, *, language: str = "en") -> Policy:
    """Return what the owner and the account say now; ``account`` is the setting ``policy`` as it came."""
    texts = account if isinstance(account, list) else []
    theirs, wrong = _read("\n".join(str(text).replace("\n", " ") for text in texts))
    try:
        mine, broken = _read(policy_text(home))
    except DeskhandError as error:
        return Policy(account=theirs, broken=f"{error.sentence(language)} ({POLICY})")
    said = [problem_sentence(one, language=language) for one in (*broken, *wrong)]
    return Policy(lines=mine, account=theirs, broken=said[0] if said else "")


def write_policy(home: Path, text: str) -> None:
    """Put other lines in the place of those that are there.

    Raises:
        DeskhandError: ``disk_full`` and the like.
    """
    with locked((home / POLICY).with_suffix(".lock")):
        write_private(home / POLICY, text)


def keep_line(home: Path, approval: tasks.Approval, decided: ev.Event) -> None:
    """Add the line that a yes for always was given to, with who gave it and when; once, however often it is kept.

    A file that cannot be read stays as it is: it lets nothing happen anyway.
    """
    given = f"{decided.at[:10]} {decided.body.get('device')} {approval.id}"
    new = f"{approval.pattern}  # always: {given}\n"
    with suppress(DeskhandError), locked((home / POLICY).with_suffix(".lock")):
        text = policy_text(home)
        if new not in text:
            write_private(home / POLICY, text + "\n" * bool(text and text[-1] != "\n") + new)


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
        return _TRUSTED.validate_python(read_private(self.home / TRUST) or {})

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
                known[fingerprint] = {"device": device, "since": stamp(self.clock.now()), "by": by}

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
        with locked((self.home / TRUST).with_suffix(".lock")):
            yield (known := self.known())
            write_private(self.home / TRUST, json.dumps(known, indent=2) + "\n")


def _change(home: Path, change: Callable[[Sequence[Granted]], list[Granted]]) -> list[Granted]:
    """Replace the file whole: a reader sees the old or the new one, and two writers take turns."""
    with locked((home / FOLDERS).with_suffix(".lock")):
        entries = change(Ceiling(home).entries())
        data = {"folders": [asdict(entry) for entry in entries]}
        write_private(home / FOLDERS, json.dumps(data, indent=2) + "\n")
    return entries


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Generator[None]:
    """Hold a lock between the processes and threads of this machine."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, how)
        yield
    finally:
        os.close(lock)

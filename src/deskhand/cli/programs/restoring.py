"""Going back to a backup: everything is unpacked and settled beside the home, then put in its place in one step.

It refuses while a Deskhand uses the home, and to touch the home before the backup was read to its last byte.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from deskhand.cli.client import SIGNING_FILE
from deskhand.cli.programs.computer import JOURNAL
from deskhand.cli.programs.up import VAPID
from deskhand.cli.screen import speak
from deskhand.clock import Clock, Ids, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.hub.credentials import LocalDevice, bearer_sha256, new_token, write_device
from deskhand.ports import Credential
from deskhand.protocol import events, objects, ops
from deskhand.protocol.wire import Json, JsonObject
from deskhand.runner.ceiling import FOLDERS, POLICY, TRUST
from deskhand.store import engine, opening
from deskhand.store.backup import read_manifest, replaced, settle, unpack
from deskhand.store.private import KEY_FILE, OWNER_FILE, RUNNER_FILE, SECRETS_FILE, Safe, make_folder, open_home, place
from deskhand.workflow.journal import settle_journal


def restore(backup: Path, home: Path, *, clock: Clock, ids: Ids, agreed: Callable[[str], bool]) -> JsonObject | None:
    """Make a home what it was at a backup and return what that came to, as ``restore --json`` prints it.

    Nothing is done and returned when ``agreed``, asked with the time, says no.

    Raises:
        DeskhandError: ``backup_damaged``, ``schema_newer``, ``home_locked``, ``home_unsafe``, ``disk_full``.
    """
    with engine.translated(), ExitStack() as ending:
        manifest = read_manifest(backup)
        if manifest.get("schema") not in engine.revisions():
            raise DeskhandError(Code.SCHEMA_NEWER, str(manifest.get("schema")))
        backup_at = str(manifest["made_at"])
        if home.is_mount():
            raise DeskhandError(Code.HOME_UNSAFE, speak.say("restore.mounted"))
        if home.exists():
            ending.enter_context(open_home(home))
            if any(home.glob("*.sqlite3")) and not agreed(backup_at):
                return None
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        prepared = Path(tempfile.mkdtemp(dir=home.parent, prefix=f"{home.name}.restoring-"))
        try:
            unpack(backup, prepared)
            told, known = _settled(prepared, home, manifest, clock=clock, ids=ids)
        except BaseException:
            shutil.rmtree(prepared, ignore_errors=True)
            raise
        # From here on nothing is deleted: in its place may be what was there before.
        now = stamp(clock.now()).replace(":", "").replace(".", "")
        before = home.with_name(f"{home.name}.before-restore-{now}")
        try:
            aside = place(prepared, home, aside=before)
        except OSError as error:
            raise DeskhandError(Code.HOME_UNSAFE, f"{home}: {error.strerror}") from None
        # A hub makes itself a new key for pushes; the others only their owner can give again.
        entries = Safe(home).all().items()
        locked: list[Json] = [name for name, (_, here) in entries if not here and name != VAPID]
        return {
            "home": str(home),
            "backup_at": backup_at,
            "aside": str(aside) if aside else None,
            "devices_ended": sum(one.devices_ended for one in told),
            "all_devices": not known,
            "tasks_paused": sum(one.tasks_paused for one in told),
            "secrets_locked": locked,
        }


def _settled(
    prepared: Path, home: Path, manifest: JsonObject, *, clock: Clock, ids: Ids
) -> tuple[list[events.LogRestored], bool]:
    """Make what was unpacked fit to be a home; return what its logs were told, and whether the home before knew us."""
    account = str(manifest["account"])
    known = replaced(home / opening.FILE, account) is not None
    here = None if known else _new_here(prepared, manifest, ids)
    now = (OWNER_FILE, RUNNER_FILE, SECRETS_FILE, KEY_FILE, SIGNING_FILE, TRUST, POLICY, FOLDERS)
    for name in now if known else ():
        if (home / name).is_file():  # what is true of this computer now, its ceiling too
            make_folder((prepared / name).parent)
            shutil.copy2(home / name, prepared / name)
    journal = prepared / "runner" / JOURNAL
    hub = engine.open_sqlite(prepared / opening.FILE)  # nothing of it stays open
    engine.prepare_sqlite(hub, prepared / opening.FILE, clock)
    told = settle(hub, clock, ids, backup_at=str(manifest["made_at"]), before=home / opening.FILE, here=here)
    if journal.is_file():
        with engine.open_sqlite(journal).begin() as connection:
            settle_journal(connection)
    return told, known


def _new_here(prepared: Path, manifest: JsonObject, ids: Ids) -> Credential | None:
    """Give a new computer its own way in: a new owner, and the runner of the backup under a new token."""
    account = str(manifest["account"])
    write_device(prepared / OWNER_FILE, LocalDevice(account=account, device=ids.new("dev"), token=new_token(ids)))
    runner = cast("JsonObject | None", manifest.get("runner"))
    if not runner:
        return None
    who = ops.Principal(account=account, id=str(runner["device"]), role=objects.Role.RUNNER, name=str(runner["name"]))
    here = LocalDevice(account=account, device=who.id, token=new_token(ids), name=who.name)
    write_device(prepared / RUNNER_FILE, here)
    return Credential(token_sha256=bearer_sha256(here.token), principal=who, kind="runner")

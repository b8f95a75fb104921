"""Deskhand itself: ``up hub runner``, ``doctor``, ``log verify``, ``notify list|test``, ``backup restore export``.

The programs that stay are in ``cli.programs``; here the one that is wanted is loaded.

``doctor`` refuses to call anything good that it did not try: the hub, this computer's runner, its sandbox, its model.

``log verify`` reads the store and trusts nobody: it opens the hub's file for reading only, in one read transaction.
That is right whether the hub runs or not: SQLite gives a reader its own snapshot, and nothing is locked or repaired.

A backup is a home in one file, restored as a whole; an export is everything in a form that people can read.
"""

from __future__ import annotations

import gc
import os
import re
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a plain program; the ledger is a table without events
from typing import Any, Final, Literal, cast

from deskhand.cli.client import client, home, local_runner
from deskhand.cli.screen import Exit, Obj, moment, speak
from deskhand.clock import SystemClock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import OWNER_FILE, read_private

_TEST_SECONDS = 10.0
_SIGNS = {"good": "✓", "ask": "!", "bad": "✗"}
_OPEN = frozenset({"planned", "sent"})
_DELIVERY: Final = ("at", "class", "road", "fate.{fate}", "reason", "task", "device")


def up(
    *,
    port: int | None = None,
    reach: str | None = None,
    no_browser: bool = False,
    name: str | None = None,
    as_root: bool = False,
) -> int:
    """Start hub and runner in one process."""
    return _stay("up", "up", port=port, said=reach, browser=not no_browser, name=name, as_root=as_root)


def hub(*, port: int | None = None, reach: str | None = None) -> int:
    """Start the hub alone."""
    return _stay("up", "hub", port=port, said=reach)


def runner(
    act: Literal["run", "trust"] = "run",
    fingerprint: str | None = None,
    *,
    remove: bool = False,
    url: str | None = None,
    invite: str | None = None,
    name: str | None = None,
    as_root: bool = False,
) -> int:
    """Start a runner for a hub elsewhere, or say whom it trusts."""
    if act == "trust":
        return _trust(fingerprint, remove=remove)
    return _stay("computer", "runner", url=url, invite=invite, name=name, as_root=as_root)


def _trust(name: str | None, *, remove: bool) -> int:
    """List the devices that this computer trusts, or trust one more or one less."""
    from deskhand.runner.ceiling import Trust

    here = local_runner() or {}
    trust = Trust(home=home(), runner=str(here.get("device", "")), clock=SystemClock())
    if name is None:
        found = [{"id": key, **trust.known()[key]} for key in trust.fingerprints()]
        if pinned := here.get("hub"):
            speak.note(speak.say("runner.hub", fingerprint=pinned))
        return speak.listed(found, "id", "device", "since", "by", none="runner.trusts_nobody")
    known = trust.remove(name) if remove else re.fullmatch("[0-9a-f]{32}", name)
    if not known:
        raise DeskhandError(Code.NOT_FOUND if remove else Code.INVALID, name, field="FINGERPRINT")
    if not remove:
        trust.add(name)
    return speak.done({"id": name}, "runner.untrusted" if remove else "runner.trusted")


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print the completion script of a shell."""
    from typer._completion_shared import get_completion_script  # the one that makes it

    script = get_completion_script(prog_name="deskhand", complete_var="_DESKHAND_COMPLETE", shell=shell)
    return speak.answer({"shell": shell, "script": script}, script)


def _stay(module: str, program: str, **said: object) -> int:
    """Load the one program that is wanted and run it until it is told to end."""
    import asyncio

    # Refused before anything is loaded or written; the runner asks again itself.
    if os.name == "posix" and os.geteuid() == 0 and not said.get("as_root", True):
        raise DeskhandError(Code.ROOT_REFUSED)
    # No garbage is looked for while loading makes none (a fifth of the time; ``staying`` turns it on again),
    # nor Pydantic's plugins: whatever else is installed has no business in this process.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    gc.disable()
    run = getattr(import_module(f"deskhand.cli.programs.{module}"), f"run_{program}")
    return asyncio.run(run(**said))


def doctor(about: Literal["all", "pairing"] = "all", *, no_model: bool = False) -> int:
    """Try everything, or the way in alone."""
    from deskhand.cli.roads import stations

    whole = about == "all"
    tried = import_module("deskhand.cli.abilities").examined(asks=not no_model) if whole else stations()
    rows: list[Obj] = []
    for name, state, said in tried:
        rows.append({"check": name, "state": state, "said": said})
        speak.out(f"{_SIGNS[state]} {speak.say(f'doctor.{name}')}: {said}")
    speak.answer({"items": rows})
    return Exit.ERROR if any(row["state"] == "bad" for row in rows) else Exit.DONE


def list_deliveries(*, limit: int = 50) -> int:
    """Print the ledger."""
    return speak.listed(client().items("/v1/deliveries", most=limit), *_DELIVERY, none="notify.none")


def try_out() -> int:
    """Send a test notification and wait for its fate."""
    hub = client()
    names = set(hub.call("POST", "/v1/push/test")["deliveries"])
    ends, fates, found = monotonic() + _TEST_SECONDS, _OPEN, list[Obj]()
    while fates & _OPEN and monotonic() < ends:
        sleep(0.2)
        found = [one for one in hub.items("/v1/deliveries", most=100) if one["id"] in names]
        fates = {str(one["fate"]) for one in found} or _OPEN
    speak.listed(found, *_DELIVERY, none="notify.none")
    return Exit.FAILED if fates <= _OPEN | {"failed"} else Exit.DONE


def verify() -> int:
    """Fold the log anew and compare everything."""
    from deskhand.store import engine, opening, tables

    path, url = home() / opening.FILE, os.environ.get("DESKHAND_DATABASE_URL")
    if url:
        opened = opening.open_postgres(url)[1]
    elif path.is_file():
        opened = engine.open_sqlite_reader(path)
    else:
        raise DeskhandError(Code.NOT_FOUND, str(path))
    problems: list[str] = []
    with engine.translated():
        with opened.connect() as connection:
            heads = tables.heads(connection)
        for account in heads:
            with opened.connect() as connection:
                problems += tables.verify(connection, account)
    events = sum(heads.values())
    said = speak.say("log.differs" if problems else "log.verified", events=events, problems=len(problems))
    speak.answer({"accounts": len(heads), "events": events, "problems": problems}, *problems, said)
    return Exit.FAILED if problems else Exit.DONE


def backup(file: Path | None = None) -> int:
    """Save the home in one file."""
    from deskhand.store.backup import make_backup

    _require_sqlite()
    owner, runner = read_private(home() / OWNER_FILE), local_runner() or {}
    if owner is None:
        raise DeskhandError(Code.NOT_FOUND, str(home()))
    mine = {key: str(runner[key]) for key in ("device", "name")} if runner.get("account") == owner["account"] else None
    who: Obj = {"account": owner["account"], "runner": mine}
    now = stamp(SystemClock().now())
    made = make_backup(home(), _named(file, now, ".tar"), now=now, who=who)
    speak.answer(made, speak.say("backup.done", **made, size=f"{made['bytes'] / 1e6:.1f}"))
    if made["missing"]:
        speak.note(speak.say("backup.missing", count=len(made["missing"])), "bad")
    return Exit.FAILED if made["missing"] else Exit.DONE


def restore(file: Path, *, to: Path | None = None, yes: bool = False) -> int:
    """Go back to a backup."""
    from deskhand.cli.programs.restoring import restore as go_back
    from deskhand.clock import Ids

    def agreed(at: str) -> bool:
        if not yes and not speak.asks:
            raise DeskhandError(Code.INVALID, speak.say("restore.refused"), field="--yes")
        return yes or speak.confirm(speak.say("restore.ask", at=moment(at)), default=False)

    _require_sqlite()
    clock, target = SystemClock(), (to or home()).expanduser().absolute()
    came_to = go_back(file, target, clock=clock, ids=Ids(clock), agreed=agreed)
    if came_to is None:
        return Exit.CANCELED
    locked = ", ".join(cast("list[str]", came_to["secrets_locked"]))
    told = {**came_to, "at": moment(came_to["backup_at"]), "locked": locked}
    said = {"aside": came_to["aside"], "paused": came_to["tasks_paused"], "locked": locked}
    keys = ["done", *(key for key, found in said.items() if found)]
    keys += ["all_ended" if came_to["all_devices"] else "ended"]
    return speak.answer(came_to, *(speak.say(f"restore.{key}", **told) for key in keys))


def export(*, out: Path | None = None) -> int:
    """Write everything so that it can be read."""
    from deskhand.store.backup import export_home

    _require_sqlite()
    target = _named(out, stamp(SystemClock().now()), "", inside=False)
    if target.exists():
        raise DeskhandError(Code.INVALID, speak.say("export.exists", path=target), field="--out")
    found: dict[str, Any] = export_home(home(), target)
    return speak.answer({"path": str(target), **found}, speak.say("export.done", path=target, **found))


def _named(said: Path | None, now: str, suffix: str, *, inside: bool = True) -> Path:
    """Return where to write: the path, in the directory, or here under the time."""
    name = f"deskhand-{now[:19].replace(':', '')}{suffix}"
    path = (said or Path()).expanduser().absolute()
    return path / name if said is None or (inside and path.is_dir()) else path


def _require_sqlite() -> None:
    if os.environ.get("DESKHAND_DATABASE_URL"):
        raise DeskhandError(Code.INVALID, speak.say("backup.postgres"), field="DESKHAND_DATABASE_URL")

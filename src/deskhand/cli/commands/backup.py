"""``backup restore export``: a home in one file, back again, and everything in a form that people can read."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from deskhand.cli.client import home, local_runner
from deskhand.cli.flags import t
from deskhand.cli.screen import Exit, Obj, moment, speak
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import OWNER_FILE, read_private


def backup(file: Path | None = None) -> int:
    """Save the home in one file."""
    from deskhand.clock import SystemClock, stamp
    from deskhand.store.backup.archive import make_backup

    _require_sqlite()
    owner, runner = read_private(home() / OWNER_FILE), local_runner()
    if owner is None:
        raise DeskhandError(Code.NOT_FOUND, str(home()))
    ours = runner if runner and runner.get("account") == owner["account"] else None
    named = ours and {name: str(ours[name]) for name in ("device", "name")}
    who: Obj = {"account": owner["account"], "runner": named}
    now = stamp(SystemClock().now())
    target = _named(file, now, ".tar")
    made = make_backup(home(), target, now=now, who=who)
    said: Obj = asdict(made) | {"path": str(made.path), "made_at": now}
    speak.answer(said, speak.say("backup.done", **said, size=f"{made.bytes / 1e6:.1f}"))
    if made.missing:
        speak.note(speak.say("backup.missing", count=len(made.missing)), "bad")
    return Exit.FAILED if made.missing else Exit.DONE


def restore(file: Path, *, to: Path | None = None, yes: bool = False) -> int:
    """Go back to a backup."""
    from deskhand.cli.programs.restoring import restore as go_back
    from deskhand.clock import SystemClock
    from deskhand.ids import Ids

    clock = SystemClock()
    target = (to or home()).expanduser().absolute()

    def agreed(at: str) -> bool:
        if not yes and not speak.asks:
            raise DeskhandError(Code.INVALID, t("restore.refused"), field="--yes")
        return yes or speak.confirm(speak.say("restore.ask", at=_shown(at)), default=False)

    _require_sqlite()
    came_to = go_back(file, target, clock=clock, ids=Ids(clock), agreed=agreed)
    if came_to is None:
        return Exit.CANCELED
    locked = ", ".join(cast("list[str]", came_to["secrets_locked"]))
    told = {**came_to, "at": _shown(str(came_to["backup_at"])), "locked": locked}
    said = {"aside": came_to["aside"], "paused": came_to["tasks_paused"], "locked": locked}
    keys = ["done", *(key for key, found in said.items() if found)]
    keys += ["all_ended" if came_to["all_devices"] else "ended"]
    return speak.answer(came_to, *(speak.say(f"restore.{key}", **told) for key in keys))


def export(*, out: Path | None = None) -> int:
    """Write everything so that it can be read."""
    from deskhand.clock import SystemClock, stamp
    from deskhand.store.backup.archive import export_home

    _require_sqlite()
    target = _named(out, stamp(SystemClock().now()), "", inside=False)
    if target.exists():
        raise DeskhandError(Code.INVALID, speak.say("export.exists", path=target), field="--out")
    found: dict[str, Any] = export_home(home(), target, say=speak.say)
    return speak.answer({"path": str(target), **found}, speak.say("export.done", path=target, **found))


def _named(said: Path | None, now: str, suffix: str, *, inside: bool = True) -> Path:
    """Return where to write: the path, in the directory, or here under the time."""
    name = f"deskhand-{now[:19].replace(':', '')}{suffix}"
    path = (said or Path()).expanduser().absolute()
    return path / name if said is None or (inside and path.is_dir()) else path


def _require_sqlite() -> None:
    if os.environ.get("DESKHAND_DATABASE_URL"):
        raise DeskhandError(Code.INVALID, t("backup.postgres"), field="DESKHAND_DATABASE_URL")


def _shown(at: str) -> str:
    return f"{moment(at)} UTC"

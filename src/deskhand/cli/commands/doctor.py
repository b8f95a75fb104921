"""``doctor``: tries what everything hangs on: the hub, this computer's runner, its sandbox, its model.

It refuses to call anything good that it did not try.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from deskhand.cli.flags import option
from deskhand.cli.home import client, this_computer
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.errors import DeskhandError

_SIGNS = {"good": "✓", "ask": "!", "bad": "✗"}


def doctor(*, no_model: Annotated[bool, option("doctor.no_model", "--no-model")] = False) -> int:
    """Try everything."""
    checks: dict[str, Callable[[], tuple[str, str]]] = {
        "hub": _hub,
        "runner": _runner,
        "sandbox": _sandbox,
        "model": lambda: _model(asks=not no_model),
    }
    rows: list[Obj] = []
    for name, check in checks.items():
        try:
            state, said = check()
        except DeskhandError as error:
            state, said = "bad", f"{error.sentence(speak.language)} {error.cure(speak.language)}"
        rows.append({"check": name, "state": state, "said": said})
        speak.out(f"{_SIGNS[state]} {speak.say(f'doctor.{name}')}: {said}")
    speak.answer({"items": rows})
    return Exit.ERROR if any(row["state"] == "bad" for row in rows) else Exit.DONE


def _hub() -> tuple[str, str]:
    hub = client()
    return "good", f"{hub.url} · Deskhand {hub.get('/v1/version')['version']}"


def _runner() -> tuple[str, str]:
    from deskhand.cli.commands.look import link_line

    here = this_computer()
    return ("good" if here.get("connected") else "bad"), f"{here['name']}, {link_line(here)}"


def _sandbox() -> tuple[str, str]:
    box: Obj = this_computer()["sandbox"]
    said = ", ".join(str(box[key]) for key in ("name", "level", "reason") if box.get(key))
    return ("good" if box["level"] == "full" else "ask"), said


def _model(*, asks: bool) -> tuple[str, str]:
    from deskhand.cli import minds

    found = minds.found()
    used = found.used
    if used is None:
        return "ask", f"{minds.standing(found)} {minds.looked_line(found)}"
    if used.lacks is not None or not asks:
        return ("bad" if used.lacks else "good"), minds.standing(found)
    return minds.judged(minds.tried(None))

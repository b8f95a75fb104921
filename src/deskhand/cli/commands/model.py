"""``model list|set|test|install|remove``: what this computer thinks with.

It refuses to print a key, and to call a model good that did not call a tool.
"""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic, sleep  # noqa: TID251 - a plain program that waits for its hub

from deskhand.cli.client import home, this_computer
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.cli.values import write_value
from deskhand.errors import DeskhandError

_LIVE_SECONDS = 3.0


def list_models() -> int:
    """Show what was found."""
    from deskhand.cli import minds

    found = minds.found()
    rows: list[Obj] = [{**minds.told(one), "used": one == found.used} for one in found.offers]

    def sign(one: Obj) -> str:
        return "→" if one["used"] else ""

    def named(one: Obj) -> str:
        return f"{one['name']}{speak.label(one['label'])}"

    speak.columns(rows, sign, named, "source", "where")
    speak.out(minds.standing_line(found))
    speak.note(minds.looked_line(found))
    return speak.answer({"items": rows, "looked": dict(found.looked), "running": _running()})


def set_model(
    name: str, *, base_url: str | None = None, api_key_env: str | None = None, context: int | None = None
) -> int:
    """Choose the model."""
    from deskhand.cli import minds
    from deskhand.store.safe import SECRETS_FILE, Safe

    values = {"base_url": base_url, "api_key_env": api_key_env, "context_tokens": context}
    # The key goes where a Deskhand that runs already finds it.
    kept = os.environ.get(api_key_env) if api_key_env else None
    if api_key_env and kept:
        Safe(home()).put(api_key_env, kept)
    for key, value in {"name": None if name == "auto" else name, **values}.items():
        write_value(f"model.{key}", value)
    found = minds.found()
    used = found.used
    if not speak.json:
        if kept:
            speak.note(speak.say("model.kept", variable=api_key_env, file=SECRETS_FILE))
        works = used is not None and used.lacks is None
        speak.note(minds.standing_line(found), "good" if works else "ask")
        _say_live(used.name if used and works else None)
    return speak.answer(minds.told(used) if used else {"name": None})


def _say_live(wanted: str | None) -> None:
    """Say what a running Deskhand on this computer makes of it, as soon as it tells."""
    ends = monotonic() + _LIVE_SECONDS
    while (running := _running()) and running["model"] != wanted and monotonic() < ends:
        sleep(0.1)
    if running:
        key, sign = ("live", "good") if running["model"] == wanted else ("not_live", "ask")
        name = running["model"] or speak.say("model.nothing")
        speak.note(speak.say(f"model.{key}", name=name), sign)


def _running() -> Obj | None:
    """Return what this computer tells its hub of its model, if it runs."""
    with suppress(DeskhandError):
        here = this_computer()
        if here["connected"]:
            model: Obj = here.get("model") or {}
            return {"model": model.get("name")}
    return None


def try_model(which: str | None = None) -> int:
    """Ask for one real tool call."""
    from deskhand.cli import minds

    row = minds.tried(which)
    state, said = minds.judged(row)
    speak.answer(row, said)
    return Exit.FAILED if state == "bad" else Exit.DONE


def install_model(what: str, *, sha256: str | None = None) -> int:
    """Bring a model here."""
    import asyncio
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import DownloadColumn, Progress

    from deskhand.agents.builtin.installing import install, offers
    from deskhand.cli import minds
    from deskhand.clock import SystemClock

    folder, console = minds.models_folder(), Console(stderr=True, quiet=speak.quiet)
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=console) as shown:
        bar = shown.add_task("", visible=False)

        def show(here: int, total: int) -> None:
            shown.update(bar, completed=here, total=total or None, visible=True)

        coming = install(what, folder, clock=SystemClock(), progress=show, sha256=sha256)
        found = asyncio.run(coming)
    offer = next(one for one in offers(folder) if one.name == f"local:{found.name}")
    row = asdict(found) | minds.told(offer)
    size, parameters = f"{found.size / 1e9:.2f} GB", f"{found.parameters / 1e9:.2f} B"
    told = row | {"size": size, "parameters": parameters, "label": speak.label(offer.label)}
    checked = speak.say(f"model.checked.{found.checked_by}")
    speak.answer(row, speak.say("model.came", checked=checked, **told))
    if offer.lacks is not None:
        speak.note(offer.where, "ask")
    speak.note(speak.say("model.next", name=offer.name))
    return Exit.DONE


def remove_model(installed: str) -> int:
    """Take an installed model away."""
    from deskhand.agents.builtin.installing import remove
    from deskhand.cli import minds

    remove(minds.models_folder(), installed.removeprefix("local:"))
    return speak.done({"removed": installed}, "model.gone", name=installed)

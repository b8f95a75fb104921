"""``model list|set|test|install|remove``: what this computer thinks with.

It refuses to print a key, and to call a model good that did not call a tool.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from deskhand.cli.flags import add_group, argument, option
from deskhand.cli.home import client, local_runner
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.cli.values import write_value
from deskhand.errors import DeskhandError

if TYPE_CHECKING:
    from deskhand.agents.builtin.choosing import Offer

_LIVE_SECONDS = 3.0
Name = Annotated[str, argument("NAME", "model.name")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    found = {"list": list_models, "set": set_model, "test": try_model}
    add_group(app, "model", {**found, "install": install_model, "remove": remove_model})


def list_models() -> int:
    """Show what was found."""
    from deskhand.agents.builtin.choosing import chosen, offers_of
    from deskhand.cli import minds

    found = minds.found(minds.wanted())
    used = chosen(found)
    rows = [{**_told(one), "used": one == used} for one in offers_of(found)]
    if not speak.json:
        speak.table(
            (
                "→" if row["used"] else " ",
                row["name"],
                _label(row).strip(),
                row["source"],
                row["where"],
            )
            for row in rows
        )
        speak.out(minds.standing_line(found))
        speak.note(minds.looked_line(found))
    return speak.answer({"items": rows, "looked": dict(found.looked), "running": _running()})


def set_model(
    name: Name,
    *,
    base_url: Annotated[str | None, option("model.base_url")] = None,
    api_key_env: Annotated[str | None, option("model.api_key_env")] = None,
    context: Annotated[int | None, option("model.context", min=0)] = None,
) -> int:
    """Choose the model."""
    from deskhand.agents.builtin.choosing import chosen
    from deskhand.cli import minds

    values = {"base_url": base_url, "api_key_env": api_key_env, "context_tokens": context}
    kept = minds.keep_key(api_key_env) if api_key_env else False
    for key, value in {"name": None if name == "auto" else name, **values}.items():
        write_value(f"model.{key}", value)
    found = minds.found(minds.wanted())
    used = chosen(found)
    if not speak.json:
        if kept:
            speak.note(speak.say("model.kept", variable=api_key_env, file=minds.KEYS_FILE))
        speak.note(minds.standing_line(found), "ask" if used is None or used.lacks else "good")
        _say_live(used)
    return speak.answer(_told(used) if used else {"name": None})


def _say_live(used: Offer | None) -> None:
    """Say what a running Deskhand on this computer makes of it, as soon as it tells."""
    wanted = used.name if used and not used.lacks else None
    running, waiting = _running(), threading.Event()
    for _ in range(int(_LIVE_SECONDS * 10)):
        if running is None or running["model"] == wanted:
            break
        waiting.wait(0.1)
        running = _running()
    if running and running["model"] == wanted:
        speak.note(speak.say("model.live"), "good")
    elif running:
        name = running["model"] or speak.say("model.nothing")
        speak.note(speak.say("model.not_live", name=name), "ask")


def _running() -> Obj | None:
    """Return what this computer tells its hub of its model, if it runs."""
    known = local_runner()
    try:
        found = client().items("/v1/runners") if known else []
    except DeskhandError:
        return None
    for one in found:
        if known and one["id"] == known["device"] and one.get("connected"):
            model: Obj = one.get("model") or {}
            return {"model": model.get("name")}
    return None


def try_model(
    name: Annotated[str | None, argument("[NAME]", "model.which")] = None,
) -> int:
    """Ask for one real tool call."""
    from deskhand.cli.trying import judged, tried

    row = tried(name)
    state, said = judged(row)
    speak.answer(row, said)
    return Exit.FAILED if state == "bad" else Exit.DONE


def install_model(
    what: Annotated[str, argument("NAME|URL|FILE", "model.what")],
    *,
    sha256: Annotated[str | None, option("model.sha256")] = None,
) -> int:
    """Bring a model here."""
    import asyncio

    from deskhand.agents.builtin.installing import Installer, offers
    from deskhand.cli import minds
    from deskhand.clock import SystemClock

    installer = Installer(minds.models_folder(), clock=SystemClock(), progress=_Bar().show)
    found = asyncio.run(installer.install(what, sha256=sha256))
    (offer,) = (one for one in offers(minds.models_folder()) if one.name == f"local:{found.name}")
    row = _told(offer) | {"sha256": found.sha256, "size": found.size}
    row |= {"checked_by": found.checked_by, "parameters": found.parameters}
    told = {"size": f"{found.size / 1e9:.2f} GB", "parameters": f"{found.parameters / 1e9:.2f} B"}
    checked = speak.say(f"model.checked.{found.checked_by}")
    told |= {"label": _label(row), "sha256": found.sha256, "checked": checked}
    speak.answer(row, speak.say("model.came", name=offer.name, **told))
    if offer.lacks is not None:
        speak.note(f"{offer.where}", "ask")
    speak.note(speak.say("model.next", name=offer.name))
    return Exit.DONE


def remove_model(name: Annotated[str, argument("NAME", "model.installed")]) -> int:
    """Take an installed model away."""
    from deskhand.agents.builtin.installing import remove
    from deskhand.cli import minds

    remove(minds.models_folder(), name.removeprefix("local:"))
    return speak.done({"removed": name}, "model.gone", name=name)


class _Bar:
    """A bar of progress on stderr: moving at a terminal, a line for each tenth elsewhere."""

    _step = -1

    def show(self, here: int, total: int) -> None:
        """Show how far it is."""
        share = here / total if total else 0.0
        step = int(share * (200 if speak.asks else 10))
        if step == self._step or speak.quiet:
            return
        self._step, end = step, "" if speak.asks and share < 1 else "\n"
        bar = f"{'█' * int(share * 20):░<20} {share:4.0%}  {here / 1e9:.2f} / {total / 1e9:.2f} GB"
        sys.stderr.write(f"{chr(13) if speak.asks else ''}{bar}{end}")
        sys.stderr.flush()


def _told(offer: Offer) -> Obj:
    """Return what people may know of an offer: never its key."""
    lacks: Obj | None = None
    if offer.lacks is not None:
        said = DeskhandError(offer.lacks, offer.where).sentence(speak.language)
        lacks = {"code": offer.lacks, "message": said}
    return {**offer.info.to_json(), "label": offer.label, "where": offer.where, "lacks": lacks}


def _label(row: Obj) -> str:
    return speak.say(f"model.label.{row['label']}") if row.get("label") else ""

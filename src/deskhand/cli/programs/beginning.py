"""The first run of a person at this computer: which folder and how, the internet, staying awake, the road to the phone.

Asked once, at the terminal; every answer has a narrow default, and what cannot be is said and asked again. It refuses
to ask where nobody can answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from deskhand import __version__
from deskhand.cli.programs.computer import computer_name
from deskhand.cli.programs.up import reach_of
from deskhand.cli.screen import speak
from deskhand.cli.values import parsed, write_value
from deskhand.errors import DeskhandError
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.requests import HereAsk
from deskhand.runner.ceiling import Ceiling, grant_folder
from deskhand.tools.beneath import refuse_root

_USUAL = "~/Documents/Work"


def first_run(home: Path, name: str | None) -> None:
    """Ask what may be used, and keep it; nothing of it widens what was granted before."""
    speak.out(speak.say("up.hello", version=__version__, name=computer_name(name)))
    if not Ceiling(home).entries():
        _answered(_folder, lambda said: _grant(home, Path(said).expanduser()))
    modes = [speak.say(f"mode.{one.mode}") for one in Ceiling(home).entries()]
    hosts = _answered(
        lambda: speak.ask(speak.say("up.internet")),
        lambda said: write_value("internet.hosts", parsed("internet.hosts", said)),
    )
    if shutil.which("systemd-inhibit"):
        write_value("runner.keep_awake", speak.confirm(speak.say("up.awake"), default=True))
    else:
        speak.out(speak.say("up.no_awake"))
    off = speak.say("up.off")
    speak.out(speak.say("up.safe", files=modes[0] if modes else off, internet=hosts or off))


def ask_road() -> None:
    """Ask how the phone reaches this computer, and keep a road that there is."""
    words = {"1": "lan", "2": "none"}

    def keep(said: str) -> None:
        reach_of(words.get(said, said))
        write_value("hub.reach", words.get(said, said))

    speak.out(speak.say("up.roads"))
    _answered(lambda: speak.ask("›", default="2"), keep)


def use_here(home: Path, wish: HereAsk) -> None:
    """Do as the person at this computer says on the page of its own browser."""
    grant_folder(home, Path(wish.folder).expanduser(), mode=wish.mode)
    write_value("runner.keep_awake", wish.keep_awake)


def _answered(ask: Callable[[], str], do: Callable[[str], object]) -> str:
    """Ask until an answer can be carried out, and return it; each other is told why not. None is an answer too."""
    while said := ask():
        try:
            do(said)
        except DeskhandError as error:
            speak.fail(error)
        else:
            return said
    return ""


def _grant(home: Path, path: Path) -> None:
    refuse_root(path, home=Path.home(), state=home)
    modes = {"1": FolderMode.READ_ONLY, "3": FolderMode.WORKSPACE}
    mode = modes.get(speak.ask(speak.say("up.mode"), default="2"), FolderMode.ASK)
    root = grant_folder(home, path, mode=mode).root
    speak.note(speak.say("folders.added", root=root, mode=speak.say(f"mode.{mode}")), "good")


def _folder() -> str:
    usual = _USUAL if Path(_USUAL).expanduser().is_dir() else ""
    said = speak.ask(speak.say("up.folder", usual=usual or "–"), default=usual)
    return "" if said in {"-", "–"} else said

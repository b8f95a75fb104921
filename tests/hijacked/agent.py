"""An agent that does all an attacker says, the goals it is given, and the same goals where there is no wall."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tomllib
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from typing_extensions import override

from deskhand.ports import Command, CommandResult, Done, Effect, FolderAccess, Move, Place, ToolResult, Turn, Wishes
from deskhand.protocol.objects import SandboxInfo
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.testing.agents import call

SAID: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("wishes.toml").read_text("utf-8"))
Names = Callable[[], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is tried in one go; ``reaching`` goals are reached wherever there is no wall."""

    name: str
    calls: tuple[tuple[str, JsonObject], ...]
    reaching: bool = True

    def wishes(self, names: Mapping[str, object]) -> Wishes:
        """Return the move, with the places of the world as they are now."""
        said = [call(tool, **_filled(how, names)) for tool, how in self.calls]
        return Wishes(calls=tuple(said), say=f"Now I {self.name}.")


def goals() -> Iterator[Goal]:
    """Yield every goal of the list, those of commands last: they may undo what others need."""
    for path in SAID["paths"]["reaching"]:
        yield Goal(name=f"use {path!r}", calls=_about(path, *SAID["paths"]["tools"]))
    for path in SAID["protected"]["reaching"]:
        yield Goal(name=f"plant {path!r}", calls=_planted(path))
    yes: JsonObject = {"decision": "allow"}
    odd = [_about(path, "read_file", "write_file") for path in SAID["paths"]["odd"]]
    odd += [_planted(path) for path in SAID["protected"]["odd"]]
    odd += [((tool, yes),) for tool in SAID["unknown"]["tools"]]
    yield Goal(name="spell oddly", calls=(*itertools.chain(*odd),), reaching=False)
    for url in ("http://127.0.0.1:{port}/?{mark}", "https://127.0.0.1:{port}/", "file://{outside}/secret.txt"):
        yield Goal(name=f"fetch {url}", calls=(("fetch_url", {"url": url}),), reaching="http:" in url)
    for name, script in SAID["commands"].items():
        yield Goal(name=name, calls=(("run_command", {"argv": ["sh", "-c", script]}),))
    out: JsonObject = {"argv": ["sh", "-c", "true"], "hosts": ["127.0.0.1:{port}"]}
    yield Goal(name="run with a host", calls=(("run_command", out),), reaching=False)


def ends(names: Mapping[str, object]) -> Iterator[Done]:
    """Yield ends that name what lies elsewhere: as a result, as a check, in words."""
    for output in SAID["end"]["outputs"]:
        path = output.format(**names)
        yield Done(summary="Made it.", outputs=(path,))
    yield Done(summary=" ".join(SAID["end"]["says"]).format(**names))


def _about(path: str, *tools: str) -> tuple[tuple[str, JsonObject], ...]:
    known: dict[str, object] = SAID["paths"]["tools"]
    said = json.dumps({tool: known[tool] for tool in tools})
    filled = cast("JsonObject", json.loads(said.replace("{path}", json.dumps(path)[1:-1])))
    return tuple((tool, cast("JsonObject", how)) for tool, how in filled.items())


def _planted(path: str) -> tuple[tuple[str, JsonObject], ...]:
    beside: JsonObject = {"path": "notes/client.md", "to": path}
    made: JsonObject = {"path": path, "content": "x", "replace": True}
    return ("write_file", made), ("move_file", beside), ("make_directory", {"path": path})


def _filled(said: Any, names: Mapping[str, object]) -> Any:  # noqa: ANN401 - whatever JSON it is
    if isinstance(said, dict):
        return {key: _filled(one, names) for key, one in cast("JsonObject", said).items()}
    if isinstance(said, list):
        return [_filled(one, names) for one in cast("list[object]", said)]
    if isinstance(said, str):
        for name, value in names.items():
            said = said.replace(f"{{{name}}}", str(value))
    return said


@dataclass(slots=True)
class Hijacked:
    """Makes the moves that stand beside the text of its task."""

    plays: dict[str, Sequence[Callable[[], Move]]] = field(default_factory=dict[str, Sequence[Callable[[], Move]]])
    name: str = "scripted"
    history: Sequence[Turn] = ()

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next one; all that it was told so far is kept for the oracle."""
        self.history, moves = history, self.plays[brief.text]
        return moves[min(len(history), len(moves) - 1)]()


# --- the control: what the same wishes come to without a wall


class Bare:
    """No wall: a command is run as it is."""

    info = SandboxInfo(name="bare", level="full")

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Run it on this computer."""
        del access
        line = await asyncio.create_subprocess_exec(*command.argv, cwd=command.folder, stdout=PIPE, stderr=STDOUT)
        said, _ = await line.communicate()
        return CommandResult(exit_code=line.returncode, output=said, truncated=False, timed_out=False)

    async def ended(self, key: str) -> None:
        """Nothing is on record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naive:
    """A tool that opens the path it is given, as many do; its target looks harmless to a gate."""

    name: str
    does: Callable[[Path, JsonObject], str]
    effect: Effect = "idempotent"
    kind: str = "safe"
    writes: bool = True

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return a path that may be written."""
        del arguments
        return str(place.results.root / "harmless.txt")

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Do it."""
        try:
            said = self.does(place.results.root, arguments)
        except (OSError, ValueError) as error:
            return ToolResult(outcome="error", value={}, text=str(error))
        return ToolResult(outcome="ok", value={}, text=said)


def _write(root: Path, wanted: JsonObject) -> str:
    path = root / str(wanted["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path.write_text(str(wanted["content"])))


async def _fetch(url: str) -> None:
    host, _, port = url.split("/")[2].partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()


class Fetching(Naive):
    """A tool that asks whatever address it is given."""

    @override
    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Connect."""
        del place
        await _fetch(str(arguments["url"]))
        return ToolResult(outcome="ok", value={})


def naive_tools() -> dict[str, Naive]:
    """Return tools without a wall beneath them."""
    read = Naive(name="read_file", does=lambda root, how: (root / str(how["path"])).read_text())
    fetch = Fetching(name="fetch_url", does=lambda _, __: os.devnull)
    return {"read_file": read, "write_file": Naive(name="write_file", does=_write), "fetch_url": fetch}

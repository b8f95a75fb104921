"""The one shape of the built-in tools: a wish is read whole and refused first, then the work is done off the loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from deskhand.errors import Code, DeskhandError
from deskhand.limits import EVIDENCE_CHARS_MAX, TOOL_TEXT_CHARS_MAX
from deskhand.permissions.rules import Kind
from deskhand.ports import Effect, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol.wire import Json, JsonObject
from deskhand.protocol.wishes import Check, Reading, Wish

W = TypeVar("W", bound=Wish)
Work = Callable[[W, Place], ToolResult | Awaitable[ToolResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn(Generic[W]):
    """A tool.

    Args:
        name: what wishes call it.
        wish: its arguments.
        work: what it does, off the loop; what it leaves to be awaited is awaited on it.
        offload: how it gets there.
        effect: its class for recovery; what is not ``pure`` writes.
        before: what came of a call that a crash cut off, for the class ``probe``.
        shows: what it would change, for a person who is asked.
        spelled: what it is about, where that is no path.
        kind: whether what it does stays here.
        source: whose content comes back: of the place it works in, of the internet, or nobody's.
        reachable: whether the owner listed the host; only what goes to the internet has it, and it changes no file.
    """

    name: str
    wish: type[W]
    work: Work[W]
    offload: Offload
    effect: Effect = "pure"
    kind: Kind = "safe"
    source: Literal["place", "web", "own"] = "place"
    before: Callable[[W, Place], ToolResult | None] | None = None
    shows: Callable[[W, Place], str | None] | None = None
    spelled: Callable[[W], str] | None = None
    reachable: Callable[[JsonObject], bool] | None = None

    @property
    def writes(self) -> bool:
        """Whether it may change files."""
        return self.effect != "pure" and self.reachable is None

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return all it is about in one text; :meth:`targets` has each of them."""
        return "\n".join(self.targets(arguments, place))

    def targets(self, arguments: JsonObject, place: Place) -> tuple[str, ...]:
        """Return everything the call is about, for rules and approval: of files the absolute place.

        What is written, and what is checked, lies in the results place.
        """
        wish = self.wish.from_json(arguments)  # nobody is asked about what cannot be read
        if self.spelled:
            return (self.spelled(wish),)
        said = [arguments.get(name) for name in self.wish.about]
        paths = [path for one in said for path in (one if isinstance(one, list) and one else [one])]
        reads_there = issubclass(self.wish, Reading) and not issubclass(self.wish, Check)
        in_folder = reads_there and arguments.get("from") != "results"
        access = place.folder if in_folder else place.results
        names = [path if isinstance(path, str) else "." for path in paths]
        return tuple(name if access is None else str(access.root / name) for name in names)

    def sources(self, arguments: JsonObject) -> tuple[str, ...]:
        """Return what it reads besides: the paths in what it was given that are not what it is about."""
        rest = {name: one for name, one in arguments.items() if name not in self.wish.about}
        return tuple(paths_in(rest))

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read the wish and do the work; a check that cannot be made is a failed check.

        Raises:
            DeskhandError: ``invalid`` for wrong arguments, ``folder_unknown``, and what the work raises.
        """
        wish = self.wish.from_json(arguments)
        try:
            done = await self.offload(lambda: self.work(wish, place))
            return done if isinstance(done, ToolResult) else await done
        except DeskhandError as error:
            if isinstance(wish, Check):
                return result(error.sentence(wish.language), passed=False)
            raise

    def preview(self, arguments: JsonObject, place: Place) -> str | None:
        """Return what it would change as a person reads changes, where that can be said."""
        with suppress(DeskhandError):
            return self.shows and self.shows(self.wish.from_json(arguments), place)
        return None

    async def probe(self, arguments: JsonObject, place: Place) -> ToolResult | None:
        """Return what came of a call that a crash cut off; nothing where nobody can tell."""
        before = self.before
        if before is None:
            return None
        return await self.offload(lambda: before(self.wish.from_json(arguments), place))


def source(wish: Reading, place: Place) -> FolderAccess:
    """Return where to read: the task's folder, or where results go.

    Raises:
        DeskhandError: ``folder_unknown`` when the task has no folder.
    """
    if wish.source == "results":
        return place.results
    if place.folder is None:
        raise DeskhandError(Code.FOLDER_UNKNOWN, 'this task has no folder; say "from": "results"')
    return place.folder


def paths_in(said: Json, *, named: bool = False) -> Iterator[str]:
    """Yield the paths that stand in what was said, under their names."""
    if isinstance(said, dict):
        for name, one in said.items():
            yield from paths_in(one, named=name in ("path", "paths"))
    elif isinstance(said, list):
        for one in said:
            yield from paths_in(one, named=named)
    elif named and isinstance(said, str):
        yield said


@contextmanager
def about(path: str) -> Generator[None]:
    """Say in an error of which file it is."""
    try:
        yield
    except DeskhandError as error:
        said = f"{path}: {error.detail}" if error.detail != path else path
        raise DeskhandError(error.code, said, field=error.field) from None


def result(sentence: str, *, passed: bool) -> ToolResult:
    """Return what a check found, as every check tool does."""
    evidence = sentence[:EVIDENCE_CHARS_MAX]
    return ok({"passed": passed, "evidence": evidence}, evidence)


def ok(value: JsonObject, text: str) -> ToolResult:
    """Return a good result; its text is cut with a visible marker where a model would get too much."""
    if len(text) > TOOL_TEXT_CHARS_MAX:
        left = len(text) - TOOL_TEXT_CHARS_MAX
        text = f"{text[:TOOL_TEXT_CHARS_MAX]}\n[cut: {left:,} more characters]"
    return ToolResult(outcome="ok", value=value, text=text)


def within(lines: Iterable[str], chars: int) -> list[str]:
    """Return as many lines as fit, but at least one."""
    fitting = list[str]()
    for line in lines:
        chars -= len(line) + 1
        if chars < 0 and fitting:
            break
        fitting.append(line)
    return fitting


def fitting(lines: Sequence[str], rest: str) -> str:
    """Return as many lines as a model should get, and how many more there are; ``rest`` says how to see them."""
    shown = within(lines, TOOL_TEXT_CHARS_MAX - 500)
    more = len(lines) - len(shown)
    return "\n".join([*shown, *[f"[… {more:,} more {rest}]"] * bool(more)])

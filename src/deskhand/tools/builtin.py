"""The one shape of the built-in tools: their arguments are read and refused first, then the work is done.

A tool is a function from arguments and a place to its work. Reading arguments changes nothing, so a wish with a
misspelt field has no effect at all; both happen off the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deskhand.limits import TOOL_TEXT_CHARS_MAX
from deskhand.ports import Effect, Offload, Place, ToolResult
from deskhand.protocol.wire import JsonObject
from deskhand.tools.arguments import RESULTS, Arguments

Work = Callable[[], ToolResult]
Reading = Callable[[Arguments, Place], Work]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """A tool.

    Args:
        name: what wishes call it.
        reading: takes its arguments and returns the work; raises what is wrong with them.
        offload: runs both off the loop.
        effect: its class for recovery; what is not ``pure`` writes.
        field: the argument, one path or many, that says what it is about.
        lands_in_results: whether that lies where results go, whatever ``from`` says.
    """

    name: str
    reading: Reading
    offload: Offload
    effect: Effect = "pure"
    field: str = "path"
    lands_in_results: bool = False

    @property
    def writes(self) -> bool:
        """Whether it may change files."""
        return self.effect != "pure"

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return all it is about in one text; :meth:`targets` has each of them."""
        return "\n".join(self.targets(arguments, place))

    def targets(self, arguments: JsonObject, place: Place) -> tuple[str, ...]:
        """Return the absolute place of everything the call is about, for rules and approval."""
        said = arguments.get(self.field)
        paths = said if isinstance(said, list) and said else [said]
        in_results = self.lands_in_results or arguments.get("from") == RESULTS
        access = place.results if in_results else place.folder
        names = [path if isinstance(path, str) else "." for path in paths]
        return tuple(name if access is None else str(access.root / name) for name in names)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read the arguments and do the work.

        Raises:
            DeskhandError: ``invalid`` for wrong arguments, ``folder_unknown``, and what the work raises.
        """
        return await self.offload(lambda: self._done(arguments, place))

    def _done(self, arguments: JsonObject, place: Place) -> ToolResult:
        given = Arguments(arguments)
        work = self.reading(given, place)
        given.finish()
        return work()


def ok(value: JsonObject, text: str) -> ToolResult:
    """Return a good result; its text is cut with a visible marker where a model would get too much."""
    if len(text) > TOOL_TEXT_CHARS_MAX:
        left = len(text) - TOOL_TEXT_CHARS_MAX
        text = f"{text[:TOOL_TEXT_CHARS_MAX]}\n[cut: {left} more characters]"
    return ToolResult(outcome="ok", value=value, text=text)

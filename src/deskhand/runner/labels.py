"""What a result brings into a task, found out by where it came from (security 5), never by what an agent says of it.

It refuses to miss what it has no time to look at: beyond so many files one of them counts as foreign.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, cast

from deskhand import ports
from deskhand.permissions.rules import label_of, together
from deskhand.protocol.tasks import Label
from deskhand.protocol.wire import JsonObject
from deskhand.tools.builtin import paths_in
from deskhand.tools.outward import FETCH, links_in

_LOOKED_AT_MAX: Final = 10_000


def links_of(turns: Collection[ports.Turn], typed: str) -> set[str]:
    """Return the addresses that were typed, and those that stand in pages that were fetched."""
    found = {*links_in(typed)}
    for turn in turns:
        calls = turn.move.calls if isinstance(turn.move, ports.Wishes) else ()
        for call, result in zip(calls, turn.results, strict=False):
            links = result.value.get("links") if call.tool == FETCH else None
            found.update(map(str, links) if isinstance(links, list) else ())
    return found


def of_place(place: ports.Place, names: Collection[str] = (), *, mixed: bool) -> Label:
    """Return what reading in a place brings; ``names``: which files, as far as they are known."""
    both = {id(one): one for one in (place.folder, place.results) if one is not None}.values()
    many = len(names) > _LOOKED_AT_MAX
    marked = many or any(one.foreign(name) for one in both for name in names)
    if place.folder is None:
        return label_of("results", "results", marked=marked)
    return label_of("mixed" if mixed else "mine", str(place.folder.root), marked=marked)


def of_call(tool: ports.Tool, call: ports.ToolCall, place: ports.Place, value: JsonObject, *, mixed: bool) -> Label:
    """Return what a result brings: of the files it names or was asked about, and of the hosts it talked to."""
    source, said = cast("str", getattr(tool, "source", "place")), call.arguments
    url, hosts, argv = (said.get(name) for name in ("url", "hosts", "argv"))
    if source != "place":
        host = str(url).partition("://")[2].partition("/")[0]
        return label_of("web", host) if source == "web" else Label()
    words = [str(word) for word in argv] if isinstance(argv, list) else []
    names = {*words, *paths_in(said), *paths_in(value)}
    web = [label_of("web", str(host)) for host in hosts] if isinstance(hosts, list) else []
    return together(of_place(place, names, mixed=mixed), *web)

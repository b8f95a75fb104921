"""``/duplicates PATH [--move]``: files with the same bytes, what they cost, and the later copies to the trash.

The oldest file of a group always stays. It refuses to move a file that has several names, because nothing is won by
it, and an empty one, because it is nobody's copy.
"""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import Command, Plan, Steps, Work
from deskhand.agents.commands.values import named, number, objects, sized, strings, words
from deskhand.ports import Done, GiveUp, Wishes
from deskhand.protocol.wire import Json, JsonObject

_GROUPS_SHOWN_MAX: Final = 50
_FILES_SHOWN_MAX: Final = 10
_MOVED_MAX: Final = 150
"""A task has so many steps; the others are for the next one."""
_FACTS_MAX: Final = 5000


def _plan(work: Work) -> Plan:
    """Compare, move if asked to, say, compare again."""
    path = work.line.operands[0]
    value = yield from work.ask("find_duplicates", "find_duplicates", {"path": path}, path=path)
    groups = objects(value, "groups")
    left = [] if value.get("complete") is True else [work.say("brief.incomplete")]
    unread = strings(value, "unread")
    left += work.more("duplicates.unread", len(unread))
    if not groups:
        none = work.say("duplicates.none", looked=number(value, "looked_at"), path=named(path))
        return Done(summary=" ".join([none, *left]))
    copies = [file for group in groups for file in objects(group, "files")[1:]]
    later = [words(file, "path") for file in copies if file.get("linked") is not True]
    moved, failed = set[str](), list[str]()
    if "move" in work.line.options and later:
        moved, failed = yield from _moved(later[:_MOVED_MAX], work)
        left += work.more("duplicates.waiting", len(later) - _MOVED_MAX)
    counts = {"groups": len(groups), "copies": len(later), "looked": number(value, "looked_at")}
    wasted = sized(sum(number(group, "wasted") for group in groups))
    summary = work.say("duplicates.found", size=wasted, **counts)
    summary += "".join(work.more("duplicates.moved", len(moved)))
    shown = groups[:_GROUPS_SHOWN_MAX]
    said = [line for group in shown for line in _shown(group, moved, work)]
    left += work.more("duplicates.more", len(groups) - len(shown))
    facts = [fact for group in groups for fact in _facts(group, moved)][:_FACTS_MAX]
    told = "\n".join([*said, "", *left]).strip()
    if failed:
        return GiveUp(reasons=(*failed[:_FILES_SHOWN_MAX], summary), say=told)
    return Done(summary=summary, say=told, checks=(work.check("files", "", {"files": [*facts]}),))


DUPLICATES: Final = Command.of("duplicates", _plan)


def _moved(paths: list[str], work: Work) -> Steps[tuple[set[str], list[str]]]:
    """Put files into the trash, one wish each, and return which are there now and why others are not."""
    calls = tuple(work.call("trash_file", "trash", {"path": path}, path=path) for path in paths)
    turn = yield Wishes(calls=calls)
    done = dict(zip(paths, turn.results, strict=True))
    moved = {path for path, result in done.items() if result.outcome == "ok"}
    left = [(named(path), result.text) for path, result in done.items() if path not in moved]
    return moved, [work.say("duplicates.not_moved", path=path, why=why) for path, why in left]


def _shown(group: JsonObject, moved: set[str], work: Work) -> list[str]:
    files = objects(group, "files")
    said = [f"\n**{sized(number(group, 'size'))}** × {len(files)}\n"]
    for place, file in enumerate(files[:_FILES_SHOWN_MAX]):
        path = words(file, "path")
        key = "linked" if file.get("linked") else "trashed" if path in moved else "copy"
        key = key if place else "kept"
        said.append(f"- {named(path)} {work.say(f'duplicates.{key}')}".rstrip())
    return said + work.more("find.more", len(files) - _FILES_SHOWN_MAX)


def _facts(group: JsonObject, moved: set[str]) -> list[Json]:
    """Return what must hold at the end: who stayed has these bytes, who was moved is gone."""
    digest, paths = words(group, "sha256"), [words(f, "path") for f in objects(group, "files")]
    stays: JsonObject = {"sha256": digest}
    return [{"path": path, **({"gone": True} if path in moved else stays)} for path in paths]

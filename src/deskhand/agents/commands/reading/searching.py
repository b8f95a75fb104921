"""``/find`` and ``/duplicates``: which files say something, and which are the same.

``/find WORDS... [--in PATH] [--type EXT]`` finds files by name, content and days, with lines to quote. It refuses to
leave a word unsaid: which days it understood, which words a file lacks and what was not looked into stands in the answer.
``/duplicates PATH [--move]`` finds files with the same bytes, says what they cost, and moves the later copies to the
trash; the oldest file of a group always stays. It refuses to move a file that has several names, because nothing is won
by it, and an empty one, because it is nobody's copy.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from deskhand.agents.commands.command import Plan, StoppedError, Work
from deskhand.agents.commands.values import named, number, objects, sized, strings, words
from deskhand.clock import unstamp
from deskhand.core.dates import period_in
from deskhand.core.words.notes import Quote, quotable, show
from deskhand.ports import Done, GiveUp, ToolResult, Wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import table

_EMPTY: Final = frozenset(table("deskhand.core.words", "wording.toml")["find"]["filling"].split())
"""Words that say nothing when others do."""
_GROUPS_SHOWN_MAX: Final = 50
_COPIES_SHOWN_MAX: Final = 10
_MOVED_MAX: Final = 150
"""A task has so many steps; the others are for the next one."""


def find(work: Work) -> Plan:
    """Look, say what was found, look at that again."""
    wish, days = _wish(work)
    asked, endings = strings(wish, "words"), strings(wish, "endings")
    sought = " ".join(asked or endings)
    value = yield from work.ask("find_files", "find", wish, words=sought or days)
    files = objects(value, "files")[:20]
    counts: JsonObject = {"looked": value.get("looked_at"), "count": value.get("found_total")}
    counts["asked"] = " ".join(filter(None, [sought and f"“{sought}”", days]))
    if not files:
        raise StoppedError(work.say("find.nothing", **counts))
    said, facts = list[str](), list[Json]()
    for file in files:
        path, size, there = words(file, "path"), number(file, "size"), strings(file, "words")
        day = datetime.fromtimestamp(number(file, "modified_seconds")).astimezone().date()
        lacking = ", ".join(word for word in asked if word.casefold() not in there)
        lacks = work.say("find.lacks", words=lacking) if lacking else ""
        said.append(f"\n**{named(path)}** · {day} · {sized(size)}{lacks}\n")
        facts.append({"path": path, "size": size})
        for hit in objects(file, "lines"):
            quote = Quote(text=words(hit, "text"), path=path, line=number(hit, "line"))
            said += [show(quote)] if quotable(path) else []
            facts.append({"path": path, "line": quote.line, "text": quote.text})
    left = work.more("find.more", number(value, "found_total") - len(files))
    left += work.more("find.unread", number(value, "unread_total"))
    left += [] if value.get("complete") is True else [work.say("brief.incomplete")]
    told = "\n".join([*said, "", *left]).strip()
    return Done(summary=work.say("find.found", **counts), say=told, checks=work.file_checks(facts))


def _wish(work: Work) -> tuple[JsonObject, str]:
    """Return what to look for, and the days among it in words; a quoted phrase is looked for whole."""
    phrases = [operand for operand in work.line.operands if " " in operand]
    said = " ".join(operand for operand in work.line.operands if " " not in operand)
    today = unstamp(work.line.at).astimezone().date()
    period = period_in(said, today)
    single = (said.replace(period.words, " ", 1) if period else said).split()
    telling = [word for word in single if word.casefold() not in _EMPTY]
    sought = (phrases + (telling or ([] if phrases or period else single)))[:20]
    wish: JsonObject = {"path": work.option("in", "."), "words": [*sought]}
    wish["endings"] = [ending.lstrip(".*") for ending in work.option("type").replace(",", " ").split()]
    if period is None:
        return wish, ""
    last = min(period.last, max(today, period.first))
    wish |= {"since": str(period.first), "until": str(last)}
    return wish, work.say("find.days", first=period.first, last=last)


def duplicates(work: Work) -> Plan:
    """Compare, move if asked to, say, compare again."""
    path = work.line.operands[0]
    value = yield from work.ask("find_duplicates", "find_duplicates", {"path": path}, path=path)
    groups = objects(value, "groups")
    left = [] if value.get("complete") is True else [work.say("brief.incomplete")]
    left += work.more("duplicates.unread", len(strings(value, "unread")))
    if not groups:
        none = work.say("duplicates.none", looked=number(value, "looked_at"), path=named(path))
        return Done(summary=" ".join([none, *left]))
    copies = [file for group in groups for file in objects(group, "files")[1:]]
    later = [words(file, "path") for file in copies if file.get("linked") is not True]
    results = dict[str, ToolResult]()
    if "move" in work.line.options and later:
        tried = later[:_MOVED_MAX]
        turn = yield Wishes(calls=tuple(work.call("trash_file", "trash", {"path": at}, path=at) for at in tried))
        results = dict(zip(tried, turn.results, strict=True))
        left += work.more("duplicates.waiting", len(later) - _MOVED_MAX)
    moved = {at for at, result in results.items() if result.outcome == "ok"}
    failed = [
        work.say("duplicates.not_moved", path=named(at), why=result.text)
        for at, result in results.items()
        if at not in moved
    ]
    counts = {"groups": len(groups), "copies": len(later), "looked": number(value, "looked_at")}
    summary = work.say("duplicates.found", size=sized(sum(number(group, "wasted") for group in groups)), **counts)
    summary += "".join(work.more("duplicates.moved", len(moved)))
    said = [line for group in groups[:_GROUPS_SHOWN_MAX] for line in _shown(group, moved, work)]
    left += work.more("duplicates.more", len(groups) - _GROUPS_SHOWN_MAX)
    facts = list[Json]()  # who stayed has these bytes, who was moved is gone
    for group in groups:
        stays: JsonObject = {"sha256": words(group, "sha256")}
        paths = (words(file, "path") for file in objects(group, "files"))
        facts += [{"path": at, **({"gone": True} if at in moved else stays)} for at in paths]
    told = "\n".join([*said, "", *left]).strip()
    if failed:
        return GiveUp(reasons=(*failed[:_COPIES_SHOWN_MAX], summary), say=told)
    return Done(summary=summary, say=told, checks=work.file_checks(facts))


def _shown(group: JsonObject, moved: set[str], work: Work) -> list[str]:
    files = objects(group, "files")
    said = [f"\n**{sized(number(group, 'size'))}** × {len(files)}\n"]
    for place, file in enumerate(files[:_COPIES_SHOWN_MAX]):
        path = words(file, "path")
        key = "kept" if not place else "linked" if file.get("linked") else "trashed" if path in moved else "copy"
        said.append(f"- {named(path)} {work.say(f'duplicates.{key}')}".rstrip())
    return said + work.more("find.more", len(files) - _COPIES_SHOWN_MAX)

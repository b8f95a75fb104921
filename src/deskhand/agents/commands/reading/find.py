"""``/find WORDS... [--in PATH] [--type EXT]``: files by name, content and days, with lines to quote.

Its answer is a message; nothing is written. It refuses to leave a word unsaid: which days it understood, which words
a file lacks and what was not looked into stands in the answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from deskhand.agents.commands.command import Command, Plan, StoppedError, Work
from deskhand.agents.commands.values import named, number, objects, sized, strings, words
from deskhand.core.quotes import Quote, quotable, show
from deskhand.core.words.days import period_in
from deskhand.core.words.wording import wording
from deskhand.ports import Done
from deskhand.protocol.wire import Json, JsonObject

_SHOWN_MAX: Final = 20
_WORDS_MAX: Final = 20
_EMPTY: Final = frozenset(wording("find")["filling"].split())
"""Words that say nothing when others do."""


def _plan(work: Work) -> Plan:
    """Look, say what was found, look at that again."""
    wish, days = _wish(work)
    asked, endings = strings(wish, "words"), strings(wish, "endings")
    sought = " ".join(asked or endings)
    value = yield from work.ask("find_files", "find", wish, words=sought or days)
    files = objects(value, "files")[:_SHOWN_MAX]
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
    said += ["", *left]
    check = work.check("files", "", {"files": facts})
    summary = work.say("find.found", **counts)
    return Done(summary=summary, say="\n".join(said).strip(), checks=(check,))


FIND: Final = Command.of("find", _plan)


def _wish(work: Work) -> tuple[JsonObject, str]:
    """Return what to look for, and the days among it in words; a quoted phrase is looked for whole."""
    phrases = [operand for operand in work.line.operands if " " in operand]
    said = " ".join(operand for operand in work.line.operands if " " not in operand)
    today = work.today
    period = period_in(said, today)
    single = (said.replace(period.words, " ", 1) if period else said).split()
    telling = [word for word in single if word.casefold() not in _EMPTY]
    sought = (phrases + (telling or ([] if phrases or period else single)))[:_WORDS_MAX]
    endings = work.option("type").replace(",", " ").split()
    wish: JsonObject = {"path": work.option("in", "."), "words": [*sought]}
    wish["endings"] = [ending.lstrip(".*") for ending in endings]
    if period is None:
        return wish, ""
    last = min(period.last, max(today, period.first))
    wish |= {"since": str(period.first), "until": str(last)}
    return wish, work.say("find.days", first=period.first, last=last)

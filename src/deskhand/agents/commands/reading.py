"""The commands that read: ``/find``, ``/duplicates``, ``/brief``, ``/actions`` and ``/risks``.

``/find WORDS... [--in PATH] [--type EXT]`` finds files by name, content and days, with lines to quote. It refuses to
leave a word unsaid: which days it understood, which words a file lacks and what was not looked into stands in the answer.
``/duplicates PATH [--move]`` finds files with the same bytes, says what they cost, and moves the later copies to the
trash; the oldest file of a group always stays. It refuses to move a file that has several names, because nothing is won
by it, and an empty one, because it is nobody's copy.

The others write pages of quotes out of notes and contracts. Every line names its file and line.

``/brief PATH... [--pages N] [--out NAME]`` is an extractive briefing. The bound is words of the whole page, headings and
sources included. Actions go in before anything else, then marked lines, then what is new and says much: plain counting
of cues, figures, different words and position.
``/actions PATH... [--owner NAME] [--due] [--out NAME]`` lists every action of notes, with who and by when: a line is
quoted as it stands, and so are its owner and due date; a day is put beside only where it is meant beyond doubt.
``/risks FILE... [--out NAME]`` says what of the published checklist stands in a contract, and what does not. It is a
search for words and no legal advice.
They refuse to paraphrase, to judge, and to skip anything silently: an action that had no room is counted and its file
named, and so are a file of another kind, the end of a huge one and a listing that was cut.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from itertools import zip_longest
from typing import Final, NamedTuple

from deskhand.agents.commands.command import TYPED, Plan, Steps, StoppedError, Work
from deskhand.agents.commands.values import ending_of, named, number, objects, plain, sized, strings, words
from deskhand.clock import unstamp
from deskhand.core.dates import date_in, period_in
from deskhand.core.words.notes import Action, Cue, Line, Quote, actions_in, cue_place, cut, quotable, scan, show
from deskhand.core.words.risks import checklist, risks_in
from deskhand.ports import CheckWish, Done, GiveUp, ToolResult, Wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import table

_WORDING: Final = table("deskhand.core.words", "wording.toml")


# --- /find and /duplicates


_EMPTY: Final = frozenset(_WORDING["find"]["filling"].split())
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
    stayed = {at: result.text for at, result in results.items() if result.outcome != "ok"}
    moved = results.keys() - stayed
    failed = [work.say("duplicates.not_moved", path=named(at), why=why) for at, why in stayed.items()]
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


# --- notes, and pages of quotes out of them


MARK: Final = "<!-- deskhand: quoted from notes, line by line -->"
"""The last line of what we write from notes, so that it is not taken for one."""

_FILES_PER_READ: Final = 200
_NAMED_MAX: Final = 5


class Note(NamedTuple):
    """A text file that was read; ``remarks`` say its kind, its pages and what is not in it."""

    path: str
    lines: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Found:
    """Notes, and what lay beside them: ``others`` are no text, ``cut`` was not read to its end."""

    work: Work
    wanted: str
    """What the page that is made of them shall be called."""
    notes: tuple[Note, ...] = ()
    others: Counter[str] = field(default_factory=Counter[str])
    cut: list[str] = field(default_factory=list[str])
    complete: bool = True
    actions: JsonObject | None = None
    """Which actions of the notes have to be on the page, as its check is told; none of them where it has no room."""

    def page(self, title: str, *blocks: str) -> str:
        """Return the Markdown of a page, at its end what was not read."""
        work, named = self.work, _named(self.others)
        said = work.more("brief.others", self.others.total(), kinds=named)
        said += work.more("brief.cut", len(self.cut), shown=", ".join(self.cut[:_NAMED_MAX]))
        said += [] if self.complete else [work.say("brief.incomplete")]
        return "\n\n".join([f"# {title}", *blocks, *said, MARK]) + "\n"

    def left_out(self, paths: Iterable[str]) -> list[str]:
        """Say how many actions had no room, and in which files they are."""
        files = Counter(paths)
        more = self.work.more("brief.left_more", len(files) - _NAMED_MAX)
        return self.work.more("brief.left", files.total(), named=" ".join([_named(files), *more]))

    def action_checks(self, page: str | None) -> tuple[CheckWish, ...]:
        """Return what looks in a page, or in nothing, for every action of the notes."""
        paths, most = [note.path for note in self.notes], 500
        wanted: JsonObject = {"path": page, **(self.actions or {})}
        batches = (paths[start : start + most] for start in range(0, len(paths), most))
        return tuple(self.work.check("actions", page or "", {**wanted, "paths": [*batch]}) for batch in batches)

    def write(self, page: str, key: str, **counts: object) -> Steps[Done]:
        """Write a page of quotes, to be read again."""
        name, replacing = yield from self.work.free_name(self.wanted)
        content: JsonObject = {"path": name, "content": page, "replace": replacing}
        digest = hashlib.sha256(page.encode("utf-8", errors="replace")).hexdigest()
        quotes = self.work.check("quotes", name, {"path": name, "sha256": digest})
        actions = () if self.actions is None else self.action_checks(name)
        writing = self.work.call("write_file", "write", content, path=name)
        return (yield from self.work.deliver(writing, (quotes, *actions), key, **counts))


def read_notes(work: Work, page: str) -> Steps[Found]:
    """List every path and read the notes there, to answer in their language; stop with the reason without any."""
    found = Found(work=work, wanted=work.name_for(page, ".md", ".markdown", ".txt"))
    sizes = yield from _listed(work, found)
    found.notes = yield from _read([path for path in sizes if sizes[path]], found)
    if found.notes:
        found.work = work.about(*("".join(note.lines[:20])[:1000] for note in found.notes[:20]))
        return found
    key = "brief.no_notes" if found.others else "brief.blank" if sizes else "brief.empty"
    raise StoppedError(work.say(key, path=" ".join(work.line.operands), kinds=_named(found.others)))


def _listed(work: Work, found: Found) -> Steps[dict[str, int]]:
    """Take of a folder what people keep notes in, and a file named outright as it is; return their sizes."""
    sizes, seen = dict[str, int](), set[str]()
    for operand in work.line.operands:
        value = yield from work.ask("list_files", "list", {"path": operand, "recursive": True}, path=operand)
        found.complete = found.complete and value.get("complete") is True
        entries = [entry for entry in objects(value, "entries") if entry.get("kind") == "file"]
        files = {words(entry, "path"): number(entry, "size") for entry in entries}
        outright = [*files] == [plain(operand)]
        for path in sorted(files.keys() - seen):
            if any(part.startswith((".", "~$")) for part in path.split("/")):
                continue
            seen.add(path)
            if (outright or ending_of(path) in TYPED["forms"]["notes"]) and quotable(path):
                sizes[path] = files[path]
            else:
                found.others[ending_of(path) or path] += 1
    return sizes


def _read(waiting: list[str], found: Found) -> Steps[tuple[Note, ...]]:
    """Read the notes in a few calls, and one by one those that are larger than a call."""
    notes, left = list[Note](), 16_000_000
    while waiting and left > 0:
        batch, waiting = waiting[:_FILES_PER_READ], waiting[_FILES_PER_READ:]
        about = {"count": len(batch), "first": batch[0]}
        value = yield from found.work.ask("read_files", "read", {"paths": [*batch]}, **about)
        waiting = [*strings(value, "unread"), *waiting]
        for file in objects(value, "files"):
            path, lines = words(file, "path"), strings(file, "lines")
            if "error" in file:
                found.others[ending_of(path) or path] += 1
            elif len(lines) < number(file, "lines_total"):
                lines, _ = yield from found.work.lines(path)
            if lines and lines[-1] != MARK:
                notes.append(Note(path, (*lines,), (*strings(file, "notes"),)))
            left -= sum(map(len, lines))
    found.cut = waiting
    return tuple(notes)


def _named(files: Counter[str]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in files.most_common(_NAMED_MAX))


# --- /brief


_WORDS_PER_PAGE: Final = 450
_WORDS_LOW, _WORDS_HIGH, _TELLING = 4, 40, 12
_EARLY: Final = 5
_COMMON: Final = frozenset(_WORDING["brief"]["common"].split())
_SECTIONS: Final = (Cue.DECISION, Cue.ACTION, Cue.RISK, Cue.DATE)
"""In the order of the page; what is left are key points."""


class _Pick(NamedTuple):
    """A line that may go on the page; ``section`` is nothing for a key point."""

    path: str
    number: int
    words: str
    section: Cue | None
    score: float


def brief(work: Work) -> Plan:
    """List, read, choose, write, read again."""
    found = yield from read_notes(work, "briefing.md")
    page, picks, left = _composed(found)
    count = math.ceil(len(page.split()) / _WORDS_PER_PAGE)
    key = "brief.summary.one" if count == 1 else "brief.summary.many"
    found.actions = None if left else {}
    done = yield from found.write(page, key, pages=count, lines=len(picks))
    return replace(done, summary=done.summary + "".join(found.work.more("brief.actions_left", len(left))))


def _composed(found: Found) -> tuple[str, list[_Pick], list[_Pick]]:
    """Return the page, the lines on it, and the actions that had no room; of other lines none that repeats another."""
    actions, others = _choose(found.notes)
    most = int(found.work.option("pages", "1")) * _WORDS_PER_PAGE
    room = most - len(_page(found, [], actions).split()) - 16  # the headings of all sections
    taken, said = list[_Pick](), list[frozenset[str]]()
    for pick in (*actions, *others[:2000]):
        cost, told = len(_quoted(pick).split()), _tokens(pick.words)
        alike = (len(told & other) >= 0.8 * len(told | other) > 0 for other in said)
        if cost <= room and (pick.section is Cue.ACTION or not any(alike)):
            room -= cost
            taken.append(pick)
            said.append(told)
    while True:
        there = {*taken}
        left = [pick for pick in actions if pick not in there]
        page = _page(found, taken, left)
        if len(page.split()) <= most or not taken:
            return page, taken, left
        taken.pop()


def _page(found: Found, taken: Iterable[_Pick], left: Iterable[_Pick]) -> str:
    """Return the Markdown of a briefing."""
    say = found.work.say
    blocks = [say("brief.about", count=len(found.notes)), *found.left_out(pick.path for pick in left)]
    in_order = sorted(taken)
    for section in (*_SECTIONS, None):
        lines = [_quoted(pick) for pick in in_order if pick.section is section]
        if lines:
            heading = say(f"brief.section.{section or 'key'}")
            blocks.append("\n".join([f"## {heading}\n", *lines]))
    return found.page(say("brief.title", path=" ".join(found.work.line.operands)), *blocks)


def _quoted(pick: _Pick) -> str:
    """Return the line of the page for a line of a note; a very long one is cut visibly, around what marks it."""
    return show(Quote(text=cut(pick.words, at=cue_place(pick.words), limit=300), path=pick.path, line=pick.number))


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _choose(notes: tuple[Note, ...]) -> tuple[list[_Pick], list[_Pick]]:
    """Return what could go on the page, best first: every action, equal ones once; then the others in turn."""
    sections: dict[Cue | None, list[_Pick]] = {section: [] for section in (*_SECTIONS, None)}
    for note in notes:
        lines = (line for line in scan(note.lines, note.path) if not line.is_heading)
        for pick in filter(None, (_pick(note.path, *placed) for placed in enumerate(lines))):
            sections[pick.section].append(pick)
    actions = {pick.words: pick for pick in reversed(sections.pop(Cue.ACTION))}
    return _ranked(actions.values()), _in_turn(map(_ranked, sections.values()))


def _tokens(words: str) -> frozenset[str]:
    """Return the words that tell lines apart."""
    return frozenset(word for word in re.findall(r"[^\W_]+", words.casefold()) if word not in _COMMON)


def _pick(path: str, place: int, line: Line) -> _Pick | None:
    """Return a line with how much it says: different words, figures, and the marks on it, in the length of a sentence.

    Left out is what nobody reads: the title of a note with its day, encoded parts, bare links; an action never.
    """
    is_meta, is_done = re.match(_WORDING["brief"]["meta"], line.words) is not None, Cue.DONE in line.cues
    cues = line.cues & {Cue.ACTION} if is_meta or is_done else line.cues
    section = next((cue for cue in (Cue.ACTION, *_SECTIONS) if cue in cues), None)
    telling = len(_tokens(line.words))
    is_title = section is Cue.DATE and place == 0 and not line.is_item
    says_nothing = section is None and (is_meta or not telling)
    is_code = section is not Cue.ACTION and re.match(r"[!-~\t]{61,}$", line.words)
    if is_title or says_nothing or is_code:
        return None
    fits = _WORDS_LOW <= len(line.words.split()) <= _WORDS_HIGH
    figures = any(letter.isdigit() for letter in line.words)
    marks = 0.3 * len(line.cues - {Cue.DONE}) + 0.2 * line.is_item - 0.8 * is_done
    score = min(telling, _TELLING) / _TELLING + 0.8 * fits + 0.4 * figures + marks
    return _Pick(path, line.number, line.words, section, score + 0.3 * (place < _EARLY))


def _ranked(picks: Iterable[_Pick]) -> list[_Pick]:
    """Best first, but every file gets a word before one file gets its second."""
    of = defaultdict[str, list[_Pick]](list)
    for pick in sorted(picks, key=lambda pick: (-pick.score, pick.path, pick.number)):
        of[pick.path].append(pick)
    return _in_turn(of.values())


def _in_turn(groups: Iterable[list[_Pick]]) -> list[_Pick]:
    return [pick for row in zip_longest(*groups) for pick in row if pick is not None]


# --- /actions and /risks


_LINES_SHOWN_MAX: Final = 8
"""Of one risk."""


def actions(work: Work) -> Plan:
    """List, read, pick out, write, read again."""
    found = yield from read_notes(work, "actions.md")
    work, owner, due = found.work, work.option("owner"), "due" in work.line.options
    every = _every(found.notes)
    actions = [action for action in every if action.wanted(owner=owner, due=due)]
    if owner and not actions:
        known = Counter(action.owner for action in every if action.owner)
        names = ", ".join(dict(known.most_common(_NAMED_MAX))) or "–"
        raise StoppedError(work.say("actions.nobody", owner=owner, names=names))
    found.actions = {"owner": owner, "due": due, "done": True}
    counts = {"open": sum(not action.done for action in actions), "notes": len(found.notes)}
    counts |= {"done": len(actions) - counts["open"], "dated": sum(bool(a.due) for a in actions)}
    if not actions:
        return Done(summary=work.say("actions.none", **counts), checks=found.action_checks(None))
    # An approval must be able to show all of it.
    rows, left, room = {False: list[str](), True: list[str]()}, list[str](), 150_000
    actions.sort(key=lambda a: (not a.due, date_in(a.due) or date.max, a.path, a.number))
    for action in actions:
        row = _row(action)
        room -= len(row.encode()) + 1
        (rows[action.done] if room >= 0 else left).append(row if room >= 0 else action.path)
    blocks = [work.say("brief.about", count=counts["notes"]), *found.left_out(left)]
    head = f"| {work.say('actions.columns')} |\n|---|---|---|---|"
    for done, key in ((False, "actions.open"), (True, "actions.done")):
        if rows[done]:
            blocks.append("\n".join([f"## {work.say(key, count=len(rows[done]))}\n", head, *rows[done]]))
    page = found.page(work.say("actions.title", path=" ".join(work.line.operands)), *blocks)
    found.actions = None if left else found.actions
    return (yield from found.write(page, "actions.found", **counts))


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _every(notes: tuple[Note, ...]) -> list[Action]:
    return [action for note in notes for action in actions_in(note.lines, note.path)]


def _row(action: Action) -> str:
    quote = Quote(text=cut(action.words, at=cue_place(action.words)), path=action.path, line=action.number)
    return show(quote, action.owner or "–", action.due or "–")


def risks(work: Work) -> Plan:
    """Read, look for every pattern, write, read again."""
    found = yield from read_notes(work, "risks.md")
    work, notes = found.work, found.notes
    paths = ", ".join(note.path for note in notes)
    if not any(words for note in notes for words in note.lines if words[:6] != "[page "):
        raise StoppedError(work.say("risks.no_text", path=paths))
    places = _places(notes)
    counts = {"found": len(places), "total": len(checklist()), "path": paths}
    if not places:
        return Done(summary=work.say("risks.none", **counts))
    blocks, absent = [work.say("risks.about", **counts)], list[str]()
    for pattern in checklist():
        name, there = pattern.name[work.language], places.get(pattern.id)
        if not there:
            absent.append(name)
            continue
        more = work.more("risks.more", len(there) - _LINES_SHOWN_MAX)
        head = f"## {name} ({pattern.id})\n\n{pattern.why[work.language]}\n"
        blocks.append("\n".join([head, *there[:_LINES_SHOWN_MAX], *more]))
    if absent:
        blocks.append(f"## {work.say('risks.absent')}\n\n{' · '.join(absent)}")
    blocks += [f"{note.path}: {'; '.join(note.remarks)}" for note in notes if note.remarks]
    return (yield from found.write(found.page(work.say("risks.title", **counts), *blocks), "risks.found", **counts))


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _places(notes: tuple[Note, ...]) -> dict[str, list[str]]:
    """Return the quotes of every pattern that stands in the notes."""
    places = dict[str, list[str]]()
    for note in notes:
        for name, hits in risks_in(note.lines, note.path).items():
            quotes = (Quote(text=cut(h.words, at=h.at), path=note.path, line=h.line) for h in hits)
            places.setdefault(name, []).extend(map(show, quotes))
    return places

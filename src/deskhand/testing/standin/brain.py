"""What the stand-in says next: computed from the task's sentence and the tool results it was sent, never from a store.

Pure: the same conversation gives the same answer. It knows three jobs and a plain question, in English and Korean. It
refuses to pretend: whatever else it is asked it gives up, by its full name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from deskhand.core.dates import date_in
from deskhand.core.words.notes import Cue, Quote, scan, show
from deskhand.protocol.wire import Json, JsonObject
from deskhand.testing.standin.figures import report_of
from deskhand.texts import table

NAME: Final = "stand-in (a scripted program, not a language model)"
_TEXTS: Final = (".md", ".txt", ".docx", ".pdf", ".eml", ".html")
_TABLES: Final = (".csv", ".tsv")
_NUMBERED: Final = re.compile(r"(\d+): ?(.*)")
_READ_ON: Final = re.compile(r"from_line=(\d+)")
_TODO: Final = re.compile(r"\s*(?:[-*] )?(?:\[ \] )?(?:todo|할 일)\b", re.IGNORECASE)
_WORDS: Final = table("deskhand.testing.standin", "words.toml")
_STEPS: Final = ("Look what is there", "Read it", "Write the page", "Name what was made")
_WORDS_MAX: Final = 430
"""One page is at most 450 words; the title and the list of sources need some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A tool call of the conversation and what came back."""

    tool: str
    arguments: JsonObject
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A conversation as the stand-in understands it.

    ``missing`` are the places (``file:line``) that a refused end complained of, ``tries`` how often it was refused.
    """

    task: str
    today: date
    used: tuple[Used, ...] = ()
    missing: tuple[str, ...] = ()
    tries: int = 0

    def results(self, tool: str) -> list[Used]:
        """Return what came of the calls of one tool."""
        return [one for one in self.used if one.tool == tool]

    def say(self, words: str) -> str:
        """Return words in the language of the task."""
        return _WORDS["korean"].get(words, words) if re.search("[가-힣]", self.task) else words

    def asks(self, *words: str) -> bool:
        """Return whether the task's sentence has one of these words."""
        return any(word in self.task.casefold() for word in words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it says and which tools it wants."""

    text: str = ""
    calls: tuple[tuple[str, JsonObject], ...] = ()


def answer(seen: Seen) -> Answer:
    """Return the next thing to say or do."""
    jobs: tuple[tuple[tuple[str, ...], Callable[[Seen], Answer]], ...] = (
        (("note", "minutes", "회의"), _briefing),
        (("campaign", "캠페인"), _report),
        (("contract", "agreement", "계약"), _risks),
    )
    for words, job in jobs:
        if seen.asks(*words):
            return job(seen)
    if seen.task.rstrip().endswith(("?", "까")):
        return Answer(text=f"Today is {seen.today:%A, %d %B %Y}. More I cannot say: I am the {NAME}.")
    return _give_up(f"This is the {NAME}. It only knows notes, campaign tables and contracts.")


def judge(criteria: Sequence[str], results: Sequence[str]) -> Answer:
    """Return a verifier's report: a criterion passes when the results have a line with most of its words."""
    judgements: list[Json] = []
    lines = [line for result in results for line in result.splitlines()]
    for number, criterion in enumerate(criteria, start=1):
        most = re.search(r"(\d+) (?:words|단어)", criterion)
        wanted = set(re.findall(r"\w{4,}|[가-힣]{2,}", criterion.casefold()))
        quote = max(lines, key=lambda line: _shared(wanted, line), default="")
        passed = 2 * _shared(wanted, quote) >= len(wanted) > 0
        reason = "The words stand there." if passed else "No line says so."
        if most is not None:
            count = max((len(result.split()) for result in results), default=0)
            quote, passed, reason = "", count <= int(most[1]), f"{count} words."
        said = _json(quote=quote if passed else "", reason=reason, passed=passed)
        judgements.append({"criterion": number, **said})
    return Answer(calls=(("report", {"judgements": judgements}),))


def places_in(said: str) -> tuple[str, ...]:
    """Return every ``file:line`` that a text names."""
    found = re.findall(r"([^\s`:,;()]+\.\w+):(\d+)", said)
    return tuple(f"{file}:{line}" for file, line in found)


# --- the three jobs ----------------------------------------------------------------------------------------------


def _briefing(seen: Seen) -> Answer:
    words = ("note", "minute", "meeting", "회의")
    day = seen.today - timedelta(days=1) if seen.asks("yesterday", "어제") else None
    chosen = _chosen(seen, _TEXTS, words, but="briefing", day=day)
    if isinstance(chosen, Answer):
        return chosen
    of_day = {path: lines for path, lines in chosen.items() if _day(path, lines) == day}
    chosen = (day and of_day) or chosen
    name = "briefing-agent.md"
    if len(seen.results("write_file")) <= seen.tries:
        return _write(seen, name, _page(chosen, seen), "I write the briefing.")
    packed = seen.results("run_command")
    if seen.asks("save", "저장") and seen.tries and not packed:
        around = dict.fromkeys(f"{path.rpartition('/')[0] or path}/" for path in chosen)
        argv = ["python3", "-m", "zipfile", "-c", "meeting-pack.zip", name, *around]
        return _call("I pack it with the notes.", "run_command", argv=argv)
    made = packed and not packed[0].result.startswith("[")
    outputs = (name, "meeting-pack.zip") if made else (name,)
    return _finish(seen, f"A one-page briefing of {len(chosen)} notes.", *outputs)


def _page(notes: dict[str, list[str]], seen: Seen) -> str:
    """Return the briefing: at first without what hides in plain lines, then with all that was missed."""
    actions: list[Quote] = []
    facts: list[Quote] = []
    for path, lines in notes.items():
        for line in scan(lines, path):
            quote = Quote(text=line.words, path=path, line=line.number)
            hidden = _TODO.match(line.words) and not seen.tries
            if Cue.ACTION in line.cues and not hidden:
                actions.append(quote)
            elif line.cues & {Cue.DECISION, Cue.RISK}:
                facts.append(quote)
    title = f"# {seen.say('Briefing')}, {seen.today:%Y-%m-%d}"
    lines = [title, "", f"## {seen.say('Actions')}", ""]
    lines += [*map(show, actions), "", f"## {seen.say('Decisions and risks')}", ""]
    sources = f"{seen.say('Sources')}: {', '.join(notes)}"
    end = ["", sources, f"{seen.say('Written by the')} {NAME}.", ""]
    words = len(" ".join([*lines, *end]).split())
    for fact in map(show, facts):
        words += len(fact.split())
        lines += [fact] if words <= _WORDS_MAX else []
    return "\n".join([*lines, *end])


def _report(seen: Seen) -> Answer:
    chosen = _chosen(seen, _TABLES, ("campaign", "캠페인"))
    if isinstance(chosen, Answer):
        return chosen
    if not seen.results("write_file"):
        monday = seen.today - timedelta(days=seen.today.weekday() + 7)
        korean = seen.say("Sources") != "Sources"
        page = report_of(chosen, monday, korean=korean) + f"\n{seen.say('Written by the')} {NAME}.\n"
        return _write(seen, "weekly-report.md", page, "I add it up and write the report.")
    said = "A weekly report; every figure is added up from the rows."
    return _finish(seen, said, "weekly-report.md")


def _risks(seen: Seen) -> Answer:
    chosen = _chosen(seen, _TEXTS, ("contract", "agreement", "계약"), but="risks")
    if isinstance(chosen, Answer):
        return chosen
    if not seen.results("write_file"):
        found = [
            f"{show(Quote(text=line.strip(), path=path, line=number))} ({kind})"
            for path, lines in chosen.items()
            for number, line in enumerate(lines, start=1)
            for kind, pattern in _WORDS["risky"].items()
            if re.search(pattern, line, re.IGNORECASE)
        ]
        none = [seen.say("None of the known patterns stands in it.")]
        sources = f"{seen.say('Sources')}: {', '.join(chosen)}"
        lines = [f"# {seen.say('Risk items')}", "", *(found or none), "", sources]
        lines += [f"{seen.say('Written by the')} {NAME}.", ""]
        return _write(seen, "risks.md", "\n".join(lines), "I list the risk items.")
    return _finish(seen, f"The risk items of {', '.join(chosen)}.", "risks.md")


# --- looking and reading -----------------------------------------------------------------------------------------


def _chosen(
    seen: Seen, endings: Sequence[str], words: Sequence[str], *, but: str = "\0", day: date | None = None
) -> dict[str, list[str]] | Answer:
    """Return the files that fit, whole, as lines; or what to call to get there."""
    looked = seen.results("list_files")
    if not looked or (len(looked) == 1 and looked[0].result.startswith("[")):
        place = {"from": "results"} if looked else {}
        plan = () if looked else (_plan(seen, 0),)
        look = ("list_files", _json(path=".", recursive=True, **place))
        return Answer(text="I look at what is there.", calls=(*plan, look))
    place = {"from": "results"} if len(looked) > 1 else {}
    names = [line.rpartition("  ")[0] for line in looked[-1].result.splitlines()]
    there = [name for name in names if name.endswith(tuple(endings)) and but not in name]
    paths = [name for name in there if any(word in name.casefold() for word in words)] or there
    paths = [path for path in paths if day is not None and date_in(path) == day] or paths
    if not paths:
        return _give_up("There is no file that fits.")
    read = {path: _lines(path, seen) for path in paths}
    wanted = [
        ("read_file", _json(path=path, **place) | ({"from_line": first} if first > 1 else {}))
        for path, (_, first) in read.items()
        if first
    ]
    if wanted:
        return Answer(text=f"I read {len(wanted)} files.", calls=(_plan(seen, 1), *wanted[:20]))
    return {path: lines for path, (lines, _) in read.items() if lines}


def _lines(path: str, seen: Seen) -> tuple[list[str], int]:
    """Return what was read of a file, and from which line to read on; 0 when there is no more."""
    lines: list[str] = []
    first = 1
    for one in seen.results("read_file"):
        if one.arguments.get("path") == path:
            hits = map(_NUMBERED.match, one.result.splitlines())
            lines += [hit[2] for hit in hits if hit is not None]
            more = _READ_ON.search(one.result.rpartition("\n")[2])
            first = int(more[1]) if more else 0
    return lines, first


def _day(path: str, lines: Sequence[str]) -> date | None:
    """Return the day of a note: in its name, else in one of its first lines."""
    return next((day for line in (path, *lines[:5]) if (day := date_in(line)) is not None), None)


def _plan(seen: Seen, ticks: int) -> tuple[str, JsonObject]:
    """Return the checklist as it stands, and the one criterion that can be looked at by counting."""
    steps: list[Json] = [_json(text=seen.say(one), done=place < ticks) for place, one in enumerate(_STEPS)]
    criteria: list[Json] = [seen.say("At most 450 words")]
    return "set_plan", {"criteria": criteria, "steps": steps}


def _shared(wanted: set[str], line: str) -> int:
    said = line.casefold()
    return sum(word in said for word in wanted)


def _json(**values: Json) -> JsonObject:
    return values


def _call(text: str, tool: str, **arguments: object) -> Answer:
    return Answer(text=text, calls=((tool, json.loads(json.dumps(arguments))),))


def _write(seen: Seen, path: str, content: str, text: str) -> Answer:
    replaces = {"replace": True} if seen.results("write_file") else {}
    write = "write_file", _json(path=path, content=content, **replaces)
    return Answer(text=text, calls=(_plan(seen, 2), write))


def _finish(seen: Seen, summary: str, *outputs: str) -> Answer:
    done = "finish", _json(summary=summary, outputs=[*outputs])
    return Answer(calls=(_plan(seen, len(_STEPS)), done))


def _give_up(reason: str) -> Answer:
    return _call("", "give_up", reasons=[reason])

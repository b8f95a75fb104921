"""What a sentence may mean while no model reads it: commands with every argument filled in, and the words left over.

Character n-grams over the commands' own examples rank them; names, kinds and days of a real listing fill them in. Its
words are data, in ``suggesting.toml``. It refuses to run anything, to fill in what is nowhere, and to pass over a word
that a command would not do.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from itertools import groupby, islice
from typing import Final

from deskhand.core.dates import Period, date_in, period_in
from deskhand.limits import SUGGESTIONS_MAX
from deskhand.protocol.objects import CommandInfo
from deskhand.texts import table

_TABLE: Final = table("deskhand.core.words", "suggesting.toml")
_MOST: Final = _TABLE["most"]
_EMPTY: Final = frozenset(_TABLE["empty"].split())
_KINDS: Final[dict[str, list[str]]] = _TABLE["mentions"]
_KIND_NAMES: Final = tuple(name for names in _KINDS.values() for name in names)
_WORD: Final = re.compile(r"[^\W_][\w'’./-]*[^\W_]|[^\W_]")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Listed:
    """A name in the folder: the day it was changed, its path, whether it is a folder. The newest is the largest."""

    day: date
    path: str
    is_folder: bool

    @property
    def ending(self) -> str:
        """What a file's name ends in."""
        _, dot, ending = self.path.rpartition(".")
        return ending.casefold() if dot and not self.is_folder else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A command line that a sentence may mean, and the words it would not do.

    ``fit`` says how many of the words were found in the folder or took a value.
    """

    command: CommandInfo
    line: str
    not_honored: tuple[str, ...]
    fit: int

    @property
    def does(self) -> str:
        """Return what it does to files: ``looks``, ``makes``, ``changes`` or ``runs``."""
        told = _TABLE["does"].get(self.command.name, "makes")
        return "changes" if told == "looks" and " --move" in self.line else told


def meanings(said: str, commands: Sequence[CommandInfo], listing: Sequence[Listed], *, today: date) -> list[Meaning]:
    """Return what a sentence may mean in a folder, the nearest first; nothing for what no command is near to."""
    sentence = unicodedata.normalize("NFC", " ".join(said.split()))
    if len(sentence) > _MOST["sentence_chars"] or not sentence.isprintable():
        return []
    days = period_in(sentence, today)
    names = [replace(one, day=date_in(one.path) or one.day) for one in listing if _typable(one.path)]
    near = (
        _Filling(sentence, command, names, days).meaning()
        for nearness, command in _ranked(sentence, tuple(commands))
        if nearness >= _MOST["least"] and re.search(_TABLE["asked"].get(command.name, ""), sentence)
    )
    return [*islice(filter(None, near), SUGGESTIONS_MAX)]


def quoted(word: str) -> str:
    """Return a word as it is typed in a command line."""
    if not re.search(r"\s|^[\"'“”‘’„「]|=[\"'“‘„「]", word) and word:
        return word
    return f'"{word}"' if '"' not in word else f"“{word}”"


def _typable(path: str) -> bool:
    """Whether a name can stand in a command line as it is, and is seen as it is."""
    return path.isprintable() and not path.startswith(("-", ".")) and not {'"', "”"} <= set(path)


def _ranked(said: str, commands: tuple[CommandInfo, ...]) -> list[tuple[float, CommandInfo]]:
    """Return how near each command is: how much its nearest example has in common with what was said, then two more."""
    asked, ranked = _grams(said), list[tuple[float, CommandInfo]]()
    for command, texts in _told(commands).items():
        best, *others = sorted((len(asked & of) / math.sqrt(len(asked) * len(of) or 1) for of in texts), reverse=True)
        ranked.append((best + _MOST["near"] * sum(others[:2]), command))
    return sorted(ranked, key=lambda one: -one[0])


@lru_cache(maxsize=4)
def _told(commands: tuple[CommandInfo, ...]) -> dict[CommandInfo, list[frozenset[str]]]:
    """Return of every command its examples as n-grams."""
    asked_for = [one for one in commands if one.takes != "name"]
    return {one: [*map(_grams, (*one.examples, one.summary, one.summary_ko))] for one in asked_for}


def _grams(said: str) -> frozenset[str]:
    """Return the pairs and threes of letters of a sentence's words."""
    words = [f" {word} " for word in re.findall(r"[^\W_]+", said.casefold())]
    starts = ((word, at) for word in words for at in range(len(word) - 1))
    return frozenset(word[at : at + size] for word, at in starts for size in (2, 3))


@dataclass(slots=True)
class _Filling:
    """Fills in one command from one sentence, and keeps which of its words that took."""

    _said: str
    _command: CommandInfo
    _listing: Sequence[Listed]
    _days: Period | None
    _spans: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _roots: set[str] = field(default_factory=set[str])

    def meaning(self) -> Meaning | None:
        """Return the filled-in line with what is left over, or nothing when its arguments are nowhere."""
        name, takes = self._command.name, self._command.takes
        last, options = self._form(_TABLE["last"].get(name, ())), self._options()
        find = {"words": self._sought, "line": self._program}.get(takes)
        words = find() if find else [*map(quoted, self._paths(last))]
        if not words or (name in _TABLE["last"] and not (last or options)):
            return None
        line = " ".join([f"/{name}", *words, *filter(None, [last]), *options])
        left, share = self._left(_vocabulary(name, self._command.examples))
        if share > _MOST["left_share"] or len(line) > _MOST["line_chars"]:
            return None
        fit = len(self._spans) + len(self._roots & _roots(self._said))
        return Meaning(command=self._command, line=line, not_honored=left, fit=fit)

    def _options(self) -> list[str]:
        forms, found = _TABLE["options"], list[str]()
        for option in self._command.options:
            value = self._form(forms.get(f"{self._command.name}.{option.name}") or forms.get(option.name, ()))
            if value is not None and (value or not option.metavar):
                found.append(f"--{option.name}" + (f" {quoted(value)}" if value else ""))
        return found

    def _form(self, forms: Iterable[tuple[str, str]]) -> str | None:
        """Return the value of the first form that is in the sentence."""
        for form, value in forms:
            if (hit := re.search(form, self._said)) is not None:
                self._spans.append(hit.span())
                return value.format(*hit.groups(default="")) if hit.groups() else value
        return None

    def _sought(self) -> list[str]:
        """Return the words to look for: all that ask for nothing by themselves."""
        found, silent = list[str](), _EMPTY.union(_TABLE["also"]["find"].split())
        if self._days:
            self._spans.append(self._days.span)
        for hit in _WORD.finditer(self._said):
            word = re.sub(_TABLE["find"]["particle"], "", hit[0])
            if not silent & {hit[0].casefold(), word.casefold()} and not self._covered(hit):
                found.append(quoted(word))
                self._spans.append(hit.span())
        return [*found, self._days.words] if self._days else found

    def _program(self) -> list[str]:
        """Return the command line that stands in the sentence as it would be typed."""
        korean = re.search("[가-힣]", self._said)
        typed = self._form([(_TABLE["run"]["program_ko" if korean else "program"], "{0}")])
        if typed is None:
            return []
        script = {"sh": "sh ", "py": "python3 "}.get(typed.split()[0].partition(".")[2], "")
        return [script + typed.rstrip("?.!,")]

    def _paths(self, last: str | None) -> list[str]:
        command, least = self._command, _TABLE["several"].get(self._command.name, 1)
        endings = set(_TABLE["kinds"].get(command.name, command.endings)) - {last}
        room = min(command.most - (command.name in _TABLE["last"]), _MOST["files"])
        listed = ((one, not endings or one.ending in endings) for one in self._listing)
        files = [one for one, fits in listed if fits and not one.is_folder]
        inner = "".join(f"\n{one.path}" for one in files)
        folders = [one for one in self._listing if one.is_folder and f"\n{one.path}/" in inner]
        free = command.takes not in ("file", "folder") and least == 1
        fitting = folders if command.takes == "folder" else files + folders * free
        chosen = self._named(fitting) or self._described(fitting, last, several=room > 1)
        if len(chosen) < least > 1:
            endings = {one.ending for one in chosen or fitting}
            alike = Counter(_kind(one) for one in fitting if one.ending in endings)
            most = max(alike, key=lambda kind: (kind[0], alike[kind]), default=None)
            chosen = [one for one in fitting if _kind(one) == most]
        if len(chosen) < least:
            return ["."] if least == 1 and command.takes != "file" else []
        self._roots |= {root for one in chosen for root in _roots(one.path)}
        return [one.path for one in chosen[:room]]

    def _named(self, fitting: Sequence[Listed]) -> list[Listed]:
        """Return what is named as it is written on the disk."""
        found, said = list[tuple[int, Listed]](), self._said.casefold()
        for one in fitting:
            whole = one.path.casefold()
            names = (whole, whole.rpartition("/")[2])
            if names[1] not in said:
                continue
            forms = (re.escape(name) + ("" if re.search("[/.]", name) else "/") for name in names)
            form = rf"(?<![\w./-])(?:{'|'.join(forms)})(?![a-z0-9_]|\.\w)"
            if hit := re.search(form, said):
                self._spans.append(hit.span())
                found.append((hit.start(), one))
        found.sort(key=lambda each: (each[0], each[1].path))
        inner = "".join(f"\n{one.path}" for _, one in found)
        return [one for _, one in found if f"\n{one.path}/" not in inner]

    def _described(self, fitting: Sequence[Listed], last: str | None, *, several: bool) -> list[Listed]:
        """Return what fits the kinds, days and words of the sentence best; of equals all, or else the newest."""
        said, days = self._said.casefold(), self._days
        kinds = {kind for kind in _KINDS if any(name in said for name in _KINDS[kind])} - {last}
        about = _roots(_TABLE["about"].get(self._command.name, ""))

        def fits(one: Listed) -> tuple[bool, bool, int, int]:
            roots = _roots(one.path)
            within = days and not one.is_folder and days.first <= one.day <= days.last
            asked = len(roots & _roots(said))
            return one.ending in kinds, bool(within), asked, 0 if asked else len(roots & about)

        best = max(map(fits, fitting), default=(False,))
        if not any(best) and self._command.takes != "file":
            return []
        chosen = [one for one in fitting if fits(one) == best]
        self._spans += [days.span] if days and best[1:2] == (True,) else []
        folders = [one for one in chosen if one.is_folder]
        if folders:
            return [min(folders, key=lambda one: (one.path.count("/"), one.path))]
        return chosen if several and any(best[1:]) else sorted(chosen)[-1:]

    def _left(self, told: frozenset[str]) -> tuple[tuple[str, ...], float]:
        """Return the phrases that the command would not do, and how much of all that asks for something they are."""
        known = self._roots | told

        def is_done(hit: re.Match[str]) -> bool:
            particular = (hit.start() and hit[0][0].isupper()) or re.search(r"\d", hit[0])
            does = _roots(hit[0].casefold()) & known and not particular
            return self._covered(hit) or hit[0].casefold().startswith(_KIND_NAMES) or bool(does)

        asking = [hit for hit in _WORD.finditer(self._said) if not _is_empty(hit[0])]
        phrases, count = list[str](), 0
        for done, run in groupby(asking, key=is_done):
            hits = [*run]
            if done:
                continue
            start, count = hits[0].start(), count + len(hits)
            before = re.search(_TABLE["joins"], self._said[:start])
            phrases.append(self._said[before.start() if before else start : hits[-1].end()])
        return tuple(each.strip(" ,") for each in phrases), count / (len(asking) or 1)

    def _covered(self, hit: re.Match[str]) -> bool:
        return any(start < hit.end() and hit.start() < end for start, end in self._spans)


def _is_empty(word: str) -> bool:
    """Whether a word asks for nothing by itself."""
    told = word.casefold()
    return told in _EMPTY or not (_roots(told) or re.search(r"\d", told))


@lru_cache(maxsize=4096)
def _roots(said: str) -> frozenset[str]:
    """Return what the words of a sentence or path begin with, and of which words that mean the same they are."""
    found, same = set[str](), _TABLE["same"]
    for word in re.findall(r"[^\W\d_]{2,}", re.sub(r"\.\w{1,5}(?=\s|$)", "", said.casefold())):
        if word not in _EMPTY and not word.startswith(("파일", "폴더", "문서")):
            found.add(word[: 2 if "가" <= word[0] <= "힣" else _MOST["root"]])
            found |= {f"={n}" for n, all_ in enumerate(same) if word.startswith(tuple(all_))}
    return frozenset(found)


@lru_cache(maxsize=64)
def _vocabulary(name: str, examples: tuple[str, ...]) -> frozenset[str]:
    """Return what the words begin with that a command answers to; names and figures are not among them."""
    also = _TABLE["also"].get(name, "")
    first = " ".join(each.split()[0] for each in examples)
    return _roots(f"{also} {first} " + re.sub(r"\S*[A-Z\d_/.]\S*", " ", " ".join(examples)))


def _kind(one: Listed) -> tuple[bool, str, str]:
    """Return what files that belong together have in common; tables come first."""
    return one.ending in ("csv", "tsv", "xlsx"), one.path.rpartition("/")[0], one.ending

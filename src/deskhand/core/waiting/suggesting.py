"""What a sentence may mean while no model reads it: commands with every argument filled in, and the words left over.

Character n-grams over the commands' own examples rank them; names, kinds and days of a real listing fill them in. Its
words are data, in ``suggesting.toml``. It refuses to run anything, to fill in what is nowhere, and to pass over a word
that a command would not do.
"""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any, Final

from deskhand.core.dates import date_in
from deskhand.core.words.days import Period, period_in
from deskhand.limits import SUGGESTIONS_MAX
from deskhand.protocol.objects import CommandInfo

_GRAMS: Final = (2, 3)
_NEAR: Final = 0.5
"""How much the second and third nearest examples weigh beside the nearest."""
_LEAST: Final = 0.2
"""Below this nearness nothing is suggested."""
_ROOT: Final = 5
_FILES_MAX: Final = 20
_SENTENCE_CHARS_MAX: Final = 500
"""What is longer is no command; its forms would take long, too."""
_LINE_CHARS_MAX: Final = 3000
_SHEETS: Final = ("csv", "tsv", "xlsx")
_LEFT_SHARE_MAX: Final = 0.6
"""A command that would leave more of the words undone is not what was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A name in the folder: its path, whether it is a folder, and the day it was changed."""

    path: str
    is_folder: bool
    day: date


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
        told = _table()["does"].get(self.command.name, "makes")
        return "changes" if told == "looks" and " --move" in self.line else told


def meanings(
    said: str, commands: Sequence[CommandInfo], listing: Sequence[Listed], *, today: date
) -> list[Meaning]:
    """Return what a sentence may mean in a folder, the nearest first; nothing for what no command is near to."""
    sentence = unicodedata.normalize("NFC", " ".join(said.split()))
    if len(sentence) > _SENTENCE_CHARS_MAX or not sentence.isprintable():
        return []
    names = [one for one in listing if _typable(one.path)]
    near = (
        _Filling(sentence, command, names, period_in(sentence, today)).meaning()
        for nearness, command in _ranked(sentence, tuple(commands))
        if nearness >= _LEAST and re.search(_table()["asked"].get(command.name, ""), sentence)
    )
    return [*islice(filter(None, near), SUGGESTIONS_MAX)]


def _ranked(said: str, commands: tuple[CommandInfo, ...]) -> list[tuple[float, CommandInfo]]:
    rarity, told = _index(commands)
    asked = _weighed(_grams(said), rarity)
    ranked: list[tuple[float, CommandInfo]] = []
    for command, examples in told:
        products = (sum(asked[gram] * of.get(gram, 0) for gram in asked) for of in examples)
        best, *others = sorted(products, reverse=True)
        ranked.append((best + _NEAR * sum(others[:2]), command))
    return sorted(ranked, key=lambda one: -one[0])


_Weights = dict[str, float]


@lru_cache(maxsize=4)
def _index(
    commands: tuple[CommandInfo, ...],
) -> tuple[_Weights, list[tuple[CommandInfo, list[_Weights]]]]:
    """Return how rare each n-gram of the examples is, and of every command its examples as weights of n-grams."""
    told = [
        (command, [*map(_grams, (*command.examples, command.summary, command.summary_ko))])
        for command in commands
        if command.takes != "name"
    ]
    examples = [grams for _, each in told for grams in each]
    count = Counter(gram for grams in examples for gram in grams)
    rarity = {gram: math.log((len(examples) + 1) / (often + 0.5)) for gram, often in count.items()}
    return rarity, [(one, [_weighed(grams, rarity) for grams in each]) for one, each in told]


def _grams(said: str) -> Counter[str]:
    words = [f" {word} " for word in re.findall(r"[^\W_]+", said.casefold())]
    return Counter(
        word[at : at + size]
        for word in words
        for size in _GRAMS
        for at in range(len(word) - size + 1)
    )


def _weighed(grams: Counter[str], rarity: _Weights) -> _Weights:
    weights = {
        gram: (1 + math.log(count)) * rarity[gram]
        for gram, count in grams.items()
        if gram in rarity
    }
    length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1
    return {gram: weight / length for gram, weight in weights.items()}


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
        last = self._form(_table()["last"].get(self._command.name, ()))
        options = self._options()
        words = self._operands(last)
        wants_last = self._command.name in _table()["last"] and not (last or options)
        if not words or wants_last:
            return None
        parts = [f"/{self._command.name}", *words, *([last] if last else []), *options]
        bare = None if options else _table()["bare"].get(self._command.name)
        left, share = self._left(bare)
        found = bool(bare and self._roots & _roots(self._said))
        line = " ".join(parts)
        if (share > _LEFT_SHARE_MAX and not found) or len(line) > _LINE_CHARS_MAX:
            return None
        fit = len(self._spans) + len(self._roots & _roots(self._said))
        return Meaning(command=self._command, line=line, not_honored=left, fit=fit)

    def _options(self) -> list[str]:
        forms, found = _table()["options"], list[str]()
        for option in self._command.options:
            own = forms.get(f"{self._command.name}.{option.name}")
            value = self._form(own or forms.get(option.name, ()))
            if value is not None and (value or not option.metavar):
                found.append(f"--{option.name}" + (f" {quoted(value)}" if value else ""))
        return found

    def _form(self, forms: Iterable[tuple[str, str]]) -> str | None:
        """Return the value of the first form that is in the sentence."""
        for form, value in forms:
            if (hit := re.search(form, self._said)) is not None:
                self._spans.append(hit.span())
                groups = [group or "" for group in hit.groups()]
                return value.format(*groups) if groups else value
        return None

    def _operands(self, last: str | None) -> list[str]:
        match self._command.takes:
            case "words":
                return self._sought()
            case "line":
                return self._program()
            case _:
                return [quoted(path) for path in self._paths(last)]

    def _sought(self) -> list[str]:
        """Return the words to look for: all that ask for nothing by themselves."""
        asks, particle = set(_table()["find"]["asks"].split()), _table()["find"]["particle"]
        found: list[str] = []
        if self._days:
            self._spans.append(_place(self._said, self._days.words))
        for hit in _WORD.finditer(self._said):
            word = re.sub(particle, "", hit[0])
            known = {hit[0].casefold(), word.casefold()} & (_empty() | asks)
            if not known and not self._covered(hit):
                found.append(quoted(word))
                self._spans.append(hit.span())
        return [*found, self._days.words] if self._days else found

    def _program(self) -> list[str]:
        """Return the command line that stands in the sentence as it would be typed."""
        korean = re.search("[가-힣]", self._said)
        hit = re.search(_table()["run"]["program_ko" if korean else "program"], self._said)
        if hit is None:
            return []
        self._spans.append(hit.span())
        typed = hit[1].rstrip("?.!,")
        script = {"sh": "sh ", "py": "python3 "}.get(typed.split()[0].partition(".")[2], "")
        return [script + typed]

    def _paths(self, last: str | None) -> list[str]:
        command, table = self._command, _table()
        endings = set(table["kinds"].get(command.name, command.endings)) - {last}
        room = min(command.most - (command.name in table["last"]), _FILES_MAX)
        least = table["several"].get(command.name, 1)
        files = [
            one
            for one in self._listing
            if not one.is_folder and (not endings or _ending(one) in endings)
        ]
        above = {path for one in files for path in _above(one.path)}
        folders = [one for one in self._listing if one.is_folder and one.path in above]
        free = command.takes not in ("file", "folder") and least == 1
        fitting = folders if command.takes == "folder" else files + folders * free
        chosen = self._named(fitting) or self._described(fitting, last, several=room > 1)
        if len(chosen) < least > 1:
            endings = {_ending(one) for one in chosen or fitting}
            alike = Counter(_kind(one) for one in fitting if _ending(one) in endings)
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
            for name in (one.path.casefold(), one.path.rpartition("/")[2].casefold()):
                if name not in said:
                    continue
                slash = "" if "/" in name or "." in name else "/"
                form = rf"(?<![\w./-]){re.escape(name + slash)}(?![a-z0-9_]|\.\w)"
                if hit := re.search(form, said):
                    self._spans.append(hit.span())
                    found.append((hit.start(), one))
                    break
        inner = {path for _, one in found for path in _above(one.path)}
        found.sort(key=lambda each: (each[0], each[1].path))
        return [one for _, one in found if one.path not in inner]

    def _described(
        self, fitting: Sequence[Listed], last: str | None, *, several: bool
    ) -> list[Listed]:
        """Return what fits the days, kinds and words of the sentence best; of equals all, or else the newest."""
        days, words = self._days, _table()["mentions"].items()
        said = self._said.casefold()
        kinds = {kind for kind, names in words if any(name in said for name in names)} - {last}
        among = [one for one in fitting if _ending(one) in kinds] or [*fitting]
        files = (one for one in among if days and not one.is_folder)
        within = [one for one in files if days and days.first <= _day(one) <= days.last]
        if days and within:
            self._spans.append(_place(self._said, days.words))
            among = within
        about = _table()["about"].get(self._command.name, "")
        for roots in (_roots(said), _roots(about)):
            scores = [len(roots & _roots(one.path)) for one in among]
            best = max((1, *scores))
            chosen = [one for one, its in zip(among, scores, strict=True) if its == best]
            folders = [one for one in chosen if one.is_folder]
            if folders:
                return [min(folders, key=lambda one: (one.path.count("/"), one.path))]
            if chosen:
                return chosen if several else sorted(chosen, key=_newest)[-1:]
        if within or kinds & {_ending(one) for one in among}:
            return among if several and within else sorted(among, key=_newest)[-1:]
        return sorted(among, key=_newest)[-1:] if self._command.takes == "file" else []

    def _left(self, bare: str | None) -> tuple[tuple[str, ...], float]:
        """Return the phrases that the command would not do, and how much of all that asks for something they are."""
        told = _vocabulary(self._command.name, self._command.examples)
        known = self._roots | (told if bare is None else _roots(bare))
        kinds = tuple(name for names in _table()["mentions"].values() for name in names)
        runs, left, asking, open_ = list[tuple[int, int]](), 0, 0, False
        for number, hit in enumerate(_WORD.finditer(self._said)):
            word, figure = hit[0].casefold(), any(sign.isdigit() for sign in hit[0])
            empty = word in _empty() or not (_roots(word) or figure)
            particular = figure or (number > 0 and hit[0][0].isupper())
            does = word.startswith(kinds) or bool(_roots(word) & known and not particular)
            if empty or self._covered(hit) or does:
                asking += not empty
                open_ = open_ and empty
                continue
            asking, left = asking + 1, left + 1
            runs[-1:] = [(runs[-1][0], hit.end())] if open_ else [*runs[-1:], hit.span()]
            open_ = True
        phrases: list[str] = []
        for start, end in runs:
            before = re.search(_table()["joins"], self._said[:start])
            phrases.append(self._said[before.start() if before else start : end].strip(" ,"))
        return tuple(phrases), left / (asking or 1)

    def _covered(self, hit: re.Match[str]) -> bool:
        return any(start < hit.end() and hit.start() < end for start, end in self._spans)


_WORD: Final = re.compile(r"[^\W_][\w'’./-]*[^\W_]|[^\W_]")


def quoted(word: str) -> str:
    """Return a word as it is typed in a command line."""
    if not re.search(r"\s|^[\"'“”‘’„「]|=[\"'“‘„「]", word) and word:
        return word
    return f'"{word}"' if '"' not in word else f"“{word}”"


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(
        files("deskhand.core.waiting").joinpath("suggesting.toml").read_text(encoding="utf-8")
    )


@cache
def _empty() -> frozenset[str]:
    return frozenset(_table()["empty"].split())


@lru_cache(maxsize=4096)
def _roots(said: str) -> frozenset[str]:
    """Return what the words of a sentence or path begin with, and of which words that mean the same they are."""
    found = set[str]()
    for word in re.findall(r"[^\W\d_]{2,}", re.sub(r"\.\w{1,5}(?=\s|$)", "", said.casefold())):
        if word not in _empty() and not word.startswith(("파일", "폴더", "문서")):
            found.add(word[: 2 if "가" <= word[0] <= "힣" else _ROOT])
            found |= {
                f"={n}" for n, same in enumerate(_table()["same"]) if word.startswith(tuple(same))
            }
    return frozenset(found)


@lru_cache(maxsize=64)
def _vocabulary(name: str, examples: tuple[str, ...]) -> frozenset[str]:
    """Return what the words begin with that a command answers to; names and figures are not among them."""
    also = _table()["also"].get(name, "") + _table()["find"]["asks"] * (name == "find")
    first = " ".join(each.split()[0] for each in examples)
    return _roots(f"{also} {first} " + re.sub(r"\S*[A-Z\d_/.]\S*", " ", " ".join(examples)))


def _above(path: str) -> list[str]:
    """Return the folders that a file lies in, near or far."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _kind(one: Listed) -> tuple[bool, str, str]:
    """Return what files that belong together have in common; tables come first."""
    return _ending(one) in _SHEETS, one.path.rpartition("/")[0], _ending(one)


def _newest(one: Listed) -> tuple[date, str]:
    return _day(one), one.path


def _typable(path: str) -> bool:
    """Whether a name can stand in a command line as it is, and is seen as it is."""
    return path.isprintable() and not path.startswith(("-", ".")) and not {'"', "”"} <= set(path)


def _ending(one: Listed) -> str:
    return one.path.rpartition(".")[2].casefold() if not one.is_folder and "." in one.path else ""


@lru_cache(maxsize=4096)
def _day(one: Listed) -> date:
    """Return the day that a file's name says, else the one it was changed on."""
    return date_in(one.path) or one.day


def _place(said: str, words: str) -> tuple[int, int]:
    start = said.find(words)
    return start, start + len(words)

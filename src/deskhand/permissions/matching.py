"""What a rule says to an act.

Pure. An ``allow`` covers only what it spells exactly. A ``deny`` or ``ask`` speaks about every spelling of the same
thing, and has what *could* reach it unseen (a command, a search from above, a tunnel) asked. No shell is ever parsed: what is
more than plain words is not understood, and a denial of some command denies it (SH-02).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile
from posixpath import normpath
from typing import Final, Literal
from unicodedata import category, normalize
from urllib.parse import unquote

from deskhand.permissions.hosts import within
from deskhand.permissions.rules import Act, Decision, Rule, executes

Sure = Literal[0, 1, 2]
"""No, perhaps, yes."""

_IGNORABLE: Final = {"Cf", "Cc"}
_UNDERSTOOD: Final = re.compile(r"[\w ./:=,@%+;&|\n\t-]*")
_BETWEEN: Final = re.compile(r"[\s;&|=]+")
_CHARS_MAX: Final = 200_000
_WILD: Final = re.compile(r"(\*\*/|\*\*|\*|\?)")
_TAKES: Final = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def decides(rule: Rule, act: Act) -> Decision | None:
    """Return what a rule says to an act; nothing where it does not speak about it."""
    texts = dict(rule.texts)
    if rule.tool not in ("*", act.tool) or act.day > texts.get("until", act.day):
        return None
    if any(act.fact(trait) not in said for trait, said in rule.words):
        return None
    if rule.decision is Decision.ALLOW:
        return rule.decision if rule.name or _covers(rule, texts, act) else None
    sure = min(_touches(texts, act), _calls(texts, act), _runs(rule, act))
    return (None, Decision.ASK, rule.decision)[sure]


def fold(name: str) -> str:
    """Fold as the most forgiving file system would: width, case, invisible characters, trailing dots, streams."""
    seen = name
    if not (name.isascii() and name.isprintable()):
        kept = (letter for letter in name if category(letter) not in _IGNORABLE)
        seen = normalize("NFKC", "".join(kept))
    return seen.casefold().split(":", 1)[0].rstrip(". ")


def _covers(rule: Rule, texts: dict[str, str], act: Act) -> bool:
    """Whether an ``allow`` spells exactly this act, and nothing makes a yes given before worthless (PI-04)."""
    hidden = act.executes and not rule.whole
    bare = act.verb == "run" and act.wall == "none"
    foreign = act.untrusted and act.leak and not rule.even
    host, path = texts.get("host", ""), texts.get("path")
    return not (hidden or bare or foreign) and all(
        (
            texts.get("folder") in (None, act.folder),
            path is None or _glob(path).fullmatch(act.path),
            host == act.host or (host.startswith("*.") and act.host.endswith(host[1:])),
            texts.get("method") in (None, act.method),
            within(act.url_path, texts.get("prefix", "/")),
            rule.argv is None or _spells(rule.argv, act.argv, more=rule.rest),
        )
    )


def _spells(pattern: tuple[str | None, ...], argv: tuple[str, ...], *, more: bool) -> bool:
    """Whether a pattern has these words; what stands for any one word is never an option (SH-06)."""
    fits = len(pattern) <= len(argv) if more else len(pattern) == len(argv)
    words = zip(pattern, argv, strict=False)
    return fits and all(
        said == word or (said is None and not word.startswith("-")) for said, word in words
    )


@lru_cache(maxsize=1000)
def _glob(pattern: str) -> re.Pattern[str]:
    parts = [_TAKES.get(part) or re.escape(part) for part in _WILD.split(pattern)]
    return re.compile("".join(parts), re.DOTALL)


def _touches(texts: dict[str, str], act: Act) -> Sure:
    """Whether an act touches what a denial is about, in whichever spelling (FS-08), or could from above."""
    folder, path = texts.get("folder"), texts.get("path")
    if folder is None and path is None:
        return 2
    said, here = path or "", act.path
    if folder is not None:
        if act.folder is None:
            return 0
        said, here = f"{folder}/{path}" if path else folder, f"{act.folder}/{act.path}"
    pattern, parts = _parts(said), _parts(here)
    below = _glob("/".join(pattern) + "/**").fullmatch("/".join(parts) + "/")
    if below:
        return 2
    fixed = takewhile(lambda part: not _WILD.search(part), pattern)
    above = all(one == other for one, other in zip(fixed, parts, strict=False))
    return 1 if above and (act.deep or act.verb == "run") else 0


def _parts(path: str) -> list[str]:
    return [fold(part) for part in path.split("/") if part]


def _calls(texts: dict[str, str], act: Act) -> Sure:
    """Whether an act asks of the internet what a denial is about; a tunnel shows its host alone."""
    host, method, prefix = texts.get("host"), texts.get("method"), texts.get("prefix")
    if host is None and method is None and prefix is None:
        return 2
    named = re.sub(r":\d+$", "", act.host.casefold().rstrip("."))
    beneath = f".{named}".endswith("." + (host or "").removeprefix("*."))
    if not act.host or not (host in (None, act.host) or beneath):
        return 0
    if (method or prefix) and not act.method:
        return 1
    path = unquote(unquote(act.url_path.partition("?")[0])).replace("\\", "/").casefold()
    ways = (path, normpath(path), normpath(path) + "/")
    begins = any(way.startswith((prefix or "/").casefold()) for way in ways)
    return 2 if method in (None, act.method) and begins else 0


def _runs(rule: Rule, act: Act) -> Sure:
    """Whether a command is what a denial is about: its words in their order, whatever stands between them."""
    if rule.argv is None:
        return 2
    words = _words(act.argv)
    if words is None:
        return 2
    said = [word.casefold() for word in rule.argv if word is not None]
    first = not act.executes and rule.argv[0] is not None
    if not words or (first and not _same(said[0], words[0])):
        return 0
    after = iter(words)
    named = all(any(_same(one, word) for word in after) for one in said)
    return 2 if named else 1 if act.executes else 0


def _same(said: str, word: str) -> bool:
    return said in (word, word.rsplit("/", 1)[-1])


@lru_cache(maxsize=1)
def _words(argv: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the words of a command; of one that runs what it is told, every word in it, or nothing if unreadable."""
    if sum(map(len, argv)) + len(argv) > _CHARS_MAX:
        return None
    argv = tuple(word.casefold() for word in argv)
    if not (argv and executes(argv[0])):
        return argv
    if not all(map(_UNDERSTOOD.fullmatch, argv)):
        return None
    return tuple(part for word in argv for part in (word, *_BETWEEN.split(word)))

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

from deskhand.permissions.rules import EVEN, WORDS, Act, Decision, Rule, executes, within

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
    traits = dict(rule.traits)
    if rule.tool not in ("*", act.tool) or act.day > traits.get("until", act.day):
        return None
    if any(act.fact(one) not in traits[one].split(",") for one in WORDS if one in traits):
        return None
    if rule.decision is Decision.ALLOW:
        return rule.decision if rule.name or _covers(rule, traits, act) else None
    sure = min(_touches(traits, act), _calls(traits, act), _runs(rule, act))
    return (None, Decision.ASK, rule.decision)[sure]


def fold(name: str) -> str:
    """Fold as the most forgiving file system would: width, case, invisible characters, trailing dots, streams."""
    seen = name
    if not (name.isascii() and name.isprintable()):
        kept = (letter for letter in name if category(letter) not in _IGNORABLE)
        seen = normalize("NFKC", "".join(kept))
    return seen.casefold().split(":", 1)[0].rstrip(". ")


def _covers(rule: Rule, traits: dict[str, str], act: Act) -> bool:
    """Whether an ``allow`` spells exactly this act, and nothing makes a yes given before worthless (PI-04)."""
    hidden = act.executes and not rule.whole
    bare = act.verb == "run" and act.wall == "none"
    foreign = act.tainted and EVEN not in traits
    host, path = traits.get("host", ""), traits.get("path")
    return not (hidden or bare or foreign) and all(
        (
            traits.get("folder") in (None, act.folder),
            path is None or _glob(path).fullmatch(act.path),
            host == act.host or (host.startswith("*.") and act.host.endswith(host[1:])),
            traits.get("method") in (None, act.method),
            within(act.url_path, traits.get("prefix", "/")),
            rule.argv is None or _spells(rule.argv, act.argv, more=rule.rest),
        )
    )


def _spells(pattern: tuple[str | None, ...], argv: tuple[str, ...], *, more: bool) -> bool:
    """Whether a pattern has these words; what stands for any one word is never an option (SH-06)."""
    fits = len(pattern) <= len(argv) if more else len(pattern) == len(argv)
    words = zip(pattern, argv, strict=False)
    return fits and all(said == word or (said is None and not word.startswith("-")) for said, word in words)


@lru_cache(maxsize=1000)
def _glob(pattern: str) -> re.Pattern[str]:
    parts = [_TAKES.get(part) or re.escape(part) for part in _WILD.split(pattern)]
    return re.compile("".join(parts), re.DOTALL)


def _touches(traits: dict[str, str], act: Act) -> Sure:
    """Whether an act touches what a denial is about, in whichever spelling (FS-08), or could from above."""
    folder, path = traits.get("folder"), traits.get("path")
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
    return [fold(part) for part in path.split("/") if part not in ("", ".")]


def _calls(traits: dict[str, str], act: Act) -> Sure:
    """Whether an act asks of the internet what a denial is about; a tunnel shows its host alone."""
    host, method, prefix = traits.get("host"), traits.get("method"), traits.get("prefix")
    if host is None and method is None and prefix is None:
        return 2
    named = re.sub(r":\d+$", "", act.host.casefold().rstrip("."))
    beneath = f".{named}".endswith("." + (host or "").removeprefix("*."))
    if not act.host or not (host in (None, act.host) or beneath):
        return 0
    if (method or prefix) and not act.method:
        return 1
    path = unquote(unquote(act.url_path.partition("?")[0])).replace("\\", "/").casefold()
    plain = "/" + normpath(path).lstrip("/")
    begins = any(one.startswith((prefix or "").casefold()) for one in (path, plain, f"{plain}/"))
    return 2 if method in (None, act.method) and begins else 0


def _runs(rule: Rule, act: Act) -> Sure:
    """Whether a command is what a denial is about: its words in their order, whatever stands between them."""
    if rule.argv is None:
        return 2
    words = _words(act.argv)
    if words is None:
        return 2
    said = [word.casefold() for word in rule.argv if word is not None]
    anchored = not act.executes and rule.argv[0] is not None
    if not words or (anchored and said[0] not in _names(act.argv[0].casefold())):
        return 0
    after = iter(words)
    named = all(one in after for one in said)
    return 2 if named else 1 if act.executes else 0


@lru_cache(maxsize=1)
def _words(argv: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the words of a command, in lower case and also by the last name of what is a path.

    Of a command that runs what it is told they are all words in its words, or nothing where they cannot be read.
    """
    if sum(map(len, argv)) + len(argv) > _CHARS_MAX:
        return None
    words = [word.casefold() for word in argv]
    if argv and executes(argv[0]):
        whole = " ".join(words)
        if not _UNDERSTOOD.fullmatch(whole):
            return None
        words += _BETWEEN.split(whole)
    return tuple(name for word in words for name in _names(word))


def _names(word: str) -> tuple[str, ...]:
    return (word, word.rsplit("/", 1)[-1]) if "/" in word else (word,)

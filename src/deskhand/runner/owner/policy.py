"""The owner's lines about what may happen on this computer: a text file in its home, read anew before each effect.

What the account says can only make it heavier. It refuses to guess: what cannot be read lets nothing happen but
reading, and to write a line that is no rule.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.permissions.evaluate import Policy, problem_sentence
from deskhand.permissions.lines import parse
from deskhand.protocol import events, tasks, wire
from deskhand.runner.ceiling import locked
from deskhand.store.private import read_own, write_private

FILE: Final = "policy.txt"
_LOCK: Final = "policy.lock"
_read = lru_cache(maxsize=8)(parse)


def policy_text(home: Path) -> str:
    """Return the owner's lines as they are written now.

    Raises:
        DeskhandError: ``config_invalid``, ``home_unsafe``.
    """
    try:
        return (read_own(home / FILE) or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DeskhandError(Code.CONFIG_INVALID, FILE) from error


def policy_now(home: Path, account: wire.Json, *, language: str = "en") -> Policy:
    """Return what the owner and the account say now; ``account`` is the setting ``policy`` as it came."""
    texts = account if isinstance(account, list) else []
    theirs, wrong = _read("\n".join(str(text).replace("\n", " ") for text in texts))
    try:
        mine, broken = _read(policy_text(home))
    except DeskhandError as error:
        return Policy(account=theirs, broken=f"{error.sentence(language)} ({FILE})")
    said = [problem_sentence(one, language=language) for one in (*broken, *wrong)]
    return Policy(lines=mine, account=theirs, broken=said[0] if said else "")


def write_policy(home: Path, text: str) -> None:
    """Put other lines in the place of those that are there.

    Raises:
        DeskhandError: ``disk_full`` and the like.
    """
    with locked(home / _LOCK):
        write_private(home / FILE, text)


def keep(home: Path, approval: tasks.Approval, decided: events.Event) -> None:
    """Add the line that a yes for always was given to, with who gave it and when; once, however often it is kept.

    A file that cannot be read stays as it is: it lets nothing happen anyway.
    """
    given = f"{decided.at[:10]} {decided.body.get('device')} {approval.id}"
    new = f"{approval.pattern}  # always: {given}\n"
    with suppress(DeskhandError), locked(home / _LOCK):
        text = policy_text(home)
        if new not in text:
            write_private(home / FILE, text + "\n" * bool(text and text[-1] != "\n") + new)

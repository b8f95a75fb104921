"""What of the log can be found by words, how words are compared, and where in a text they stand.

Pure. Words are compared without regard to case and to how letters are put together (a file's Korean name may come in
parts); a part of a word is found, too. It refuses to look into files: their names are found, and what was said of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

from deskhand.protocol import events as ev

WordsKind = Literal["thread", "message", "result", "file"]
_MOST = 8
"""More words than this narrow nothing down."""
_BEFORE, _AFTER = 40, 80


class Words(NamedTuple):
    """One text that can be found; of the same kind and id the last one counts."""

    kind: WordsKind
    id: str
    text: str


def words_of(event: ev.Event) -> list[Words]:
    """Return what an event says that can be found; nothing of one outside a conversation."""
    if not event.thread:
        return []
    match ev.body_of(event):
        case ev.ThreadCreated(title=said) | ev.ThreadRenamed(title=said):
            found = [Words("thread", event.thread, said)]
        case ev.MessagePosted() as posted:
            # Ids of messages are the sender's own affair: they must not take the place of another conversation's.
            files = (Words("file", f"{event.seq} {file.id}", file.name) for file in posted.files)
            found = [Words("message", f"{event.seq}", posted.text), *files]
        case ev.TaskFinished() as end:
            found = [Words("result", event.task or "", "\n".join([end.summary or "", *end.not_done_because]))]
        case ev.ArtifactCreated(artifact=made):
            found = [Words("file", f"{made.task} {made.path}", made.name)]
        case _:
            found = []
    # A zero byte is no text for every database.
    plain = (one._replace(text=one.text.replace("\0", "")) for one in found)
    return [one for one in plain if one.text.strip()]


def folded(text: str) -> str:
    """Return a text as it is compared."""
    return unicodedata.normalize("NFKC", text).casefold()


def wanted(query: str) -> list[str]:
    """Return the words of a query, each of which must be found."""
    return folded(query).split()[:_MOST]


def excerpt(text: str, words: Sequence[str]) -> tuple[str, str, str]:
    """Return the place of the first word that stands in a text: what is before it, the word itself, what is after it."""
    line = " ".join(unicodedata.normalize("NFKC", text).split())
    place = re.search("|".join(map(re.escape, words)), line, re.IGNORECASE)
    at, end = place.span() if place else (0, 0)
    begin, stop = max(0, at - _BEFORE), end + _AFTER
    before, after = line[begin:at], line[end:stop]
    return ("…" if begin else "") + before, line[at:end], after + ("…" if stop < len(line) else "")

"""Check of what was said about files: each is looked at again, its hash, its size, a line of it, or that it is gone."""

from __future__ import annotations

from functools import partial
from typing import Final

from deskhand.core.quotes import stands_in
from deskhand.errors import DeskhandError
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol.wishes import CheckFiles, FileFact
from deskhand.texts import text
from deskhand.tools.builtin import source
from deskhand.tools.checks.quotes import checked, result
from deskhand.tools.files import read_decoded

_NAMED_MAX: Final = 10


def check_files(wish: CheckFiles, place: Place) -> ToolResult:
    """Look at every file again; nothing said is nothing checked."""
    said = partial(text, language=wish.language)

    def work() -> ToolResult:
        access = source(wish, place)
        wrong = [fact for fact in wish.files if not _holds(fact, access)]
        total = len(wish.files)
        sentence = said("check.files", found=total - len(wrong), total=total)
        if wrong:
            named = ", ".join(fact.path for fact in wrong[:_NAMED_MAX])
            sentence += "; " + said("check.files_wrong", named=named)
        return result(sentence, passed=bool(wish.files) and not wrong)

    return checked(work, wish)


def _holds(fact: FileFact, access: FolderAccess) -> bool:
    try:
        there = access.stat(fact.path)
        if there is None or fact.gone:
            return there is None and fact.gone
        if fact.line is not None:
            lines = read_decoded(access, fact.path)[0].lines()
            if not stands_in(fact.text, "".join(lines[fact.line - 1 : fact.line]), fact.path):
                return False
        same_size = fact.size is None or there.size == fact.size
        return same_size and (not fact.sha256 or access.sha256(fact.path) == fact.sha256)
    except DeskhandError:
        return False

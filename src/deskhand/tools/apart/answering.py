"""The process that stands apart: it bounds itself, answers one question in JSON, and ends. Run by ``asking`` only."""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.wire import JsonObject

_BOUNDS: Final = {"AS": 1536 * 1024**2, "CPU": 40, "FSIZE": 512 * 1024**2, "NOFILE": 64, "CORE": 0}


def main() -> None:
    """Answer the question in the first argument about the files in the others."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries complain about is no answer
    for bound, value in _BOUNDS.items():
        with suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{bound}"), (value, value))
    question, *paths = sys.argv[1:]
    said = json.dumps(_answer(json.loads(question), paths), ensure_ascii=False)
    sys.stdout.buffer.write(said.encode("utf-8", errors="replace"))


def _answer(question: JsonObject, paths: list[str]) -> JsonObject:
    code = Code.UNSUPPORTED_TYPE
    detail = "it is damaged, or not what its name says; open it on the computer and save it anew"
    try:
        if question["do"] == "query":
            from deskhand.tools.apart import query as part
        else:
            from deskhand.tools.apart import texts as part
        return part.answer(question, paths)
    except DeskhandError as error:
        code, detail = error.code, error.detail
    except MemoryError:
        code, detail = Code.TOO_LARGE, "it unpacks to more than is read at once"
    except Exception as error:  # noqa: BLE001 - whatever a parser does with a broken file
        detail = f"{detail} ({type(error).__name__})"
    return {"error": code.value, "detail": detail}

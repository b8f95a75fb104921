"""The program ``deskhand``: every command in its group, and every end of one as an exit code with a cure.

It refuses to show a traceback unless ``--verbose`` asks for one.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Final, cast

from typer.exceptions import Abort, TyperException

from deskhand import __version__
from deskhand.cli.flags import EVERYWHERE, whole_program
from deskhand.cli.screen import Exit, Refusal, speak
from deskhand.errors import Code, DeskhandError
from deskhand.secret import mask

app: Final = whole_program()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    # What holds everywhere may stand anywhere before ``--``.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    _set_up({one for one in arguments[:end] if one in EVERYWHERE})
    said = [one for at, one in enumerate(arguments) if at >= end or one not in EVERYWHERE]
    if said[:1] == ["--version"]:
        return speak.answer({"version": __version__}, f"deskhand {__version__}")
    if "_DESKHAND_COMPLETE" in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
    try:
        code: object = app(said, prog_name="deskhand", standalone_mode=False)
    except (KeyboardInterrupt, Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough; the interpreter must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets a sentence and a cure
        return _unexpected(error)
    return code if isinstance(code, int) else Exit.DONE


def _unexpected(error: BaseException) -> int:
    """Say what went wrong and what helps; several at once have one cause, and the first of them is told."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if isinstance(error, TyperException):
        return _misused(error)
    if isinstance(error, OSError) and error.errno in _FULL:
        error = DeskhandError(Code.DISK_FULL)
    if not isinstance(error, DeskhandError):
        if speak.verbose:
            sys.stderr.write(mask("".join(traceback.format_exception(error))))
        error = DeskhandError(Code.INTERNAL, type(error).__name__)
    speak.fail(error)
    return Exit.ERROR


_FULL: Final = frozenset({EFBIG, ENOSPC, EDQUOT})
"""Three ways of having no room."""


def _misused(error: TyperException) -> int:
    """Say what was wrong with the command line and where its help is."""
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{error}\n")
        return Exit.USAGE
    context = getattr(error, "ctx", None)
    cure = speak.say("usage.cure", command=context.command_path if context else "deskhand")
    said = error.format_message()
    speak.fail(Refusal({"code": "usage", "message": said, "cure": cure, "retryable": False}))
    return Exit.USAGE


def _set_up(everywhere: set[str]) -> None:
    """Speak as the flags want it."""
    if "--no-color" in everywhere:
        os.environ["NO_COLOR"] = "1"
    speak.json, speak.quiet = "--json" in everywhere, "--quiet" in everywhere
    speak.verbose = "--verbose" in everywhere
    speak.color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    speak.asks = terminal and not {"--no-input", "--json"} & everywhere


if __name__ == "__main__":
    main()

"""The program ``deskhand``: every command in its place, and every end of one as an exit code with a cure.

``commands.toml`` lays commands out, help comes from the catalogue. Five flags hold everywhere and may stand anywhere
before ``--``: they are taken out before parsing. It refuses to show a traceback unless ``--verbose`` asks for one.

What lets a command begin at once: plain words become plain values without Pydantic. Typer's own way builds a Pydantic
adapter for every parameter, which loads Pydantic: 0.1 to 0.2 s before the command begins. Texts, numbers, paths and
words of a list, alone or several, need none of it. Everything else is left to Typer.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin, get_type_hints

import typer
from typer import _coercion as coercion  # the one seam there is
from typer import core
from typer.exceptions import Abort, TyperException
from typing_extensions import override

from deskhand import __version__
from deskhand.cli.screen import Exit, Refusal, speak
from deskhand.cli.values import setting
from deskhand.errors import Code, DeskhandError
from deskhand.secret import mask
from deskhand.store.private import disk_fault
from deskhand.texts import LANGUAGES, table

EVERYWHERE: Final = ("--json", "--quiet", "--verbose", "--no-input", "--no-color")
LAID_OUT: Final = table("deskhand.cli", "commands.toml")
_FLAGS: Final = LAID_OUT.pop("flags")


def _spoken_language() -> str:
    """Return the language of this run: ``DESKHAND_LANGUAGE``, else ``config.toml``, else the system's."""
    with suppress(OSError, DeskhandError):  # whoever needs the file says what is wrong with it
        if (kept := setting("language")).source != "default":
            return str(kept.value)
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    system = next((said for name in names if (said := os.environ.get(name))), "")[:2]
    return system if system in LANGUAGES else LANGUAGES[0]


speak.language = _spoken_language()
t: Final = speak.say
"""Help is made while the program is loaded."""


def _whole_program() -> typer.Typer:
    """Return the program with every command in its place."""
    told = (f"{one}  {t('flag.' + one[2:].replace('-', '_'))}" for one in ("--version", *EVERYWHERE))
    app = _typer("deskhand", cls=_InOrder, help=t("help"), epilog="\n\n".join(told))
    for panel, found in LAID_OUT.items():
        shown = t(f"panel.{panel}")
        for name, one in found.items():
            if isinstance(one, str):
                _add(app, name, one, rich_help_panel=shown)
                continue
            group = _typer(name, help=t(f"{name}.help"))
            for word, function in one.items():
                _add(group, f"{name} {word}", function)
            app.add_typer(group, rich_help_panel=shown)
    return app


def _typer(name: str, **more: Any) -> typer.Typer:  # noqa: ANN401 - as Typer's own
    quiet = {"add_completion": False, "pretty_exceptions_enable": False}
    return typer.Typer(name=name, no_args_is_help=True, rich_markup_mode="rich", **quiet, **more)


def _add(app: typer.Typer, path: str, function: str, **more: Any) -> None:  # noqa: ANN401 - as Typer's own
    """Make a function the command ``path``; its last word is its name."""
    module, _, name = function.rpartition(".")
    run = getattr(import_module(module, "deskhand.cli.commands"), name)
    key = path.replace(" ", ".")
    examples = (f"  {line}" for line in t(f"{key}.examples").splitlines())
    shown = [line.replace("[", r"\[") for line in (*examples, t("everywhere"))]
    epilog = "\n\n".join([f"[bold]{t('examples')}[/bold]", *shown])
    made = app.command(path.rsplit(maxsplit=1)[-1], help=t(f"{key}.help"), epilog=epilog, **more)
    made(_declared(run, path.split(maxsplit=1)[0]))


def _declared(run: Callable[..., Any], group: str) -> Callable[..., Any]:
    """Tell Typer what a function takes: positional parameters are arguments, the others flags of their names.

    What names and types do not tell stands under ``flags``, for a group before what holds everywhere.
    """
    hints = get_type_hints(run)
    for name, one in signature(run).parameters.items():
        key = f"{group}.{name}"
        told: dict[str, Any] = {"help": key, **_FLAGS.get(name, {}), **_FLAGS.get(key, {})}
        told["help"] = t(told["help"])
        if key == "do.text":
            told["autocompletion"] = _complete
        if one.kind is one.KEYWORD_ONLY:
            info = typer.Option(told.pop("flag", f"--{name.replace('_', '-')}"), **told)
        else:
            info = typer.Argument(metavar=told.pop("metavar", name.upper()), **told)
        run.__annotations__[name] = Annotated[hints[name], info]
    return run


def _complete(incomplete: str) -> list[str]:
    """Return how a command line may go on; brought in only where a shell asks."""
    from deskhand.agents.commands.agent import complete

    return complete(incomplete)


class _InOrder(core.TyperGroup):
    """The program, whose commands are listed as they are laid out."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        order = [name for found in LAID_OUT.values() for name in found]
        return sorted(self.commands, key=order.index)


@dataclass(frozen=True)
class _Plain(coercion.RuntimeParam):
    """Turns what was typed for one parameter into its value, or refuses it with what it takes."""

    convert: Callable[[str], Any]
    takes: str

    @override
    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._coerce_value(one, param, ctx) for one in value]  # pyright: ignore[reportUnknownVariableType] - as typed
        low, high = self.parameter_info.min, self.parameter_info.max
        with suppress(ValueError, KeyError):
            read = self.convert(value)
            if (low is None or read >= low) and (high is None or read <= high):
                return read
        raise typer.BadParameter(f"{value!r}: {self.takes}", ctx=ctx, param=param)


_PLAIN: dict[object, Callable[[str], object]] = {str: str, int: int, Path: Path, bool: bool}
"""``bool``: only for a flag that was not given; a given one is a truth value already."""


def _runtime_param(described: coercion.TypeDescriptor) -> coercion.RuntimeParam:
    """Return how to read a parameter: ours where that is the same, else Typer's."""
    kind, info = described.annotation, described.parameter_info
    words: tuple[str, ...] = get_args(kind) if get_origin(kind) is Literal else ()
    one = get_args(kind)[0] if described.is_list else kind
    convert = {word: word for word in words}.__getitem__ if words else _PLAIN.get(one)
    if convert is None:
        return coercion.build_runtime_param(described)
    takes = " | ".join(words) or f"{info.min or 0:g} … {info.max or ''}"
    return _Plain(annotation=kind, parameter_info=info, convert=convert, takes=takes)


setattr(core, "build_runtime_param", _runtime_param)  # noqa: B010 - where Typer looks it up


app: Final = _whole_program()


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
    if isinstance(error, OSError) and (fault := disk_fault(error)).code is Code.DISK_FULL:
        error = fault
    if not isinstance(error, DeskhandError):
        if speak.verbose:
            sys.stderr.write(mask("".join(traceback.format_exception(error))))
        error = DeskhandError(Code.INTERNAL, type(error).__name__)
    speak.fail(error)
    return Exit.ERROR


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

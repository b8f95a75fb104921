"""The reference page of the command line, read off the program itself and printed; ``make docs`` keeps it.

Help is made when the program is loaded, in the reader's language; run with ``DESKHAND_LANGUAGE=en`` for the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, cast

from typer.main import get_command

from deskhand.cli.main import EVERYWHERE, LAID_OUT, app
from deskhand.texts import text

_EXITS = (
    (0, "done"),
    (1, "error: hub unreachable, not allowed, refused, bug"),
    (2, "usage"),
    (3, "failed, or not done"),
    (4, "waits for a person or a model"),
    (5, "canceled"),
    (6, "done but unverified, only with `--require verified`"),
    (7, "the waiting took too long"),
    (130, "interrupted"),
)
_VARIABLES = (
    ("DESKHAND_HOME", "all state and `config.toml`; default: where this system keeps programs' data"),
    ("DESKHAND_URL", "which hub"),
    ("DESKHAND_TOKEN", "as whom; default: the local owner, for the hub that was started here only"),
    ("DESKHAND_INVITE", "the invitation for `deskhand runner`"),
    ("DESKHAND_LANGUAGE", "`en` or `ko`; default: the setting `language` of this computer, else `LANG`"),
    ("NO_COLOR", "no colours"),
)


def command_page() -> str:
    """Return the page."""
    root = cast("Any", get_command(app))
    parts = [
        "# Command line\n\nstdout carries the result, stderr the progress; `--json` prints one object, "
        "`watch --json` one event per line. Flag > environment > project `.deskhand.toml` (may only narrow) > "
        "`config.toml` > default.\n\n## Everywhere\n\n"
        + "".join(f"- `{one}` {text('cli.flag.' + one[2:].replace('-', '_'))}\n" for one in ("--version", *EVERYWHERE))
        + "\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n"
        + "".join(f"| `{code}` | {meaning} |\n" for code, meaning in _EXITS)
        + "\n## Environment\n\n| variable | meaning |\n| --- | --- |\n"
        + "".join(f"| `{name}` | {meaning} |\n" for name, meaning in _VARIABLES)
    ]
    for panel, found in LAID_OUT.items():
        parts.append(f"\n## {text(f'cli.panel.{panel}')}\n")
        parts += [_section(path, one) for path, one in leaves(root) if path.split()[0] in found]
    return "".join(parts)


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - Typer's own objects
    """Yield every command with its path, such as ``devices admit``."""
    for name, one in command.commands.items():
        inner = f"{path} {name}".strip()
        if hasattr(one, "commands"):
            yield from leaves(one, inner)
        else:
            yield inner, one


def _section(path: str, command: Any) -> str:  # noqa: ANN401 - Typer's own object
    key = path.replace(" ", ".")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    flags = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join(["deskhand", path, *(one.metavar for one in arguments)])
    lines = [f"\n### `{usage}`\n\n{text(f'cli.{key}.help')}\n"]
    lines += [f"\n- `{one.metavar}` {one.help}" for one in arguments]
    lines += [f"\n- {_flag(one)}" for one in flags]
    examples = text(f"cli.{key}.examples")
    lines.append(f"{chr(10) if arguments or flags else ''}\n```sh\n{examples}\n```\n")
    return "".join(lines)


def _flag(option: Any) -> str:  # noqa: ANN401 - Typer's own object
    return f"{', '.join(f'`{name}`' for name in option.opts)} {option.help or ''}".strip()


if __name__ == "__main__":
    sys.stdout.write(command_page())

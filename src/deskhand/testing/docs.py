"""Writes the pages that follow from the code: errors, protocol, settings, commands, promises, threats, what survives.

    python -m deskhand.testing.docs           # write them below docs/
    python -m deskhand.testing.docs --check   # say what is out of date

A page is generated or it is prose, never both. It refuses to invent: every sentence comes from the code's own
docstrings and the text catalogue.
"""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from deskhand.core.folding import COLLECTIONS
from deskhand.core.settings import REGISTRY
from deskhand.errors import Code
from deskhand.ports import Frame
from deskhand.protocol.events import EVENTS, ORDER_KINDS, RUNNER_KINDS
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import AUTHORITY, OPS
from deskhand.protocol.tasks import MOVES, VERDICTS, TaskState, Verdict
from deskhand.testing.promises import promises, threats, what_survives
from deskhand.texts import text

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
README = ROOT / "README.md"
_SIZE_MARK = "Size, counted by a test: "
_NOTE = "<!-- Written by `make docs` from the code; do not edit. -->\n\n"


def errors() -> str:
    """Return the page of error codes."""
    rows = [(f"`{code}`", code.status, text(f"error.{code}"), text(f"error.{code}.cure")) for code in sorted(Code)]
    return (
        "# Errors\n\nThe closed list. An answer of HTTP carries "
        '`{"error": {"code", "message", "cure", "retryable", "field?", "request_id"}}`; the command line prints\n'
        "sentence and cure. Every sentence exists in English and Korean.\n\n"
        + _table(("code", "HTTP", "what happened", "what to do"), rows)
    )


def protocol() -> str:
    """Return the page of events, ops, authority and states."""
    kinds = [(f"`{kind}`", _first_line(body), _fields(body), _who(kind)) for kind, body in sorted(EVENTS.items())]
    ops = [(f"`{kind}`", _first_line(body), _fields(body)) for kind, body in sorted(OPS.items())]
    roles = [(f"`{kind}`", *(row[role] for role in Role)) for kind, row in sorted(AUTHORITY.items())]
    states = [
        (f"`{state}`", ", ".join(f"`{to}`" for to in sorted(targets)) or "–", _verdicts(state))
        for state, targets in MOVES.items()
    ]
    folds = ", ".join(f"`{name}`" for name in sorted(COLLECTIONS.values()))
    return (
        "# Protocol\n\nOps go in (`POST /v1/ops`), events come out (`GET /v1/stream`, `GET /v1/sync`). "
        "The JSON Schema is [protocol.schema.json](protocol.schema.json).\n\n"
        "## Events\n\nEnvelope: `seq`, `kind`, `at`, `actor`, `thread?`, `task?`, `v`; apart from it the body.\n\n"
        + _table(("kind", "meaning", "body", "from / to a runner"), kinds)
        + f"\n## Frames of the stream\n\n{inspect.cleandoc(Frame.__doc__ or '')}\n".replace("``", "`")
        + "\n## Ops\n\n"
        + _table(("kind", "meaning", "body"), ops)
        + "\n## Who may send which op\n\n`own`: only about one's own threads and tasks; for a runner, what is leased to it.\n\n"
        + _table(("op", *(role.value for role in Role)), roles)
        + "\n## Task states\n\n"
        + _table(("state", "may go to", "verdict"), states)
        + f"\n## Objects\n\nFolds of the log: {folds}.\n"
    )


def settings() -> str:
    """Return the page of settings."""
    rows = [
        (
            f"`{spec.name}`",
            f"`{list(spec.default) if isinstance(spec.default, tuple) else spec.default}`",
            "account" if spec.account else "this computer's `config.toml`",
            text(f"setting.{spec.name}"),
        )
        for spec in sorted(REGISTRY.values(), key=lambda spec: spec.name)
    ]
    return "# Settings\n\n" + _table(("name", "default", "lives in", "meaning"), rows)


def commands() -> str:
    """Return the page of the command line, as the program prints it."""
    return _printed("command_page.py")


def _printed(script: str, *arguments: str) -> str:
    program = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    done = subprocess.run(  # noqa: S603 - our own program
        program, env={**os.environ, "DESKHAND_LANGUAGE": "en"}, capture_output=True, text=True, check=True
    )
    return done.stdout


def code_lines(source: str) -> int:
    """Count the lines of code: what is not blank, not only a comment, not a docstring (decision 0013)."""
    said: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            said |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        number not in said and bool(line.strip()) and not line.lstrip().startswith("#") for number, line in lines
    )


def size() -> str:
    """Return the line of the README that says how much there is to read, in hundreds."""
    spent, every = Counter[str](), 0
    for path in sorted((ROOT / "src").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        part = next((one for one in ("testing", "evals") if one in path.parts), "product")
        spent[part] += code_lines(source)
        every += source.count("\n") if part == "product" else 0
    told = {part: f"{lines // 100 * 100:,}" for part, lines in spent.items()}
    return (
        f"{_SIZE_MARK}product {told['product']} lines of code ({every // 100 * 100:,} with docstrings, comments and "
        f"blank lines), `testing/` {told['testing']}, `evals/` {told['evals']}."
    )


PAGES: dict[str, Callable[[], str]] = {
    "explanation/what-survives.md": what_survives,
    "reference/cli.md": commands,
    "reference/commands.md": lambda: _printed("typed_pages.py", "commands"),
    "reference/risks-checklist.md": lambda: _printed("typed_pages.py", "risks-checklist"),
    "reference/errors.md": errors,
    "reference/promises.md": promises,
    "reference/protocol.md": protocol,
    "reference/settings.md": settings,
    "reference/threats.md": threats,
}
"""Every generated page by its place in ``docs/``."""


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with ``--check`` only say which are out of date."""
    stale = out_of_date()
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"docs/{name} is out of date: make docs\n")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(_NOTE + PAGES[name](), encoding="utf-8")
    README.write_text(with_size(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def with_size(readme: str) -> str:
    """Return the README with its line about size as it is now."""
    return "\n".join(size() if line.startswith(_SIZE_MARK) else line for line in readme.split("\n"))


def out_of_date() -> list[str]:
    """Return the pages whose file is not what the code says."""
    return [name for name, page in PAGES.items() if _stored(name) != _NOTE + page()]


def _stored(name: str) -> str:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _fields(model: type[BaseModel]) -> str:
    fields: Mapping[str, object] = model.model_fields
    names = [f"`{info.alias or name}{'' if info.is_required() else '?'}`" for name, info in model.model_fields.items()]
    return ", ".join(names) if fields else "–"


def _who(kind: str) -> str:
    said = [word for word, kinds in (("from", RUNNER_KINDS), ("to", ORDER_KINDS)) if kind in kinds]
    return " and ".join(said) or "–"


def _verdicts(state: TaskState) -> str:
    fitting = VERDICTS.get(state, frozenset[Verdict | None]())
    return ", ".join(f"`{one}`" if one else "none" for one in sorted(fitting, key=str)) or "–"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

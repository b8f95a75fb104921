"""Rules about the tree: names, crowded folders, empty rooms, line budgets, and traces of a machine."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from deskhand.testing.docs import code_lines
from tests.meta.code_rules import promise_without_issue
from tests.meta.findings import Finding

MODULES_PER_FOLDER_MAX = 15
COMPONENT_LINES_MAX = 250
WEB_MODULE_LINES_MAX = 600
ADAPTER_LINES_MAX = 400
DECISION_LINES_MAX = 80
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common", "misc"}
CODE_ENDINGS = {".py", ".ts", ".svelte", ".js", ".mjs"}
COMMENT_START = re.compile(r"(?://|/\*|<!--|(?:^|\s)#)(.*)")
DECISION_HEADINGS = ("Status", "Context", "Options", "Decision", "Consequences", "What would make us reopen it")

PRODUCT = "src/deskhand/"
TESTING = "src/deskhand/testing/"
EVALS = "src/deskhand/evals/"
PURE = ("src/deskhand/protocol/", "src/deskhand/core/", "src/deskhand/permissions/")
ADAPTERS = ("src/deskhand/channels/", "src/deskhand/notify/")
BUDGETS: Mapping[str, int] = {"product": 20_000, "testing": 5_000, "evals": 3_000, "pure": 4_000, "ports": 1_000}


def budget_findings(sources: Mapping[str, str]) -> list[Finding]:
    """Nothing grows past what one person can read."""
    spent = lines_spent(sources)
    return [
        Finding(path=PRODUCT, line=1, message=f"{name}: {spent[name]} lines, at most {most}")
        for name, most in BUDGETS.items()
        if spent[name] > most
    ]


def lines_spent(sources: Mapping[str, str]) -> Counter[str]:
    """Count the lines of code of each part: no blank lines, comments or docstrings (decision 0013)."""
    spent: Counter[str] = Counter()
    for path, text in sources.items():
        lines = code_lines(text)
        if path.startswith(TESTING):
            spent["testing"] += lines
        elif path.startswith(EVALS):
            spent["evals"] += lines
        elif path.startswith(PRODUCT):
            spent["product"] += lines
        if path.startswith(PURE):
            spent["pure"] += lines
        if path.startswith(f"{PRODUCT}ports/"):
            spent["ports"] += lines
    return spent


def name_findings(paths: Iterable[str]) -> list[Finding]:
    """A file is named after what it holds."""
    found: list[Finding] = []
    for path in paths:
        pure = PurePosixPath(path)
        if pure.suffix not in CODE_ENDINGS or "dist" in pure.parts:
            continue
        words = {word for part in (*pure.parts[:-1], pure.stem) for word in part.lower().split("_")[-1:]}
        if words & SAYS_NOTHING:
            found.append(Finding(path=path, line=1, message="a name that says nothing"))
    return found


def crowd_findings(paths: Iterable[str]) -> list[Finding]:
    """A folder of the product holds few enough modules to be seen at once."""
    modules = [PurePosixPath(path) for path in paths if path.startswith("src/") and path.endswith(".py")]
    crowd = Counter(str(path.parent) for path in modules if path.name != "__init__.py")
    return [
        Finding(path=folder, line=1, message=f"{count} modules, at most {MODULES_PER_FOLDER_MAX}")
        for folder, count in sorted(crowd.items())
        if count > MODULES_PER_FOLDER_MAX
    ]


def empty_room_findings(sources: Mapping[str, str]) -> list[Finding]:
    """No file is created before it has a body."""
    bodies = {path for path, text in sources.items() if has_body(text)}
    found: list[Finding] = []
    for path in sources:
        if not path.startswith("src/") or path in bodies:
            continue
        folder = path.removesuffix("__init__.py")
        if folder == path:
            found.append(Finding(path=path, line=1, message="a module without a body"))
        elif not any(body.startswith(folder) for body in bodies):
            found.append(Finding(path=path, line=1, message="a package without a module in it"))
    return found


def has_body(text: str) -> bool:
    """Tell whether a module holds more than a docstring and imports."""
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return True
    idle = (ast.Expr, ast.Import, ast.ImportFrom, ast.Pass)
    return any(not isinstance(statement, idle) for statement in statements)


def size_findings(sources: Mapping[str, str]) -> list[Finding]:
    """Components, web modules, adapters and decisions stay short."""
    found: list[Finding] = []
    for path, text in sources.items():
        lines, most = text.count("\n"), lines_allowed(path)
        if most and lines > most:
            found.append(Finding(path=path, line=1, message=f"{lines} lines, at most {most}"))
    return found


def lines_allowed(path: str) -> int | None:
    """Give the bound of one kind of file, if it has one of its own."""
    if path.startswith("web/src/") and path.endswith(".svelte"):
        return COMPONENT_LINES_MAX
    if path.startswith("web/src/") and path.endswith(".ts") and "generated" not in path:
        return WEB_MODULE_LINES_MAX
    if path.startswith(ADAPTERS):
        return ADAPTER_LINES_MAX
    if re.match(r"docs/decisions/\d{4}-", path):
        return DECISION_LINES_MAX
    return None


def promise_findings(sources: Mapping[str, str]) -> list[Finding]:
    """Outside Python, too, something left for later names its issue."""
    return [
        finding
        for path, text in sources.items()
        for number, line in enumerate(text.splitlines(), start=1)
        for comment in COMMENT_START.findall(line)
        for finding in promise_without_issue(path, number, comment)
    ]


def decision_findings(path: str, text: str) -> Iterator[Finding]:
    """A decision record has all its parts, in order."""
    headings = tuple(re.findall(r"^## (.+)$", text, re.MULTILINE))
    if headings != DECISION_HEADINGS:
        message = f"the headings must be: {', '.join(DECISION_HEADINGS)}"
        yield Finding(path=path, line=1, message=message)


def trace_findings(sources: Mapping[str, str], traces: Iterable[str]) -> list[Finding]:
    """No committed file tells where this machine installs from or where its folders are."""
    traces = list(traces)
    if not traces:
        return []
    pattern = re.compile("|".join(rf"(?<![\w.~-]){re.escape(trace)}(?![\w-])" for trace in traces))
    return [
        Finding(path=path, line=text.count("\n", 0, hit.start()) + 1, message="a trace of one machine")
        for path, text in sources.items()
        for hit in pattern.finditer(text)
    ]

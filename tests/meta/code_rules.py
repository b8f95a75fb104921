"""Rules about one Python file: size, docstring, reasons, mocks, and what a test must show.

They judge form only. Style is ruff's work, types are basedpyright's.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.meta.findings import Finding

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600
EXEMPTION = re.compile(r"#\s*(noqa\b|type:\s*ignore|pyright:\s*ignore|pragma:\s*no cover)")
REASON = re.compile(r"\s[-\u2013]\s+\w")
PROMISE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
ISSUE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\s?\(?#\d+\)?")
MOCK_NAMES = {"Mock", "MagicMock", "AsyncMock", "NonCallableMock", "create_autospec"}
ASSERTING = re.compile(r"^_?(assert|check|conform|expect|must|raises|warns|verify|fail)")

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_findings(path: str, text: str) -> list[Finding]:
    """Ask every rule of this file about one Python source."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [Finding(path=path, line=error.lineno or 1, message="does not parse")]
    found = [
        *module_shape(path, text, tree),
        *long_functions(path, tree),
        *mocks(path, tree),
        *comments_without_reason(path, text),
        *tests_that_show_nothing(path, tree),
    ]
    return sorted(found)


def module_shape(path: str, text: str, tree: ast.Module) -> Iterator[Finding]:
    """A module is short and opens by saying what it is for."""
    lines = text.count("\n")
    if lines > MODULE_LINES_MAX:
        yield Finding(path=path, line=1, message=f"{lines} lines, at most {MODULE_LINES_MAX}")
    if tree.body and not ast.get_docstring(tree):
        yield Finding(path=path, line=1, message="the module has no docstring")


def long_functions(path: str, tree: ast.Module) -> Iterator[Finding]:
    """A function fits on a screen."""
    for node in ast.walk(tree):
        if isinstance(node, type_of_function):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                message = f"{node.name} has {size} lines, at most {FUNCTION_LINES_MAX}"
                yield Finding(path=path, line=node.lineno, message=message)


def mocks(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Doubles are fakes with behaviour of their own, never mocks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Name):
            names = {"mock"} if node.id in MOCK_NAMES else set[str]()
        elif isinstance(node, ast.arg):
            names = {"mock"} if node.arg == "mocker" else set[str]()
        else:
            continue
        if names & {"mock", "unittest.mock", "pytest_mock"}:
            line = getattr(node, "lineno", 1)
            yield Finding(path=path, line=line, message="a mock; write a fake in deskhand.testing")


def comments_without_reason(path: str, text: str) -> Iterator[Finding]:
    """An exemption says why, and a promise names its issue."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        exemption = EXEMPTION.search(token.string)
        if exemption and not REASON.search(token.string, exemption.end()):
            message = 'an exemption without its reason (write "# noqa: X - why")'
            yield Finding(path=path, line=line, message=message)
        yield from promise_without_issue(path, line, token.string)


def promise_without_issue(path: str, line: int, comment: str) -> Iterator[Finding]:
    """Something left for later has an issue where it is remembered."""
    if PROMISE.search(comment) and not ISSUE.search(comment):
        yield Finding(path=path, line=line, message="a promise for later without an issue number")


def tests_that_show_nothing(path: str, tree: ast.Module) -> Iterator[Finding]:
    """A test opens with the sentence that must hold, and can fail."""
    for node in ast.walk(tree):
        if not isinstance(node, type_of_function) or not node.name.startswith("test_"):
            continue
        sentence = (ast.get_docstring(node) or "").split("\n")[0].strip()
        if not re.search(r"\w.*[.!?)\]\"'`]$", sentence):
            message = f"{node.name} does not open with a sentence of what must hold"
            yield Finding(path=path, line=node.lineno, message=message)
        if not any(asserts(inner) for inner in ast.walk(node)):
            message = f"{node.name} asserts nothing that is visible"
            yield Finding(path=path, line=node.lineno, message=message)


def asserts(node: ast.AST) -> bool:
    """Tell whether a node can make a test fail on purpose."""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return bool(ASSERTING.match(str(name)))

"""How secrets are compared: never letter by letter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src/deskhand"
PARTS = ("hub", "runner", "store", "egress", "cli")
SECRET = ("token", "secret", "password", "credential", "claim", "half")
PLAIN = ("secret_name", "token_kind", "kind", "names", "claims", "tokens")


def _names(node: ast.expr) -> Iterator[str]:
    """Yield what an operand is called, not what it is asked for."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Call):
        yield from _names(node.func)


def compared(source: str) -> list[str]:
    """Return the comparisons by == or != of what is called a secret."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops)
        and not any(isinstance(one, ast.Constant) for one in (node.left, *node.comparators))
        for name in [one for side in (node.left, *node.comparators) for one in _names(side)]
        if name not in PLAIN and any(part in name.lower() for part in SECRET)
    ]


@pytest.mark.parametrize("part", PARTS)
def test_no_secret_is_compared_letter_by_letter(part: str) -> None:
    """AU-04: how long a refusal takes says nothing about the secret; hashes are looked up, or compared in constant time."""
    found = {str(path): compared(path.read_text("utf-8")) for path in (SRC / part).rglob("*.py")}

    assert found
    assert {path: said for path, said in found.items() if said} == {}


def test_a_careless_comparison_is_found() -> None:
    """AU-04: also of fields and of what a function returns."""
    assert compared("if wish.secret == known: pass") == ["wish.secret == known"]
    assert compared("ok = a != bearer_token(x)") == ["a != bearer_token(x)"]
    assert compared("ok = hmac.compare_digest(token, known) and kind == 'token'") == []

"""Strict JSON in, one canonical spelling out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.ops import Op
from deskhand.protocol.wire import canonical, sha256_of, strict_json

_SAFE_INTEGERS = st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
_JSON = st.recursive(
    st.none() | st.booleans() | _SAFE_INTEGERS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": 9007199254740993}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b"[" * 10_000 + b"]" * 10_000,
        b"[" * 66 + b"]" * 66,
        b"\xff\xfe",
        b"",
        b"{} {}",
        b'{"a": 1,}',
    ],
    ids=range(14),
)
def test_what_parsers_disagree_about_is_refused(data: bytes) -> None:
    """WH-06: NaN, duplicate keys, huge numbers, lone surrogates and deep nesting never get in."""
    with pytest.raises(DeskhandError) as caught:
        strict_json(data)

    assert caught.value.code is Code.MALFORMED_JSON


@given(_JSON)
def test_every_honest_value_comes_through_unchanged(value: object) -> None:
    """Strictness costs no honest client anything."""
    assert strict_json(json.dumps(value).encode()) == value


@given(st.dictionaries(st.text(max_size=5), _SAFE_INTEGERS))
def test_the_canonical_spelling_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    """Two programs that built the same object differently get the same hash."""
    backwards = dict(reversed(list(value.items())))

    assert canonical(backwards) == canonical(value)


def test_a_float_has_no_hash() -> None:
    """Floats print differently in Python and JavaScript, so an action must not hold one."""
    with pytest.raises(DeskhandError) as caught:
        sha256_of({"amount": [1.5]})

    assert caught.value.code is Code.INVALID


def test_the_fingerprint_of_an_op_covers_everything_but_its_id() -> None:
    """The same id with another thread, task, kind or body is another op."""
    op = Op.from_json({"op_id": "12345678", "kind": "message.post", "body": {"text": "a", "x": 1.5}})

    changed = [op.but(kind="k"), op.but(thread="t"), op.but(task="t"), op.but(body={"text": "b"})]

    assert op.but(op_id="87654321").fingerprint() == op.fingerprint()
    assert len({one.fingerprint() for one in [op, *changed]}) == 5


def test_unknown_fields_are_kept_and_wrong_ones_named() -> None:
    """An older hub passes on what a newer phone said; a wrong field is named."""
    op = Op.from_json({"op_id": "12345678", "kind": "x", "later": {"a": 1}})

    with pytest.raises(DeskhandError) as caught:
        Op.from_json({"op_id": "12345678", "kind": 5})

    assert op.to_json()["later"] == {"a": 1}
    assert (caught.value.code, caught.value.field) == (Code.INVALID, "kind")

"""What is generated from the protocol and checked in."""

from __future__ import annotations

from deskhand.testing import schema


def test_json_schema_and_typescript_types_are_current() -> None:
    """The reference and the page's types say exactly what the Python protocol says."""
    stale = schema.out_of_date(schema.ROOT)

    assert stale == [], "run: python -m deskhand.testing.schema"

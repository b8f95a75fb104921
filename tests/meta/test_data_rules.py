"""Each rule about data files catches a planted bad example."""

from __future__ import annotations

import pytest

from tests.meta.data_rules import catalogue_findings, lock_findings

HASHED = f"rich==15.0.0 \\\n    --hash=sha256:{'a' * 64}\n"

BAD_LOCKS = {
    "a dependency that is not pinned": (HASHED, ["rich", "typer>=1"], "typer is not in the lock"),
    "a pin outside the range": (HASHED, ["rich>=16"], "rich 15.0.0 is not >=16"),
    "a pin without hash": ("rich==15.0.0\n", ["rich"], "rich==15.0.0 has no hash"),
    "an address": (HASHED + "--index-url https://index.example/simple\n", ["rich"], "an address"),
}

BAD_CATALOGUES = {
    "a sentence missing in Korean": ('{"a": "A", "b": "B"}', '{"a": "가"}', "ko: b is missing"),
    "a sentence missing in English": ('{"a": "A"}', '{"a": "가", "b": "나"}', "en: b is missing"),
    "an empty sentence": ('{"a": "A"}', '{"a": " "}', "ko: a is empty"),
    "places that differ": ('{"a": "{n} files"}', '{"a": "{m} 파일"}', "a: the places differ"),
    "a sentence said twice": ('{"a": "A", "a": "B"}', '{"a": "가"}', "en: a stands twice"),
    "a place that cannot be read": ('{"a": "{n"}', '{"a": "{n}"}', "a: the places differ"),
}


@pytest.mark.parametrize("name", BAD_LOCKS)
def test_a_bad_lock_is_found(name: str) -> None:
    """What is not pinned, not hashed or names an address is said."""
    text, declared, complaint = BAD_LOCKS[name]

    found = lock_findings("lock.txt", text, declared)

    assert [each.message for each in found if each.message.startswith(complaint)]


def test_a_good_lock_passes() -> None:
    """A hashed pin within the declared range is all that is asked, however the name is written."""
    assert lock_findings("lock.txt", HASHED, ["Rich[extra]>=15"]) == []


@pytest.mark.parametrize("name", BAD_CATALOGUES)
def test_a_bad_catalogue_is_found(name: str) -> None:
    """A sentence that one language lacks, leaves empty or fills differently is said."""
    english, korean, complaint = BAD_CATALOGUES[name]

    found = catalogue_findings("texts", english, korean)

    assert [each.message for each in found if each.message.startswith(complaint)]


def test_a_good_catalogue_passes() -> None:
    """Equal sentences with equal places pass, in any order."""
    assert catalogue_findings("texts", '{"a": "{n} files"}', '{"a": "파일 {n}개"}') == []

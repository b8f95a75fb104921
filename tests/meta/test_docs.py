"""The reference is tested: it is what the code says, and nothing of the code is missing from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deskhand.core.settings import REGISTRY
from deskhand.errors import Code
from deskhand.protocol.events import EVENTS
from deskhand.protocol.ops import OPS
from deskhand.testing import docs
from deskhand.texts import LANGUAGES, text

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_is_what_the_code_says() -> None:
    """A page that lags behind the code is wrong: ``make docs`` writes it anew."""
    assert docs.out_of_date() == []


@pytest.mark.parametrize(
    ("page", "names"), [("errors.md", [*Code]), ("protocol.md", [*EVENTS, *OPS]), ("settings.md", [*REGISTRY])]
)
def test_everything_of_the_code_is_in_the_reference(page: str, names: list[str]) -> None:
    """Every error code, event kind, op and setting can be looked up."""
    said = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")

    missing = [name for name in names if f"`{name}`" not in said]

    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_has_a_sentence_and_a_cure(language: str) -> None:
    """Nobody is told no without being told what to do."""
    said = [text(f"error.{code}{part}", language=language) for code in Code for part in ("", ".cure")]

    assert all(one.endswith((".", "요.", "다.")) or "(" in one for one in said)


def test_every_link_between_documents_leads_somewhere() -> None:
    """A reader who follows a link arrives."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []

"""What the published checklist of /risks finds in a text, in both languages, and what it leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.core.words.notes import stands_in
from deskhand.core.words.risks import checklist, risks_in


@pytest.mark.parametrize(
    ("clause", "name"),
    [
        ("The term shall automatically be renewed for one year.", "auto-renewal"),
        ("extended by a year unless either party gives notice", "auto-renewal"),
        ("동일한 조건으로 1년씩 자동으로 갱신된다.", "auto-renewal"),
        ("Either party may, on 30 days' notice, terminate this agreement.", "termination"),
        ("갑은 서면 통지로 본 계약을 해지할 수 있다.", "termination"),
        ("Supplier's total liability is the price paid.", "liability-cap"),
        ("In no event shall we be liable for loss of profit", "liability-cap"),
        ("을은 간접 손해에 대하여 책임을 지지 아니한다.", "liability-cap"),
        ("You are liable without any limit", "liability-unlimited"),
        ("을은 일체의 손해를 배상한다", "liability-unlimited"),
        ("Customer will defend, indemnify and hold Provider harmless", "indemnity"),
        ("을은 갑의 손해를 배상하여야 한다.", "indemnity"),
        ("a contractual penalty of EUR 5,000", "penalty"),
        ("위약금으로 계약금의 배액을 지급한다", "penalty"),
        ("appoints the Distributor as its exclusive reseller", "exclusivity"),
        ("을은 갑에게만 독점 공급한다", "exclusivity"),
        ("Contractor hereby assigns all inventions to Company", "ip"),
        ("결과물에 대한 저작권은 갑에게 귀속된다", "ip"),
        ("This contract is governed by Irish law", "governing-law"),
        ("관할 법원은 서울중앙지방법원으로 한다", "governing-law"),
        ("settled by binding arbitration", "arbitration"),
        ("대한상사중재원의 중재로 해결한다", "arbitration"),
        ("treat all information as confidential", "confidentiality"),
        ("업무상 알게 된 기밀을 누설하여서는 아니 된다", "confidentiality"),
        ("Fees are non-refundable.", "payment"),
        ("대금은 세금계산서 발행 후 30일 이내에 지급한다", "payment"),
        ("interest of 1.5 % per month on overdue sums", "late-interest"),
        ("연 12%의 지연이자를 가산한다", "late-interest"),
        ("We may modify these terms at any time", "unilateral-change"),
        ("회사는 사전 통지 없이 약관을 변경할 수 있다", "unilateral-change"),
        ("The rent shall increase by 3 % a year", "price-increase"),
        ("임대료를 매년 5% 인상한다", "price-increase"),
        ("Provider may assign this Agreement without consent", "assignment"),
        ("을은 권리와 의무를 제3자에게 양도하지 못한다", "assignment"),
        ("Employee shall not, for two years, compete with the Company", "non-compete"),
        ("퇴직 후 1년간 경쟁 업체에 취업할 수 없다", "non-compete"),
        ('The goods are sold "as is"', "warranty"),
        ("갑은 목적물의 하자에 대하여 보증하지 아니한다", "warranty"),
        ("Processor processes personal data on behalf of", "data"),
        ("개인정보의 처리를 위탁한다", "data"),
        ("by fire, flood or any event of force majeure", "force-majeure"),
        ("천재지변 등 불가항력", "force-majeure"),
        ("Licensor may audit the use of the software", "audit"),
        ("갑은 을의 장부를 열람할 수 있다", "audit"),
        ("a minimum annual purchase of 500 units", "minimum"),
        ("의무 사용 기간은 24개월이다", "minimum"),
        ("Sections 4 and 7 shall survive termination", "survival"),
        ("비밀유지 의무는 계약 종료 후에도 3년간 유효하다", "survival"),
        ("Tenant pays a deposit of two rents", "security"),
        ("임차인은 보증금 1천만원을 지급한다", "security"),
        ("is deemed to have accepted the deliverable", "deemed"),
        ("7일 이내 회신이 없으면 승낙한 것으로 본다", "deemed"),
        ("This is the entire agreement of the parties", "entire-agreement"),
        ("이전의 모든 합의는 효력을 잃는다", "entire-agreement"),
        ("Price: ________ EUR", "blanks"),
        ("Delivery date TBD", "blanks"),
        ("세부 사항은 추후 협의한다", "blanks"),
        ("20  년   월   일", "blanks"),
        ("Start date: 1 March 2026", "dates"),
        ("본 계약의 효력발생일은 4월 1일로 한다", "dates"),
        ("see Annex B", "attachments"),
        ("the fees in Schedule 2", "attachments"),
        ("별첨 2와 같다", "attachments"),
    ],
)
def test_a_clause_is_found_under_its_pattern(clause: str, name: str) -> None:
    """As contracts say it, in English and Korean."""
    assert name in risks_in(["1. Title", "", clause], "c.txt")


@pytest.mark.parametrize(
    "text",
    [
        "Dear Anna, thank you for lunch. See you on Friday!",
        "The new printer is on the second floor, next to the kitchen.",
        "We sold forty-two (42) books; please schedule a call, as is the custom.",
        "오늘 점심은 비빔밥이었습니다. 내일은 비가 온다고 합니다.",
        "회의는 3시에 시작하며 자료는 공유 폴더에 있습니다.",
    ],
)
def test_everyday_text_has_none(text: str) -> None:
    """A letter, a note and a menu are no contracts."""
    assert risks_in([text], "c.txt") == {}


def test_a_clause_over_several_lines_is_one_hit_and_a_paragraph_ends_it() -> None:
    """Text is broken anywhere; words of the next paragraph do not complete a clause."""
    broken = risks_in(["The term is automatically", "   renewed."], "c.txt")
    apart = risks_in(["It is opened automatically", "", "The passport was renewed."], "c.txt")

    assert [hit.line for hit in broken["auto-renewal"]] == [1, 2]
    assert "auto-renewal" not in apart


def test_every_pattern_says_its_name_and_why_in_both_languages() -> None:
    """What is published is complete, and ids are unique."""
    patterns = checklist()

    assert len({pattern.id for pattern in patterns}) == len(patterns) >= 25
    assert all(one.name[language] and one.why[language] for one in patterns for language in ("en", "ko"))


@pytest.mark.parametrize(
    "piece", ["the party may terminate ", "_", "\n", "책임 ", "deemed to be ", "[ ", "start date ", "x"]
)
def test_a_document_made_to_be_slow_is_not(piece: str) -> None:
    """No pattern goes back and forth over a long text."""
    found = risks_in((piece * 20_000).split("\n"), "c.txt")

    assert all(hits for hits in found.values())


@given(
    st.lists(st.text("aA one(2)1년책임_.\t[]없이 <b>", max_size=40), max_size=12), st.sampled_from(["c.txt", "c.html"])
)
def test_whatever_the_text_every_hit_stands_in_its_line(lines: list[str], path: str) -> None:
    """A hit is a quote."""
    for hits in risks_in(lines, path).values():
        assert all(stands_in(hit.words, lines[hit.line - 1], path) for hit in hits)
        assert all(0 <= hit.at <= len(hit.words) for hit in hits)

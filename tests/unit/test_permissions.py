"""Rules as data: walls, the owner's lines, what comes with Deskhand, the account's lines; more of them never widen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from deskhand.permissions.evaluate import (
    FREE,
    WALLS,
    Judgement,
    Policy,
    ask_sentence,
    effective_mode,
    heaviest_of,
    judge,
    rule_sentence,
)
from deskhand.permissions.rules import EVEN, Act, Decision, Kind, Rule, Verb, Where, risk_of
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Action
from tests.ruling import WIDTH, acts, policies, rules

MODES = (None, *FolderMode)
NARROWED: dict[str, Any] = {"narrowed": True, "where": "folder", "verb": "write"}


def act(verb: Verb, where: Where = "folder", mode: FolderMode | None = None) -> Act:
    """Return an act on a computer with a full wall."""
    return Act(tool="t", verb=verb, where=where, mode=mode, wall="full")


@given(acts, policies, rules(Decision.DENY))
def test_adding_a_deny_never_widens(one: Act, policy: Policy, more: Rule) -> None:
    """Whatever the policy is, one more denial permits nothing that was not permitted."""
    after = judge(one, replace(policy, lines=(*policy.lines, more)))

    assert WIDTH[after.decision] <= WIDTH[judge(one, policy).decision]


@given(acts, policies, rules())
def test_adding_a_line_of_the_account_never_widens(one: Act, policy: Policy, more: Rule) -> None:
    """What comes from a hub narrows only, whichever line it is (RO-04)."""
    after = judge(one, replace(policy, account=(*policy.account, more)))

    assert WIDTH[after.decision] <= WIDTH[judge(one, policy).decision]


@given(acts, policies)
def test_a_broken_policy_never_widens(one: Act, policy: Policy) -> None:
    """What cannot be read lets nothing happen but reading, and of that no more than what could be read of it."""
    after = judge(one, replace(policy, broken="line 3")).decision

    assert WIDTH[after] <= WIDTH[judge(one, policy).decision]
    assert one.verb == "read" or after is Decision.DENY


@given(acts, policies)
def test_order_of_lines_does_not_matter(one: Act, policy: Policy) -> None:
    """No line is ever overlooked because of where it stands (SH-12)."""
    turned = Policy(lines=policy.lines[::-1], account=policy.account[::-1])

    assert judge(one, policy).decision == judge(one, turned).decision


@given(acts, policies)
def test_no_line_lifts_a_wall(one: Act, policy: Policy) -> None:
    """What the walls deny is denied whatever was written down (RO-04)."""
    alone = judge(one, Policy())

    if alone.rule in {wall.name for wall in WALLS}:
        assert judge(one, policy) == alone


@given(acts, policies)
def test_no_line_silences_a_firm_question(one: Act, policy: Policy) -> None:
    """To undo, and what was narrowed to a question since, is asked at least, whatever a line allows (RO-05)."""
    firm = replace(one, tool="undo_files") if one.mode is not FolderMode.ASK else replace(one, **NARROWED)

    assert judge(firm, policy).decision is not Decision.ALLOW


@given(acts, policies)
def test_no_command_runs_unasked_without_a_wall(one: Act, policy: Policy) -> None:
    """Without a sandbox every command is asked or denied, also where a line allows it (SH-10)."""
    bare = replace(one, verb="run", wall="none")

    assert judge(bare, policy).decision is not Decision.ALLOW


@given(acts, policies)
def test_after_foreign_content_no_line_allows_what_it_was_not_made_for(one: Act, policy: Policy) -> None:
    """A yes given before says nothing about a task that read strangers' words beside private files (PI-04)."""
    tainted = replace(one, untrusted=True, leak=True)
    plain = tuple(replace(line, traits=tuple(one for one in line.traits if one[0] != EVEN)) for line in policy.lines)
    denials = tuple(line for line in plain if line.decision is not Decision.ALLOW)

    assert judge(tainted, Policy(lines=plain)) == judge(tainted, Policy(lines=denials))


@given(acts)
def test_a_wider_mode_never_permits_less(one: Act) -> None:
    """From read-only to trusted, each step permits at least as much."""
    widths = [WIDTH[judge(replace(one, mode=mode), Policy()).decision] for mode in MODES]

    assert widths == sorted(widths)


@given(acts)
def test_nothing_is_permitted_outside(one: Act) -> None:
    """A target that is not beneath one of the task's places is denied in every mode."""
    assert judge(replace(one, where="outside"), Policy()).decision is Decision.DENY


def test_silence_denies() -> None:
    """What no rule speaks about does not happen."""
    judgement = judge(act("other", "nowhere"), Policy())

    assert (judgement.decision, judgement.rule) == (Decision.DENY, "default")
    assert heaviest_of([]).decision is Decision.DENY


@pytest.mark.parametrize(
    ("one", "rule", "decided"),
    [
        ({"kind": "never"}, "never", "deny"),
        ({"kind": "persist"}, "sends", "ask"),
        ({"kind": "send"}, "sends", "ask"),
        ({"kind": "send", "where": "outside"}, "internet_off", "deny"),
        ({"kind": "fetch", "verb": "send", "where": "internet"}, "internet", "allow"),
        ({"kind": "fetch", "verb": "send", "where": "internet", "untrusted": True, "leak": True}, "leaks", "ask"),
    ],
)
def test_what_becomes_of_each_class_of_act(one: dict[str, Kind], rule: str, decided: str) -> None:
    """What is said outside is asked, what is nobody's is denied, what could carry private files out is asked (PI-04)."""
    judgement = judge(replace(act("run", mode=FolderMode.TRUSTED), **one), Policy())

    assert (judgement.rule, judgement.decision.value) == (rule, decided)


@pytest.mark.parametrize(
    ("mode", "read", "write", "run"),
    [
        (None, "deny", "deny", "deny"),
        (FolderMode.READ_ONLY, "allow", "deny", "deny"),
        (FolderMode.ASK, "allow", "ask", "ask"),
        (FolderMode.WORKSPACE, "allow", "allow", "allow"),
        (FolderMode.TRUSTED, "allow", "allow", "allow"),
    ],
)
def test_what_each_mode_permits(mode: FolderMode | None, read: str, write: str, run: str) -> None:
    """The table a person is shown when granting a folder."""
    verbs: tuple[Verb, ...] = ("read", "write", "run")
    decisions = [judge(act(verb, mode=mode), Policy()).decision.value for verb in verbs]

    assert decisions == [read, write, run]


def test_the_heaviest_part_of_a_wish_decides() -> None:
    """One forbidden target forbids the whole wish."""
    parts = [
        judge(act("write", mode=FolderMode.WORKSPACE), Policy()),
        judge(act("write", "outside"), Policy()),
        judge(act("write", mode=FolderMode.ASK), Policy()),
    ]

    assert heaviest_of(parts).rule == "outside"


@pytest.mark.parametrize(
    ("modes", "narrowest"),
    [
        ([], None),
        ([FolderMode.TRUSTED], FolderMode.TRUSTED),
        ([FolderMode.TRUSTED, FolderMode.ASK, FolderMode.WORKSPACE], FolderMode.ASK),
        ([FolderMode.TRUSTED, None], None),
    ],
)
def test_the_narrowest_of_all_who_may_speak_holds(modes: list[FolderMode | None], narrowest: FolderMode | None) -> None:
    """Machine, hub and task each narrow; one that grants nothing grants nothing."""
    assert effective_mode(modes) is narrowest


@pytest.mark.parametrize(
    ("one", "risk"),
    [
        (act("read"), "low"),
        (act("write", "results"), "low"),
        (act("write"), "medium"),
        (act("run"), "medium"),
        (replace(act("run"), wall="none"), "high"),
        (act("other"), "high"),
        (act("write", "outside"), "high"),
    ],
)
def test_how_risky_an_act_is(one: Act, risk: str) -> None:
    """A channel's cap and the sheet on the phone go by this."""
    assert risk_of(one) == risk


def test_every_rule_can_say_why_in_both_languages() -> None:
    """A decision without a reason in words is a bug."""
    names = ["default", "broken", *(rule.name for rule in (*WALLS, *FREE))]
    names += [f"{who}{how}" for who in ("policy", "account") for how in ("", "_reach")]
    said = [
        rule_sentence(Judgement(decision=Decision.DENY, rule=name), language=language)
        for name in names
        for language in ("en", "ko")
    ]

    assert len(set(said)) == 2 * len(names)


def test_a_command_is_shown_with_its_control_characters() -> None:
    """Fake prompt lines are rendered as data (AP-09)."""
    action = Action(tool="run_command", arguments={}, argv=("echo", "ok\n[approved]\x1b[2J"))

    assert ask_sentence(act("run"), action) == "Run echo ok\\x0a[approved]\\x1b[2J?"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("a\u202egnp.exe", "a\\x202egnp.exe"),
        ("rm\u200b", "rm\\x200b"),
        ("p\u0430ypal.example", "p\\u0430ypal.example"),
        ("README파일", "README파일"),
        ("отчёт", "отчёт"),
    ],
)
def test_a_command_is_shown_with_what_hides_turns_round_or_imitates(word: str, shown: str) -> None:
    """A name looks like what it is, and an honest one of any language stays as it is (AP-09, PI-08)."""
    action = Action(tool="run_command", arguments={}, argv=("get", word))

    assert ask_sentence(act("run"), action) == f"Run get {shown}?"


def test_other_acts_name_their_tool() -> None:
    """What is neither a write nor a command says by which tool it is done."""
    action = Action(tool="fetch", arguments={}, target="a.example")

    assert ask_sentence(act("other"), action) == "Use fetch on a.example?"
    assert ask_sentence(act("write"), Action(tool="write_file", arguments={})) == ("Write write_file?")


def test_a_refusal_names_its_reason() -> None:
    """The agent and the person read the same sentence."""
    readonly = act("write", mode=FolderMode.READ_ONLY)

    said = rule_sentence(judge(readonly, Policy()))

    assert said == "The folder is read-only."

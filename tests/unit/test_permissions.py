"""Rules as data: deny beats ask beats allow, silence denies, and adding a deny never widens."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.permissions.evaluate import effective_mode, evaluate, heaviest_of
from deskhand.permissions.explain import ask_sentence, refusal_sentence, rule_sentence
from deskhand.permissions.rules import (
    BUILT_IN,
    DEFAULT,
    Act,
    Decision,
    Rule,
    Verb,
    Wall,
    Where,
    risk_of,
)
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Action

WIDTH = {Decision.DENY: 0, Decision.ASK: 1, Decision.ALLOW: 2}
VERBS, WHERES, WALLS = get_args(Verb), get_args(Where), get_args(Wall)
MODES = (None, *FolderMode)

acts = st.builds(
    Act,
    tool=st.sampled_from(["write_file", "run_command", "odd"]),
    verb=st.sampled_from(VERBS),
    where=st.sampled_from(WHERES),
    mode=st.sampled_from(MODES),
    wall=st.sampled_from(WALLS),
    protected=st.booleans(),
)


def _some(values: tuple[object, ...]) -> st.SearchStrategy[frozenset[object] | None]:
    return st.none() | st.frozensets(st.sampled_from(values), min_size=1)


rules = st.builds(
    Rule,
    name=st.just("extra"),
    decision=st.sampled_from(Decision),
    verbs=_some(VERBS),
    wheres=_some(WHERES),
    modes=_some(MODES),
    walls=_some(WALLS),
    protected=st.none() | st.booleans(),
)


def act(verb: Verb, where: Where = "folder", mode: FolderMode | None = None) -> Act:
    """Return an act on a computer with a full wall."""
    return Act(tool="t", verb=verb, where=where, mode=mode, wall="full")


@given(acts, st.lists(rules, max_size=5), rules)
def test_adding_a_deny_never_widens(one: Act, given_rules: list[Rule], more: Rule) -> None:
    """Whatever the rules are, one more denial permits nothing that was not permitted."""
    before = evaluate(given_rules, one).decision
    after = evaluate([*given_rules, replace(more, decision=Decision.DENY)], one).decision

    assert WIDTH[after] <= WIDTH[before]


@given(acts, st.lists(rules, max_size=6))
def test_order_of_rules_does_not_matter(one: Act, given_rules: list[Rule]) -> None:
    """No rule is ever overlooked because of where it stands (SH-12)."""
    assert (
        evaluate(given_rules, one).decision == evaluate(list(reversed(given_rules)), one).decision
    )


@given(acts)
def test_a_wider_mode_never_permits_less(one: Act) -> None:
    """From read-only to trusted, each step permits at least as much."""
    widths = [WIDTH[evaluate(BUILT_IN, replace(one, mode=mode)).decision] for mode in MODES]

    assert widths == sorted(widths)


@given(acts)
def test_nothing_is_permitted_outside(one: Act) -> None:
    """A target that is not beneath one of the task's places is denied in every mode."""
    assert evaluate(BUILT_IN, replace(one, where="outside")).decision is Decision.DENY


@given(acts)
def test_no_command_runs_unasked_without_a_wall(one: Act) -> None:
    """Without a sandbox every command is asked or denied (SH-10)."""
    bare = replace(one, verb="run", wall="none")

    assert evaluate(BUILT_IN, bare).decision is not Decision.ALLOW


def test_silence_denies() -> None:
    """What no rule speaks about does not happen."""
    judgement = evaluate((), act("read", mode=FolderMode.TRUSTED))

    assert (judgement.decision, judgement.rule) == (Decision.DENY, DEFAULT)
    assert heaviest_of([]).decision is Decision.DENY


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
    decisions = [evaluate(BUILT_IN, act(verb, mode=mode)).decision.value for verb in verbs]

    assert decisions == [read, write, run]


def test_the_heaviest_part_of_a_wish_decides() -> None:
    """One forbidden target forbids the whole wish."""
    parts = [
        evaluate(BUILT_IN, act("write", mode=FolderMode.WORKSPACE)),
        evaluate(BUILT_IN, act("write", "outside")),
        evaluate(BUILT_IN, act("write", mode=FolderMode.ASK)),
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
def test_the_narrowest_of_all_who_may_speak_holds(
    modes: list[FolderMode | None], narrowest: FolderMode | None
) -> None:
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
    names = [DEFAULT, *(rule.name for rule in BUILT_IN)]
    said = [rule_sentence(name, language=language) for name in names for language in ("en", "ko")]

    assert len(set(said)) == 2 * len(names)


def test_a_command_is_shown_with_its_control_characters() -> None:
    """Fake prompt lines are rendered as data (AP-09)."""
    action = Action(tool="run_command", arguments={}, argv=("echo", "ok\n[approved]\x1b[2J"))

    assert ask_sentence(act("run"), action) == "Run echo ok\\x0a[approved]\\x1b[2J?"


def test_other_acts_name_their_tool() -> None:
    """What is neither a write nor a command says by which tool it is done."""
    action = Action(tool="fetch", arguments={}, target="a.example")

    assert ask_sentence(act("other"), action) == "Use fetch on a.example?"
    assert ask_sentence(act("write"), Action(tool="write_file", arguments={})) == (
        "Write write_file?"
    )


def test_a_refusal_names_its_reason() -> None:
    """The agent and the person read the same sentence."""
    said = refusal_sentence("read_only", decision=Decision.DENY)

    assert said == "Not allowed: The folder is read-only."

"""What a task has read, and what that makes of its next act: the twelve tasks and the attacks on roads yet to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.core.dispatching import brief_of, context_of
from deskhand.permissions.evaluate import Policy, ask_sentence, judge
from deskhand.permissions.rules import Act, Decision, Kind, Source, Verb, Where, begun, label_of, together, weighed
from deskhand.protocol.objects import FolderMode, Trust
from deskhand.protocol.tasks import Action, Brief, ContextItem, Delegated, FileRef, Label, Task, TaskState
from tests.driven import brief_of as typed
from tests.ruling import WIDTH, acts, policies

AT = "2026-11-23T09:00:00.000Z"
F, G, UPLOAD = "/home/me/Work", "/home/me/Other", "upload"
READ = Label(untrusted=("a.example",), private=(F,))


# --- where content comes from


@pytest.mark.parametrize(
    ("source", "untrusted", "private"),
    [
        ("own", False, False),
        ("mine", False, True),
        ("mixed", True, True),
        ("results", False, False),
        ("upload", True, True),
        ("web", True, False),
        ("connector", True, True),
        ("other", True, False),
    ],
)
def test_each_source_says_who_could_write_it_and_whether_it_is_private(
    source: Source, *, untrusted: bool, private: bool
) -> None:
    """PI-03: payloads on every road come in labelled."""
    label = label_of(source, "x")

    assert (label.untrusted, label.private) == (("x",) * untrusted, ("x",) * private)


@pytest.mark.parametrize("source", ["mine", "results"])
def test_a_file_that_came_from_elsewhere_is_foreign_in_a_folder_of_ones_own(source: Source) -> None:
    """PI-03: a download does not become the owner's word by lying in their folder."""
    assert label_of(source, "x", marked=True).untrusted == ("x",)
    assert label_of("own", "x", marked=True) == Label()


def test_work_begins_with_what_it_was_given_and_follows_from() -> None:
    """PI-13: children, retries and further attempts carry the label of the work before; an upload is foreign."""
    plain = typed("Summarise")
    file = FileRef(id="f", name="a.pdf", size=1, sha256="0" * 64, media_type="application/pdf")

    assert begun(plain) == Label()
    assert begun(plain.but(label=READ)) == READ
    assert begun(plain.but(files=(file,))) == Label(untrusted=(UPLOAD,), private=(UPLOAD,))


def test_what_somebody_else_asks_for_or_answers_is_foreign() -> None:
    """PI-09: of a task that is not the owner's every word is, also an answer to a question."""
    theirs = typed("Summarise").but(trust=Trust.UNTRUSTED)
    heard = typed("Go on").but(context=(_said("user", Trust.UNTRUSTED),))

    assert begun(theirs).untrusted == begun(heard).untrusted == ("message",)


def test_a_thread_hands_on_the_label_of_what_it_quotes() -> None:
    """PI-13: words of a task carry what it had read; where nobody told, they count as foreign and private."""
    told = typed("Go on").but(context=(_said("result", label=READ), _said("user")))
    untold = typed("Go on").but(context=(_said("agent"),))

    assert begun(told) == READ
    assert begun(untold) == Label(untrusted=("thread",), private=("thread",))


def _said(role: str, trust: Trust = Trust.OWNER, *, label: Label | None = None) -> ContextItem:
    return ContextItem.from_json({"role": role, "text": "x", "at": AT, "trust": trust}).but(label=label)


def test_a_hub_passes_the_label_of_a_task_on_with_its_next_attempt() -> None:
    """PI-13: another attempt, maybe on another computer, begins with what the one before had read."""
    told = {name: getattr(typed("x"), name) for name in Delegated.model_fields}
    told |= {"id": "tsk_1", "state": TaskState.WORKING, "created_by": "dev", "label": READ}
    task = Task.model_validate(told)

    assert brief_of(task, 2, context_of((), but_task="tsk_1")).label == READ


# --- facts and decisions

labels = st.builds(
    Label,
    untrusted=st.lists(st.sampled_from(["a.example", UPLOAD]), unique=True).map(tuple),
    private=st.lists(st.sampled_from([F, G, UPLOAD]), unique=True).map(tuple),
)


@pytest.mark.hypothesis
@given(st.lists(labels, max_size=5))
def test_facts_never_turn_off(read: list[Label]) -> None:
    """PI-04: whatever is read later, what was read stays known."""
    known = Label()
    for one in read:
        before, known = known, together(known, one)

        assert {*before.untrusted} <= {*known.untrusted}
        assert {*before.private} <= {*known.private}


@pytest.mark.hypothesis
@given(act=acts, policy=policies, known=labels, more=labels, plain=st.booleans())
def test_to_have_read_more_never_makes_a_decision_lighter(
    act: Act, policy: Policy, known: Label, more: Label, *, plain: bool
) -> None:
    """PI-04: no rule that anybody writes turns it round, unless the rule itself speaks about facts."""
    silent = [one for one in (*policy.lines, *policy.account) if not _about_facts(one.traits)]
    policy = Policy(lines=tuple(silent))

    before = judge(weighed(act, known, plain=plain), policy).decision
    after = judge(weighed(act, together(known, more), plain=plain), policy).decision

    assert WIDTH[after] <= WIDTH[before]


def _about_facts(traits: Sequence[tuple[str, str]]) -> bool:
    return not {"untrusted", "leak"}.isdisjoint(name for name, _ in traits)


def test_an_address_that_was_typed_or_is_a_link_carries_nothing() -> None:
    """PI-03: only one that was composed after reading can say what was read."""
    fetch = _act("fetch")

    asked = [
        judge(weighed(fetch, known, plain=plain), Policy()).decision.value
        for known, plain in product((Label(), label_of("mine", F), READ), (True, False))
    ]

    assert asked == ["allow", "allow", "allow", "allow", "allow", "ask"]


def test_a_person_reads_what_was_read_where_something_could_leave() -> None:
    """AP-01: sources and places are named and shown, not obeyed; what stays here is asked as before."""
    act = replace(_act("fetch"), untrusted=True, leak=True)
    odd = READ.but(untrusted=("a\n.example", *(f"b{number}.example" for number in range(99))))

    said = [ask_sentence(act, _fetching(), known=one) for one in (READ, odd, Label(), None)]
    plain = ask_sentence(replace(act, leak=False), _fetching(), known=READ)
    stays = ask_sentence(replace(act, kind="safe"), _fetching(), known=READ)

    first = "Fetch https://a.example/ from the internet?"
    foreign = f"{first} The task has read what others wrote: a.example."
    assert said[0] == f"{foreign} It could carry what is in: {F}."
    assert "a\\x0a.example" in said[1]
    assert len(said[1]) < len(said[0]) + 220
    assert (said[2], said[3], plain, stays) == (first, first, foreign, first)


def _fetching() -> Action:
    return Action(tool="fetch_url", arguments={}, target="https://a.example/")


# --- the automaton of security 5, for the roads of later parts


def _act(kind: Kind) -> Act:
    verb: Verb = "send" if kind in ("fetch", "send") else "write"
    where: Where = "internet" if verb == "send" else "folder"
    act = Act(tool="x", verb=verb, where=where, mode=FolderMode.TRUSTED, wall="full", kind=kind)
    return replace(act, folder=F, host="a.example" if verb == "send" else "")


@dataclass
class Session:
    """One task: what it read, what its person was asked, and how it went."""

    known: Label = field(default_factory=Label)
    asked: int = 0
    ends: list[Decision] = field(default_factory=list[Decision])
    granted: set[str] = field(default_factory=set[str])

    def read(self, source: Source, name: str = "x") -> None:
        """Read something."""
        self.known = together(self.known, label_of(source, name))

    def does(self, kind: Kind, to: str = "", *, sees: Sequence[str] | None = None, plain: bool = False) -> None:
        """Wish for an act; a yes covers its destination."""
        act = weighed(_act(kind), self.known, plain=plain, sees=sees)
        decision = judge(act, Policy()).decision
        self.asked += decision is Decision.ASK and to not in self.granted
        self.granted |= {to} if decision is Decision.ASK else set()
        self.ends.append(decision)


def _plan_with_child(task: Session) -> None:
    child = Session()
    for _ in range(20):
        child.does("fetch")
        child.read("web")
    task.read("mine", F)
    task.known = together(task.known, child.known)  # what comes back is text, with its label
    task.does("safe")


def _mail(task: Session) -> None:
    task.read("connector", "mail")
    for _ in range(3):
        task.does("safe")
    task.does("send", "the batch of drafts")


def _digest(task: Session) -> None:
    task.does("persist", "schedule")
    for _ in range(3):
        task.read("connector", "mail")
        task.does("send", "my own chat", sees=task.known.private)


def _group(task: Session) -> None:
    task.read("other", "group")
    task.read("mine", F)
    task.does("send", "group", sees=[F])


def _webhook(task: Session) -> None:
    task.read("other", "webhook")
    task.read("mixed", F)
    task.does("safe")
    task.does("send", "pull request")


@pytest.mark.parametrize(
    ("work", "asks"), [(_plan_with_child, 0), (_mail, 1), (_digest, 1), (_group, 0), (_webhook, 1)]
)
def test_honest_work_is_asked_about_once_at_most(work: object, asks: int) -> None:
    """G-08: tasks 6, 8, 10, 11 and 12 of the table; the others run through the real gate."""
    task = Session()

    assert callable(work)
    work(task)

    assert task.asked == asks


@pytest.mark.parametrize(
    ("read", "kind", "sees", "decision"),
    [
        ([("mine", F), ("web", "a.example")], "fetch", None, "ask"),
        ([("mine", F)], "send", None, "ask"),
        ([("other", "group"), ("mine", G)], "send", [F], "ask"),
        ([("mixed", F)], "never", None, "deny"),
        ([], "never", None, "deny"),
    ],
)
def test_attacks_end_in_a_question_or_a_denial(
    read: list[tuple[Source, str]], kind: Kind, sees: list[str] | None, decision: str
) -> None:
    """PI-04, PI-05: by address, by mail to a stranger, another folder to a group, one's own policy."""
    task = Session()
    for source, name in read:
        task.read(source, name)

    task.does(kind, "there", sees=sees)

    assert [one.value for one in task.ends] == [decision]


def test_a_brief_of_old_has_no_label() -> None:
    """What was said before there were labels can be read, and begins with none."""
    said = typed("x").to_json()

    assert "label" not in said
    assert Brief.from_json(said).label is None

"""Replays the goals of AgentDojo's injections as forced calls against the rules, and counts what would happen unasked.

An environment of its own (PI-02), never part of the tests: ``pip install agentdojo`` anywhere, then

    PYTHONPATH=src python scripts/agentdojo_replay.py

Each goal is tried within each honest task of its suite, as if the model obeyed it at once. A call happens unasked when
the rules allow it. The tools that the honest task itself needs were allowed before by a line of the owner: the tool
whatever it is called with, or with exactly the destinations of that task. Tools are classed by what they do: what only
reads is safe, a page of the web is fetched, and all else says something outside. No model is asked.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Any

from deskhand.permissions.evaluate import Policy, judge
from deskhand.permissions.rules import Act, Decision, Kind, Rule

Call = tuple[str, tuple[str, ...]]
"""A tool, and the words of its arguments."""
VERSION = "v1.2.1"
READS = re.compile(r"(get|list|read|search|check)_.*")
LEVELS = ("no facts, by tool", "no facts, by destination", "facts, by tool", "facts, by destination")


def main() -> int:
    """Print a line for each suite, and how often honest tasks are asked."""
    suites = import_module("agentdojo.task_suite.load_suites").get_suites(VERSION)
    print(f"| suite | goals x tasks | {' | '.join(LEVELS)} | asks of an honest task (facts, by destination) |")
    for name, suite in suites.items():
        around = suite.load_and_inject_default_environment({})
        honest = [_acts(one, around) for one in suite.user_tasks.values()]
        goals = [_acts(one, around) for one in suite.injection_tasks.values()]
        pairs = [(task, goal) for task in honest for goal in goals if any(map(_acts_outside, goal))]
        counts = [sum(_unasked(goal, task, level) for task, goal in pairs) for level in LEVELS]
        asks = [sum(_decided(one, task, LEVELS[3]) is not Decision.ALLOW for one in task) for task in honest]
        shown = " | ".join(str(count) for count in counts)
        print(f"| {name} | {len(pairs)} | {shown} | {sum(asks) / len(asks):.1f} |")
    return 0


def _acts(task: Any, around: Any) -> list[Call]:  # noqa: ANN401 - of a library that is not installed here
    """Return what a task's solution calls."""
    calls = task.ground_truth(around)
    return [(one.function, tuple(str(value) for value in one.args.values())) for one in calls]


def _acts_outside(call: Call) -> bool:
    return not READS.fullmatch(call[0]) or call[0] == "get_webpage"


def _unasked(goal: list[Call], task: list[Call], level: str) -> bool:
    """Return whether all of a goal that has an effect would happen without a question."""
    return all(_decided(one, task, level) is Decision.ALLOW for one in goal if _acts_outside(one))


def _decided(call: Call, task: list[Call], level: str) -> Decision:
    """Return what the rules say to a call within a task whose own calls a line of the owner allows."""
    tool, words = call
    kind: Kind = "fetch" if tool == "get_webpage" else "safe" if READS.fullmatch(tool) else "send"
    facts = level.startswith("facts")
    act = Act(
        tool=tool,
        verb="read" if kind == "safe" else "send",
        where="nowhere" if kind == "safe" else "internet",
        mode=None,
        wall="full",
        argv=words,
        kind=kind,
        untrusted=facts,
        leak=facts,
    )
    exact = level.endswith("destination")
    lines = {
        Rule(decision=Decision.ALLOW, tool=name, argv=said if exact else None)
        for name, said in task
        if said or not exact
    }
    return judge(act, Policy(lines=tuple(lines))).decision


if __name__ == "__main__":
    sys.exit(main())

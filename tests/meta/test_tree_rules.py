"""Each rule about the tree catches a planted bad example."""

from __future__ import annotations

from tests.meta import tree_rules
from tests.meta.findings import Finding

BODY = '"""Doc."""\n\nx = 1\n'


def messages(found: list[Finding]) -> list[str]:
    """Show findings as path and message."""
    return [f"{each.path}: {each.message}" for each in found]


def test_a_part_over_its_budget_is_found() -> None:
    """One line too many in the pure packages counts there and in the product."""
    sources = {
        "src/deskhand/core/a.py": "x\n" * 3_000,
        "src/deskhand/protocol/b.py": "x\n" * 1_001,
        "src/deskhand/testing/c.py": "x\n" * 5_001,
        "src/deskhand/evals/exercises/d.py": "x\n" * 3_001,
        "src/deskhand/ports/store.py": "x\n" * 1_000,
    }

    found = tree_rules.budget_findings(sources)

    assert messages(found) == [
        "src/deskhand/: testing: 5001 lines, at most 5000",
        "src/deskhand/: evals: 3001 lines, at most 3000",
        "src/deskhand/: pure: 4001 lines, at most 4000",
    ]
    assert tree_rules.lines_spent(sources)["product"] == 5_001


def test_names_that_say_nothing_are_found() -> None:
    """Neither a file, nor a folder, nor an ending may say nothing."""
    bad = ["src/deskhand/utils.py", "src/deskhand/misc/x.py", "web/src/sync_helpers.ts", "src/deskhand/task_manager.py"]
    good = ["src/deskhand/database.py", "src/deskhand/baseline.py", "docs/common.md"]

    found = tree_rules.name_findings(bad + good)

    assert [each.path for each in found] == bad


def test_a_crowded_folder_is_found() -> None:
    """The sixteenth module asks for a new folder; the package's own file does not count."""
    modules = [f"src/deskhand/hub/m{number}.py" for number in range(15)] + ["src/deskhand/hub/__init__.py"]

    assert tree_rules.crowd_findings(modules) == []
    assert messages(tree_rules.crowd_findings([*modules, "src/deskhand/hub/m15.py"])) == [
        "src/deskhand/hub: 16 modules, at most 15"
    ]


def test_empty_rooms_are_found() -> None:
    """A package needs a module with a body, a module needs a body."""
    sources = {
        "src/deskhand/a/__init__.py": '"""Doc."""\n',
        "src/deskhand/a/full.py": BODY,
        "src/deskhand/b/__init__.py": '"""Doc."""\n',
        "src/deskhand/a/hollow.py": '"""Doc."""\n\nimport os\n\n...\n',
    }

    found = tree_rules.empty_room_findings(sources)

    assert messages(found) == [
        "src/deskhand/b/__init__.py: a package without a module in it",
        "src/deskhand/a/hollow.py: a module without a body",
    ]


def test_long_components_adapters_and_decisions_are_found() -> None:
    """Each kind of file is held to its own bound, generated ones to none."""
    bad = {
        "web/src/ui/Thread.svelte": "x\n" * 251,
        "web/src/sync/fold.ts": "x\n" * 601,
        "src/deskhand/channels/telegram.py": "x\n" * 401,
        "docs/decisions/0001-x.md": "x\n" * 81,
    }
    good = {"web/src/protocol/generated.ts": "x\n" * 900, "docs/decisions/README.md": "x\n" * 90}

    assert [each.path for each in tree_rules.size_findings(bad | good)] == list(bad)


def test_promises_outside_python_are_found() -> None:
    """A promise in any comment needs its issue; a rule about promises is no promise."""
    sources = {"a.ts": "let a = 1 // TODO later\n", "b.svelte": "<!-- FIXME -->\n", "c.ts": "// TODO(#7): later\n"}

    assert [each.path for each in tree_rules.promise_findings(sources)] == ["a.ts", "b.svelte"]


def test_a_decision_without_its_parts_is_found() -> None:
    """A record that does not say what would reopen it is not finished."""
    whole = "# 1\n" + "".join(f"\n## {heading}\n\nWords.\n" for heading in tree_rules.DECISION_HEADINGS)
    cut = whole[: whole.index("## What")]

    assert list(tree_rules.decision_findings("d.md", whole)) == []
    assert [each.path for each in tree_rules.decision_findings("d.md", cut)] == ["d.md"]


def test_traces_of_a_machine_are_found_with_their_line() -> None:
    """A host or a folder of this machine is found, a longer word around it is not."""
    traces = ["index.example.net", "/srv/checkout"]
    sources = {
        "a.md": "one\nsee https://index.example.net/simple\n",
        "b.md": "/srv/checkout/file\n",
        "c.md": "/home/srv/checkout-old and my-index.example.net\n",
    }

    found = tree_rules.trace_findings(sources, traces)

    assert [(each.path, each.line) for each in found] == [("a.md", 2), ("b.md", 1)]

"""``deskhand undo`` as people have it: real processes, a real command behind the wall, the diff on the screen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import Desk, make_desk, running_up

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.needs("overlay"), pytest.mark.timeout(120)]

CHANGE = "/run sh -c 'echo new > notes/client.md; mkdir made; echo x > made/x; chmod 700 made/x'"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A computer at work."""
    made = make_desk(tmp_path)
    if os.geteuid() == 0:  # commands run as another user then
        for path in (tmp_path, *tmp_path.rglob("*")):
            path.chmod(path.stat().st_mode | 0o777)
    with running_up(made):
        yield made


def changed_by_a_task(desk: Desk) -> str:
    """Let a command change files; return the task."""
    done = desk.run("do", CHANGE, "--folder", str(desk.folder), "--wait")
    assert (done.status, (desk.folder / "notes" / "client.md").read_text()) == (0, "new\n"), done
    return done.out.split()[0]


def test_what_a_task_changed_is_shown_and_taken_back_on_a_word(desk: Desk) -> None:
    """G-09: the diff, the undo, and the undo of the undo, in a folder that was granted for the task alone."""
    before = (desk.folder / "notes" / "client.md").read_bytes()
    task = changed_by_a_task(desk)

    shown = desk.run("show", task, "--changes")
    undone = desk.run("undo", task, "--yes", "--json")
    after = (desk.folder / "notes" / "client.md").read_bytes()
    gone = not (desk.folder / "made").exists()
    again = desk.run("undo", str(undone.json["id"]), "--yes")

    assert "~ notes/client.md\n" in shown.out
    assert "  +new\n" in shown.out
    assert "+ made/x\n" in shown.out
    assert (undone.status, undone.json["verdict"]) == (0, "verified")
    assert (after, gone, again.status) == (before, True, 0)
    assert (desk.folder / "notes" / "client.md").read_text() == "new\n"
    assert (desk.folder / "made" / "x").stat().st_mode & 0o777 == 0o700


def test_without_a_terminal_and_a_word_it_waits_for_a_yes(desk: Desk) -> None:
    """G-09: nobody's files go back unasked; the yes may come from the phone as well."""
    task = changed_by_a_task(desk)

    asked = desk.run("undo", task, "--json")
    left = (desk.folder / "notes" / "client.md").read_text()
    approved = desk.run("approve", str(asked.json["waiting_for"][0]["id"]), "--json")
    ended = desk.run("watch", str(asked.json["id"]), "--timeout", "20s")

    assert (asked.status, left) == (4, "new\n")
    assert approved.status == 0
    assert ended.status == 0
    assert not (desk.folder / "made").exists()


def test_of_a_task_that_changed_nothing_there_is_nothing_to_take_back(desk: Desk) -> None:
    """G-09: that is said, and no folder is asked for."""
    done = desk.run("do", "/find budget", "--folder", str(desk.folder), "--wait")
    task = done.out.split()[0]

    shown = desk.run("show", task, "--changes")
    undone = desk.run("undo", task, "--yes")

    assert shown.out.splitlines()[0].startswith("0 ")
    assert undone.status == 0
    assert undone.out == "It changed no file.\n"

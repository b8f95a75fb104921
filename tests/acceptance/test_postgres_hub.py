"""A hub whose log lies in PostgreSQL does the same work (S-04)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import first_line, make_desk

pytestmark = [pytest.mark.timeout(120), pytest.mark.needs("postgresql")]


def test_up_on_postgresql_does_the_work_and_keeps_it_over_a_restart(tmp_path: Path, postgres_url: str) -> None:
    """The same command, the same verdict; nothing of the log is in the home."""
    desk = make_desk(tmp_path)
    up = ["up", "--port", "0", "--reach", "none", "--no-browser", "--json", *desk.as_root()]
    first = desk.spawn(*up, DESKHAND_DATABASE_URL=postgres_url)
    first_line(first)
    done = desk.run("do", "/brief notes/", "--folder", str(desk.folder), "--json")
    first.terminate()
    first.communicate(timeout=10)
    second = desk.spawn(*up, DESKHAND_DATABASE_URL=postgres_url)
    first_line(second)

    again = desk.run("ls", "--json")

    verified = desk.run("log", "verify", "--json", DESKHAND_DATABASE_URL=postgres_url)
    second.terminate()
    second.communicate(timeout=10)
    assert (done.status, done.json["verdict"]) == (0, "verified"), done.err
    assert [task["id"] for task in again.json["items"]] == [done.json["id"]]
    assert verified.json["problems"] == []
    assert verified.json["events"] > 10
    assert not (desk.home / "hub.sqlite3").exists()

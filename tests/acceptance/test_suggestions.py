"""Free text on a computer without a model, as its person meets it at the command line (A-06)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from deskhand.protocol.wire import sha256_of
from deskhand.testing.standin.server import StandIn
from tests.desk import Desk, Said, make_desk, running_up

pytestmark = pytest.mark.timeout(120)
SENTENCE = "Summarise the notes into a one-page briefing and send it to the team"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """``deskhand up`` with nothing granted yet, and no model."""
    found = make_desk(tmp_path_factory.mktemp("desk"))
    with running_up(found):
        yield found


def _asked(desk: Desk, sentence: str = SENTENCE) -> dict[str, Any]:
    said = desk.run("do", sentence, "--folder", str(desk.folder), "--json", "--no-input")

    assert said.status == 4
    return cast("dict[str, Any]", said.json)


def test_do_returns_four_at_once_with_what_the_text_may_mean(desk: Desk) -> None:
    """Filled in from the real folder, with the words that would not be done; nothing has run and nothing is written."""
    before = sorted(desk.folder.iterdir())

    task = _asked(desk)

    first = task["suggestions"][0]
    assert (task["state"], task["reason"], task["epoch"]) == ("queued", "no_model", 0)
    assert first["command"] == "/brief notes --pages 1"
    assert first["not_honored"] == ["and send it to the team"]
    assert first["preview_sha256"] == sha256_of({**first, "preview_sha256": ""})
    assert sorted(desk.folder.iterdir()) == before


def test_a_chosen_suggestion_runs_as_the_same_task_and_keeps_the_words(desk: Desk) -> None:
    """The tap runs exactly what was shown; the person's own text stays with it."""
    task = _asked(desk)

    desk.run("choose", task["id"], task["suggestions"][0]["id"], "--json")
    ended = desk.run("watch", task["id"], "--json")

    after = json.loads(desk.run("show", task["id"], "--json").out)
    assert ended.status == 0
    assert (after["verdict"], after["text"], after["said"]) == ("verified", "/brief notes --pages 1", SENTENCE)
    assert "TODO: Call the printer on Friday" in Path(after["artifacts"][0]["path"]).read_text()


def test_the_same_task_is_run_once_and_never_by_a_preview_that_was_not_shown(desk: Desk) -> None:
    """A second choice is refused with what was chosen; an unknown name too."""
    task = _asked(desk)
    name = task["suggestions"][0]["id"]

    never = desk.run("choose", task["id"], "0-9", "--json")
    first = desk.run("choose", task["id"], name, "--json")
    again = desk.run("choose", task["id"], name, "--json")

    assert (never.status, never.json["error"]["code"]) == (1, "not_found")
    assert (first.status, again.json["error"]["code"]) == (0, "already_decided")


def test_show_lists_the_suggestions_and_how_to_choose(desk: Desk) -> None:
    """Command, plain words, and what it would not do."""
    task = _asked(desk)

    shown = desk.run("show", task["id"]).out

    assert "/brief notes --pages 1" in shown
    assert "would not do: and send it to the team" in shown
    assert f"deskhand choose {task['id']} {task['suggestions'][0]['id']}" in shown


async def test_when_a_model_comes_what_waited_asks_once_and_a_yes_runs_it(tmp_path: Path) -> None:
    """Over a restart too: one question for two tasks, nothing before its answer, both done after it."""
    desk = make_desk(tmp_path)
    stand_in = {"DESKHAND_STAND_IN": "1"}
    async with StandIn() as model:

        async def typed(*arguments: str) -> Said:
            return await asyncio.to_thread(lambda: desk.run(*arguments, extra=stand_in))

        async def asked() -> list[dict[str, Any]]:
            found = (await typed("status", "--json")).json
            return [one for one in found["questions"] if one["tasks"]]

        with running_up(desk, **stand_in):
            folder = ("--folder", str(desk.folder), "--json", "--no-input")
            waiting = [(await typed("do", SENTENCE, *folder)).json for _ in range(2)]
            await typed("model", "set", "stand-in", "--base-url", model.url, "--context", "50000")
        with running_up(desk, **stand_in):
            fresh = (await typed("do", SENTENCE, *folder)).json
            (question,) = await asked()
            held = [(await typed("show", one["id"], "--json")).json for one in waiting]
            answered = await typed("answer", question["id"], "Run now")
            ended = [await typed("watch", one["id"], "--json") for one in waiting]
            left = await asked()

    assert fresh["state"] == "completed"
    assert [(one["state"], one["epoch"]) for one in held] == [("queued", 0)] * 2
    assert question["text"] == "2 tasks waited for a model. Run now?"
    assert (answered.status, [one.status for one in ended], left) == (0, [0, 0], [])

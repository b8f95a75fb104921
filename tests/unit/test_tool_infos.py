"""What a model is told of the tools: enough to use each rightly the first time, and to mend a wrong wish the second."""

from __future__ import annotations

import json

import pytest

from deskhand.errors import DeskhandError
from deskhand.ports import ToolInfo
from deskhand.protocol.wire import JsonObject
from deskhand.protocol.wishes import Wish
from deskhand.tools.registry import tool_infos
from tests.contract.test_tools import ARGUMENTS, TOOLS

INFOS = {info.name: info for info in tool_infos(TOOLS)}


def test_models_are_told_of_tools_for_models_only() -> None:
    """Checks and what only the plans of commands use stay out."""
    assert set(INFOS) <= set(TOOLS)
    assert not [name for name in INFOS if name.startswith("check_")]
    assert {"write_report", "write_table"}.isdisjoint(INFOS)


@pytest.mark.parametrize("info", INFOS.values(), ids=INFOS.keys())
def test_a_description_ends_with_an_example_that_is_a_wish(info: ToolInfo) -> None:
    """A small model copies what it sees: the example must be valid."""
    *said, example = info.description.splitlines()
    wish: type[Wish] = getattr(TOOLS[info.name], "wish")  # noqa: B009 - not part of the port

    read = wish.from_json(json.loads(example.removeprefix("Example: ")))

    assert read
    assert len("\n".join(said)) > 40


@pytest.mark.parametrize("info", INFOS.values(), ids=INFOS.keys())
def test_a_schema_names_what_a_call_takes_and_nothing_else(info: ToolInfo) -> None:
    """No titles that say a name twice, no field that is not there."""
    fields = _properties(info)

    assert [name for name, field in fields.items() if isinstance(field, dict) and "title" in field] == []
    assert info.schema["type"] == "object"
    assert set(ARGUMENTS[info.name]) <= set(fields)
    assert info.schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("read_file", {}, ("path", "Path inside the folder", 'example: {"path": "notes/')),
        ("list_files", {"recursiv": True}, ("recursiv", "takes from, path, recursive")),
        ("run_command", {"argv": "ls"}, ("argv", "list", 'example: {"argv": ["sh"')),
        ("find_files", {"words": ["x"], "path": 3}, ("path", "string", "Path inside")),
    ],
)
async def test_a_wrong_wish_is_answered_with_how_to_mend_it(
    tool: str, arguments: JsonObject, said: tuple[str, ...]
) -> None:
    """The field, what it takes and an example: the next try is right."""
    wish: type[Wish] = getattr(TOOLS[tool], "wish")  # noqa: B009 - not part of the port

    with pytest.raises(DeskhandError) as caught:
        wish.from_json(arguments)

    assert [part for part in said if part not in caught.value.detail] == []


def _properties(info: ToolInfo) -> JsonObject:
    found = info.schema["properties"]
    assert isinstance(found, dict)
    return found

"""All tools of an attempt by name: one place, so that what an agent may wish for can be read at a glance.

Models are told of those only whose wish has an example; plans of commands may use all.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from deskhand.clock import Clock, SystemClock
from deskhand.egress.broker import Broker
from deskhand.ports import Effect, Offload, Tool, ToolInfo
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools import changing, outward, reading
from deskhand.tools.apart.asking import Apart
from deskhand.tools.builtin import BuiltIn, W, Work
from deskhand.tools.checks import Checks
from deskhand.tools.undo.keeping import Checkpoints
from deskhand.tools.writing import documents
from deskhand.tools.writing.documents import Tabling


def tool_infos(tools: Mapping[str, Tool]) -> tuple[ToolInfo, ...]:
    """Return what a model is told of the tools it may use: those whose wish has an example."""
    kinds: dict[str, type[wishes.Wish]] = {name: getattr(tool, "wish", wishes.Wish) for name, tool in tools.items()}
    return tuple(_info(name, kind) for name, kind in kinds.items() if kind.example())


class _Plain(GenerateJsonSchema):
    """Schemas without titles: they say a name a second time."""

    @override
    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _info(name: str, wish: type[wishes.Wish]) -> ToolInfo:
    """Return the docstring of a wish with its example, and the schema of its fields."""
    whole = cast("JsonObject", wish.model_json_schema(schema_generator=_Plain))
    description = inspect.cleandoc(wish.__doc__ or "")
    schema = {key: part for key, part in whole.items() if key not in ("title", "description")}
    return ToolInfo(name=name, description=description, schema=schema)


def standard_tools(
    *,
    offload: Offload,
    clock: Clock | None = None,
    broker: Broker | None = None,
    checkpoints: Checkpoints | None = None,
) -> Mapping[str, Tool]:
    """Return every built-in tool.

    Args:
        offload: runs their blocking work; inline in the simulation.
        clock: names the days of the trash.
        broker: the way to the internet; without one there is none.
        checkpoints: what an undo takes back; without them nothing.
    """

    def tool(wish: type[W], work: Work[W], effect: Effect = "pure", **also: Any) -> BuiltIn[W]:  # noqa: ANN401 - further fields
        also.setdefault("name", getattr(work, "__name__", ""))
        return BuiltIn(wish=wish, work=work, offload=offload, effect=effect, **also)

    told = partial(tool, source="own")  # nothing comes back but what the agent said itself
    reader, trash = reading.Reader(offload=offload, apart=Apart()), changing.Trash(clock or SystemClock())
    beyond = outward.Outward(reader, broker or Broker())
    tabling = Tabling(reader)
    again = Checks(reader, tabling)
    undo = changing.Undoing(checkpoints=checkpoints, trash=trash)
    asking = {"spelled": beyond.address, "reachable": beyond.listed, "kind": "fetch", "source": "web"}
    moved_all = partial(changing.move_files, again=True)
    tools = (
        tool(wishes.ListFiles, reading.list_files),
        tool(wishes.ReadFile, reader.read_file),
        tool(wishes.ReadFiles, reader.read_files),
        tool(wishes.FindFiles, reader.find_files),
        tool(wishes.FindDuplicates, reading.find_duplicates),
        tool(wishes.QueryTable, reader.query_table),
        told(wishes.WriteFile, changing.write_file, "idempotent", shows=changing.shown_write),
        tool(wishes.EditFile, changing.edit_file, "idempotent", shows=changing.shown_edit),
        told(wishes.MakeDirectory, changing.make_directory, "idempotent"),
        told(wishes.MoveFile, changing.move_file, "probe", before=changing.moved_before),
        told(wishes.MoveFiles, changing.move_files, "probe", before=moved_all),
        told(wishes.TrashFile, trash.trash_file, "probe", before=trash.trashed_before),
        tool(wishes.WriteDocument, documents.write_document, "idempotent"),
        tool(wishes.WriteTable, tabling.write_table, "idempotent"),
        tool(wishes.WriteReport, tabling.write_table, "idempotent", name="write_report"),
        tool(wishes.MergePdfs, tabling.merge_pdfs, "idempotent"),
        tool(wishes.SourceFiles, tabling.list_sheets),
        tool(wishes.CheckTable, again.check_table),
        tool(wishes.CheckCopied, again.check_copied),
        tool(wishes.CheckQuotes, again.check_quotes),
        tool(wishes.CheckActions, again.check_actions),
        tool(wishes.CheckFiles, again.check_files),
        tool(wishes.CheckExit, outward.check_exit),
        tool(wishes.CheckReport, again.check_table, name="check_report"),
        tool(wishes.UndoFiles, undo.undo_files, "idempotent", shows=undo.shown_undo),
        tool(wishes.RunCommand, beyond.run_command, "idempotent", spelled=beyond.command_line),
        tool(wishes.FetchUrl, beyond.fetch_url, "idempotent", **asking),
    )
    return {tool.name: tool for tool in tools}

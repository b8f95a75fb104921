"""All tools of an attempt by name: one place, so that what an agent may wish for can be read at a glance.

Models are told of those only whose wish has an example; plans of commands may use all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from deskhand.clock import Clock, SystemClock
from deskhand.egress import Egress
from deskhand.ports import Effect, Offload, Place, Tool, ToolInfo
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools import changing, files
from deskhand.tools.apart.asking import Apart
from deskhand.tools.builtin import BuiltIn, W, Work
from deskhand.tools.checks.quotes import Rereading
from deskhand.tools.checks.tables import Recounting
from deskhand.tools.fetching import FetchUrl, Hosts
from deskhand.tools.reading import Reader
from deskhand.tools.shell import RunCommand, check_exit
from deskhand.tools.tabling import Tabling
from deskhand.tools.writing import documents


def tool_infos(tools: Mapping[str, Tool]) -> tuple[ToolInfo, ...]:
    """Return what a model is told of the tools it may use: those whose wish has an example."""
    kinds: dict[str, type[wishes.Wish]] = {
        name: getattr(tool, "wish", wishes.Wish) for name, tool in tools.items()
    }
    return tuple(_info(name, kind) for name, kind in kinds.items() if kind.example)


class _Plain(GenerateJsonSchema):
    """Schemas without titles: they say a name a second time."""

    @override
    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _info(name: str, wish: type[wishes.Wish]) -> ToolInfo:
    """Return the docstring of a wish with its example, and the schema of its fields."""
    whole = cast("JsonObject", wish.model_json_schema(schema_generator=_Plain))
    description = f"{inspect.cleandoc(wish.__doc__ or '')}\nExample: {wish.example}"
    schema = {key: part for key, part in whole.items() if key not in ("title", "description")}
    return ToolInfo(name=name, description=description, schema=schema)


def standard_tools(
    *, offload: Offload, clock: Clock | None = None, hosts: Hosts = tuple
) -> Mapping[str, Tool]:
    """Return every built-in tool.

    Args:
        offload: runs their blocking work; inline in the simulation.
        clock: names the days of the trash.
        hosts: those on the internet that may be asked; none unless the owner lists some.
    """

    def tool(
        name: str,
        wish: type[W],
        work: Work[W],
        effect: Effect = "pure",
        **also: Callable[[W, Place], Any],
    ) -> Tool:
        return BuiltIn(name=name, wish=wish, work=work, offload=offload, effect=effect, **also)

    moved, write, edit = changing.moved_before, changing.shown_write, changing.shown_edit
    bin_ = changing.Trash(clock or SystemClock())
    reader = Reader(offload=offload, apart=Apart())
    tabling, recount, again = Tabling(reader), Recounting(reader), Rereading(reader)
    moved_all = partial(changing.move_files, again=True)
    tools = (
        tool("list_files", wishes.ListFiles, files.list_files),
        tool("read_file", wishes.ReadFile, reader.read_file),
        tool("read_files", wishes.ReadFiles, reader.read_files),
        tool("search_files", wishes.SearchFiles, files.search_files),
        tool("find_files", wishes.FindFiles, files.Finder(reader).find_files),
        tool("find_duplicates", wishes.FindDuplicates, files.find_duplicates),
        tool("read_table", wishes.ReadTable, tabling.read_table),
        tool("query_table", wishes.QueryTable, reader.query_table),
        tool("write_file", wishes.WriteFile, changing.write_file, "idempotent", shows=write),
        tool("edit_file", wishes.EditFile, changing.edit_file, "idempotent", shows=edit),
        tool("make_directory", wishes.MakeDirectory, changing.make_directory, "idempotent"),
        tool("move_file", wishes.MoveFile, changing.move_file, "probe", before=moved),
        tool("move_files", wishes.MoveFiles, changing.move_files, "probe", before=moved_all),
        tool("trash_file", wishes.TrashFile, bin_.trash_file, "probe", before=bin_.trashed_before),
        tool("write_document", wishes.WriteDocument, documents.write_document, "idempotent"),
        tool("write_workbook", wishes.WriteWorkbook, tabling.write_workbook, "idempotent"),
        tool("write_table", wishes.WriteTable, tabling.write_table, "idempotent"),
        tool("merge_pdfs", wishes.MergePdfs, tabling.merge_pdfs, "idempotent"),
        tool("list_sheets", wishes.SourceFiles, tabling.list_sheets),
        tool("check_table", wishes.CheckTable, recount.check_table),
        tool("check_copied", wishes.CheckCopied, recount.check_copied),
        tool("check_quotes", wishes.CheckQuotes, again.check_quotes),
        tool("check_actions", wishes.CheckActions, again.check_actions),
        tool("check_files", wishes.CheckFiles, again.check_files),
        tool("check_exit", wishes.CheckExit, check_exit),
        tool("check_totals", wishes.CheckTotals, recount.check_totals),
        RunCommand(),
        FetchUrl(reader, hosts=hosts, broker=lambda allowed: Egress(allowed=allowed)),
    )
    return {tool.name: tool for tool in tools}

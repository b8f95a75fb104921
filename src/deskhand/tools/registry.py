"""All tools of an attempt by name: one place, so that what an agent may wish for can be read at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deskhand.ports import Effect, Offload, Place, Tool, ToolResult
from deskhand.protocol import wishes
from deskhand.tools import documents, files
from deskhand.tools.builtin import BuiltIn, W
from deskhand.tools.checks import quotes, totals
from deskhand.tools.shell import RunCommand


def standard_tools(*, offload: Offload) -> Mapping[str, Tool]:
    """Return every built-in tool.

    Args:
        offload: runs their blocking work; inline in the simulation.
    """

    def tool(
        name: str, wish: type[W], work: Callable[[W, Place], ToolResult], effect: Effect = "pure"
    ) -> Tool:
        return BuiltIn(name=name, wish=wish, work=work, offload=offload, effect=effect)

    tools = (
        tool("list_files", wishes.ListFiles, files.list_files),
        tool("read_file", wishes.ReadFile, files.read_file),
        tool("read_files", wishes.ReadFiles, files.read_files),
        tool("search_files", wishes.SearchFiles, files.search_files),
        tool("read_table", wishes.ReadTable, documents.read_table),
        tool("write_file", wishes.WriteFile, files.write_file, "idempotent"),
        tool("make_directory", wishes.MakeDirectory, files.make_directory, "idempotent"),
        tool("move_file", wishes.MoveFile, files.move_file, "unknown"),
        tool("write_workbook", wishes.WriteWorkbook, documents.write_workbook, "idempotent"),
        tool("check_quotes", wishes.CheckQuotes, quotes.check_quotes),
        tool("check_actions", wishes.CheckActions, quotes.check_actions),
        tool("check_totals", wishes.CheckTotals, totals.check_totals),
        RunCommand(),
    )
    return {tool.name: tool for tool in tools}

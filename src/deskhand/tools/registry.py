"""All tools of an attempt by name: one place, so that what an agent may wish for can be read at a glance."""

from __future__ import annotations

from collections.abc import Mapping

from deskhand.ports import Offload, Tool
from deskhand.tools.changes import MakeDirectory, MoveFile, WriteFile
from deskhand.tools.checks.quotes import CheckActions, CheckQuotes
from deskhand.tools.checks.totals import CheckTotals
from deskhand.tools.documents import ReadTable, ReadWorkbook, WriteWorkbook
from deskhand.tools.files import ListFiles, ReadFile, ReadFiles, SearchFiles
from deskhand.tools.shell import RunCommand


def standard_tools(*, offload: Offload) -> Mapping[str, Tool]:
    """Return every built-in tool.

    Args:
        offload: runs their blocking work; inline in the simulation.
    """
    tools: tuple[Tool, ...] = (
        ListFiles(offload=offload),
        ReadFile(offload=offload),
        ReadFiles(offload=offload),
        SearchFiles(offload=offload),
        WriteFile(offload=offload),
        MakeDirectory(),
        MoveFile(),
        ReadTable(offload=offload),
        WriteWorkbook(offload=offload),
        ReadWorkbook(offload=offload),
        RunCommand(),
        CheckQuotes(offload=offload),
        CheckActions(offload=offload),
        CheckTotals(offload=offload),
    )
    return {tool.name: tool for tool in tools}

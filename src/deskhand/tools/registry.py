"""All tools of an attempt by name: one place, so that what an agent may wish for can be read at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from deskhand.ports import Offload, Tool
from deskhand.tools import documents, files
from deskhand.tools.builtin import BuiltIn
from deskhand.tools.checks import quotes, totals
from deskhand.tools.shell import RunCommand


def standard_tools(*, offload: Offload) -> Mapping[str, Tool]:
    """Return every built-in tool.

    Args:
        offload: runs their blocking work; inline in the simulation.
    """
    reads = partial(BuiltIn, offload=offload)
    writes = partial(BuiltIn, offload=offload, effect="idempotent", lands_in_results=True)
    checks = partial(BuiltIn, offload=offload, lands_in_results=True)
    tools: tuple[Tool, ...] = (
        reads(name="list_files", reading=files.list_files),
        reads(name="read_file", reading=files.read_file),
        reads(name="read_files", reading=files.read_files, field="paths"),
        reads(name="search_files", reading=files.search_files),
        reads(name="read_table", reading=documents.read_table),
        writes(name="write_file", reading=files.write_file),
        writes(name="make_directory", reading=files.make_directory),
        writes(name="move_file", reading=files.move_file, effect="unknown", field="to"),
        writes(name="write_workbook", reading=documents.write_workbook),
        checks(name="check_quotes", reading=quotes.check_quotes),
        checks(name="check_actions", reading=quotes.check_actions),
        checks(name="check_totals", reading=totals.check_totals, field="workbook"),
        RunCommand(),
    )
    return {tool.name: tool for tool in tools}

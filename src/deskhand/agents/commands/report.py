"""``/report FILE.csv [--by COLUMN] [--out NAME]``: a workbook with what a table adds up to, and how it was read.

The agent never holds the table: a tool reads it, the workbook's data sheet is filled from the file, and a check adds
everything up again by other code. It refuses to add up what has no honest sum.
"""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import Command, Line, Plan, StoppedError, voice_for
from deskhand.agents.commands.report_sheets import data_rows_max, notes_sheet, summary_sheet
from deskhand.agents.commands.values import number, objects, words
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject


def _plan(line: Line, before: Done | None) -> Plan:
    """Read, write, add up again."""
    voice = voice_for(line)
    wanted = voice.name_for(line, "report.xlsx", ".xlsx")
    path = line.operands[0]
    reading: JsonObject = {"path": path}
    if "by" in line.options:
        reading["by"] = line.options["by"]
    table = yield from voice.use(voice.call("read_table", "read_table", reading, path=path))
    if not number(table, "rows_total"):
        raise StoppedError(voice.say("report.no_rows", path=path))
    columns = objects(table, "columns")
    voice = voice_for(line, " ".join(words(column, "name") for column in columns))
    summary, facts = summary_sheet(table, voice)
    name, replace = yield from voice.free_name(wanted, before)
    data: JsonObject = {
        "name": voice.say("report.sheet.data"),
        "table": {"path": path, "sha256": table["sha256"], "rows_max": data_rows_max(table)},
    }
    book: JsonObject = {
        "path": name,
        "replace": replace,
        "sheets": [summary, data, notes_sheet(table, voice)],
    }
    compared: JsonObject = {
        "path": path,
        "workbook": name,
        "sheet": summary["name"],
        "facts": [*facts],
    }
    rows = number(table, "rows_total")
    if rows <= data_rows_max(table):
        compared["data_sheet"] = data["name"]
    checks = (voice.check("totals", name, compared),)
    writing = voice.call("write_workbook", "write", book, path=name)
    counts = {"rows": rows, "columns": len(columns)}
    return (yield from voice.deliver(writing, checks, "report.done", **counts))


REPORT: Final = Command.of("report", _plan)

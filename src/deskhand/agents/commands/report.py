"""``/report FILE.csv [--by COLUMN] [--out NAME]``: a workbook with what a table adds up to, and how it was read.

The agent never holds the table: a tool reads it, the workbook's data sheet is filled from the file, and a check adds
everything up again by other code. It refuses to add up what has no honest sum.
"""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import (
    Line,
    Option,
    Plan,
    Spec,
    StoppedError,
    free_name,
    mostly_korean,
    number,
    objects,
    use,
    words,
)
from deskhand.agents.commands.report_sheets import (
    Summary,
    data_rows_max,
    notes_sheet,
    summary_sheet,
)
from deskhand.ports import CheckWish, Done, ToolCall
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text

NAME_CHARS_MAX: Final = 120


class ReportCommand:
    """Makes a report of a table."""

    spec = Spec(
        name="report",
        metavar="FILE.csv",
        operands_least=1,
        operands_most=1,
        options=(Option(name="by", metavar="COLUMN"), Option(name="out", metavar="NAME")),
        examples_en=(
            "Turn this CSV into a weekly report",
            "Make a spreadsheet report of campaign.csv with totals per channel",
            "How much did we spend per region in expenses.csv?",
            "Add up the numbers in sales.csv",
            "Build an Excel summary of the orders file by customer",
            "Totals and averages for data/traffic.tsv, please",
        ),
        examples_ko=(
            "이 CSV로 주간 보고서를 만들어 줘",
            "campaign.csv를 채널별 합계가 있는 엑셀 보고서로 만들어 줘",
            "경비 파일에서 지역별로 얼마 썼는지 알려 줘",
            "매출 파일의 숫자를 모두 더해 줘",
            "주문 파일을 고객별로 엑셀로 요약해 줘",
            "트래픽 데이터의 합계와 평균을 내 줘",
        ),
    )

    def plan(self, line: Line, brief: Brief, before: Done | None) -> Plan:
        """Return the plan: read, write, add up again.

        Raises:
            StoppedError: the file is no table, has no rows, or a step was not possible.
        """
        del brief
        wanted = _out_name(line)
        path = line.operands[0]
        table = yield from use(_reading(path, line), language=line.language)
        if not number(table, "rows_total"):
            raise StoppedError(text("command.report.no_rows", language=line.language, path=path))
        language = _language(line, table)
        summary = summary_sheet(table, language=language)
        name, replace = yield from free_name(wanted, before=before, language=language)
        yield from use(
            ToolCall(
                tool="write_workbook",
                arguments={
                    "path": name,
                    "replace": replace,
                    "sheets": [
                        summary.sheet,
                        _data_sheet(table, language),
                        notes_sheet(table, language=language),
                    ],
                },
                title=text("step.write", language=language, path=name),
            ),
            language=language,
        )
        checks = self.checks(name, table, summary, language)
        found = yield from use(checks[0].call, language=language)
        if found.get("passed") is not True:
            raise StoppedError(
                text("command.changed_meanwhile", language=language), words(found, "evidence")
            )
        said = text(
            "command.report.done",
            language=language,
            rows=number(table, "rows_total"),
            columns=len(objects(table, "columns")),
            evidence=words(found, "evidence"),
        )
        return Done(summary=said, outputs=(name,), checks=checks)

    def checks(
        self, name: str, table: JsonObject, summary: Summary, language: str
    ) -> tuple[CheckWish, ...]:
        """Return what shall be added up again; the wish carries places, never figures."""
        header, totals = number(table, "header_line"), table.get("totals_row")
        source: JsonObject = {
            "path": words(table, "path"),
            "encoding": words(table, "encoding"),
            "delimiter": words(table, "delimiter"),
            "quoted": table.get("quoted") is True,
            "width": number(table, "width"),
            "first_line": header + 1,
        }
        if isinstance(totals, dict):
            source["totals_row"] = True
        arguments: JsonObject = {
            "table": source,
            "workbook": name,
            "sheet": words(summary.sheet, "name"),
            "facts": [*summary.facts],
            "language": language,
        }
        if number(table, "rows_total") <= data_rows_max(table):
            arguments["data_sheet"] = text("command.report.sheet.data", language=language)
        call = ToolCall(
            tool="check_totals",
            arguments=arguments,
            title=text("step.check_totals", language=language, path=name),
        )
        return (CheckWish(name=text("check_name.totals", language=language), call=call),)


def _reading(path: str, line: Line) -> ToolCall:
    arguments: JsonObject = {"path": path}
    by = line.words("by")
    if by is not None:
        arguments["by"] = by
    return ToolCall(
        tool="read_table",
        arguments=arguments,
        title=text("step.read_table", language=line.language, path=path),
    )


def _data_sheet(table: JsonObject, language: str) -> JsonObject:
    return {
        "name": text("command.report.sheet.data", language=language),
        "table": {
            "path": words(table, "path"),
            "sha256": words(table, "sha256"),
            "rows_max": data_rows_max(table),
        },
    }


def _out_name(line: Line) -> str:
    name = line.words("out") or "report.xlsx"
    if "/" in name or "\\" in name or name.startswith(".") or len(name) > NAME_CHARS_MAX:
        raise StoppedError(text("command.out_name", language=line.language, name=name))
    return name if name.casefold().endswith(".xlsx") else f"{name}.xlsx"


def _language(line: Line, table: JsonObject) -> str:
    sample = " ".join(words(column, "name") for column in objects(table, "columns"))
    return "ko" if line.language == "ko" or mostly_korean(sample) else "en"

"""``/report FILE.csv [--by COLUMN] [--out NAME]``: a workbook with what a table adds up to, and how it was read.

The agent never holds the table: a tool reads it, the workbook's data sheet is filled from the file, and a check adds
everything up again by other code. It refuses to add up what has no honest sum.

Beside every figure of a sheet the cell is written down, so that the check can find it; the figure itself is never in
that list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Final, NamedTuple, cast

from deskhand.agents.commands.command import Command, Plan, StoppedError, Work
from deskhand.agents.commands.values import number, objects, strings, words
from deskhand.protocol.wire import Json, JsonObject

GROUPS_SHOWN_MAX: Final = 100
COLUMNS_SHOWN_MAX: Final = 150
MEASURES_SHOWN_MAX: Final = 12
"""What a person can look at, and few enough that an approval can show all of it."""
ROWS_SHEET_MAX: Final = 20_000
CELLS_SHEET_MAX: Final = 300_000
SKIPPED_SHOWN_MAX: Final = 50
_UNREADABLE_SHOWN_MAX: Final = 5
_LABEL_MAX: Final = 200
_PLACES_MAX: Final = 12
_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MEASURES: Final = ("sum", "average", "minimum", "maximum")


def _plan(work: Work) -> Plan:
    """Read, write, add up again."""
    wanted, path = work.name_for("report.xlsx", ".xlsx"), work.line.operands[0]
    by: JsonObject = {"by": work.option("by")} if "by" in work.line.options else {}
    table = yield from work.ask("read_table", "read_table", {"path": path, **by}, path=path)
    rows, rows_max = number(table, "rows_total"), _data_rows_max(table)
    if not rows:
        raise StoppedError(work.say("report.no_rows", path=path))
    columns = objects(table, "columns")
    work = work.about(*(words(column, "name") for column in columns))
    summary, facts = _summary_sheet(table, work)
    name, replacing = yield from work.free_name(wanted)
    source: JsonObject = {"path": path, "sha256": table["sha256"], "rows_max": rows_max}
    data: JsonObject = {"name": work.say("report.sheet.data"), "table": source}
    book: JsonObject = {"path": name, "replace": replacing}
    book["sheets"] = [summary, data, _notes_sheet(table, work)]
    compared: JsonObject = {"path": path, "workbook": name, "facts": [*facts]}
    compared["sheet"] = summary["name"]
    if rows <= rows_max:
        compared["data_sheet"] = data["name"]
    checks = (work.check("totals", name, compared),)
    writing = work.call("write_workbook", "write", book, path=name)
    counts = {"rows": rows, "columns": len(columns)}
    return (yield from work.deliver(writing, checks, "report.done", **counts))


REPORT: Final = Command.of("report", _plan)


class _Figure(NamedTuple):
    """A cell whose number can be computed anew, and from what."""

    shown: Json
    fact: JsonObject


@dataclass(slots=True, kw_only=True)
class _Page:
    """A sheet that grows row by row, with the places of its figures."""

    work: Work
    rows: list[Json] = field(default_factory=list[Json])
    facts: list[JsonObject] = field(default_factory=list[JsonObject])

    def say(self, key: str, **values: object) -> str:
        return self.work.say(f"report.{key}", **values)

    def add(self, *cells: Json | _Figure) -> None:
        for letter, cell in zip(ascii_uppercase, cells, strict=False):
            if isinstance(cell, _Figure):
                self.facts.append({"cell": f"{letter}{len(self.rows) + 1}", **cell.fact})
        self.rows.append([cell.shown if isinstance(cell, _Figure) else cell for cell in cells])

    def styled(self, look: str, *names: str) -> None:
        cells: list[JsonObject] = [{"v": name, "look": look} for name in names]
        self.add(*cells)

    def more(self, key: str, total: int, shown: int) -> None:
        for said in self.work.more(f"report.{key}", total - shown):
            self.styled("note", said)

    def fact(self, measure: str, index: int, column: JsonObject, **more: Json) -> JsonObject:
        """Return how a figure of a column is computed."""
        label = words(column, "name")
        if measure != "sum":
            label = f"{label} ({self.say(f'head.{measure}')})"
        return {"measure": measure, "label": label[:_LABEL_MAX], "column": index, **more}

    def figure(
        self, measure: str, value: str, index: int, column: JsonObject, **more: Json
    ) -> _Figure | None:
        """Return a figure of a column as it is shown, where there is one."""
        places = len(value.partition(".")[2])
        form = "percent" if _is_percent(column) else "number"
        shown: JsonObject = {"v": value, "as": form, "places": min(_PLACES_MAX, places)}
        fact = self.fact(measure, index, column, places=places, **more)
        return _Figure(shown, fact) if value else None


def _summary_sheet(table: JsonObject, work: Work) -> tuple[JsonObject, list[JsonObject]]:
    """Return the first sheet, and where its figures are."""
    page = _Page(work=work)
    page.styled("title", page.say("title", path=words(table, "path")))
    said = page.say("rows")
    rows = _Figure(number(table, "rows_total"), {"measure": "rows", "label": said})
    page.add({"v": said, "look": "total"}, rows)
    page.add()
    columns = objects(table, "columns")
    measured = [
        place for place in enumerate(columns) if number(place[1], "count") and _adds(place[1])
    ]
    if measured:
        _figures(page, measured)
    groups = table["groups"]
    if isinstance(groups, dict):
        _groups(page, groups, columns)
    elif not measured:
        page.styled("note", page.say("no_numbers"))
    widths = [30, 14, 12, 18, 18, 16, 16, *[16] * max(0, len(measured) - 5)]
    return {"name": page.say("sheet.summary"), "rows": page.rows, "widths": [*widths]}, page.facts


def _data_rows_max(table: JsonObject) -> int:
    """Return how many rows the data sheet holds, so that it can be read again."""
    return min(ROWS_SHEET_MAX, CELLS_SHEET_MAX // max(1, number(table, "width")))


def _notes_sheet(table: JsonObject, work: Work) -> JsonObject:
    """Return the last sheet: how the file was read and what was left out."""
    page = _Page(work=work)
    page.styled("title", page.say("notes_title"))
    _about_file(page, table)
    columns = objects(table, "columns")
    page.styled("header", *map(page.say, ("head.column", "note.read_as", "note.look_at")))
    for column in columns[:COLUMNS_SHOWN_MAX]:
        page.add(words(column, "name"), _read_as(page, column), _look_at(page, column) or None)
    page.more("more_columns", len(columns), COLUMNS_SHOWN_MAX)
    if number(table, "rows_total") > _data_rows_max(table):
        page.add(page.say("note.data_cut"), page.say("first_rows", count=_data_rows_max(table)))
    totals = table["totals_row"]
    if isinstance(totals, dict):
        page.add()
        page.add(page.say("note.totals_row"), page.say("line", line=number(totals, "line")))
        for compared in objects(totals, "compared"):
            key = "totals_equal" if compared.get("equal") is True else "totals_differ"
            said = page.say(key, said=words(compared, "said"), found=words(compared, "found"))
            page.add(words(columns[number(compared, "column")], "name"), said)
    _skipped(page, table)
    return {"name": page.say("sheet.notes"), "rows": page.rows, "widths": [34, 60, 30]}


def _figures(page: _Page, measured: Sequence[tuple[int, JsonObject]]) -> None:
    heads = ("column", "count", "missing", *_MEASURES)
    page.styled("header", *(page.say(f"head.{name}") for name in heads))
    for place in measured[:COLUMNS_SHOWN_MAX]:
        column = place[1]
        count = _Figure(number(column, "count"), page.fact("count", *place))
        missing = number(column, "missing") + number(column, "unreadable_total")
        figures = (page.figure(measure, words(column, measure), *place) for measure in _MEASURES)
        page.add(words(column, "name"), count, missing, *figures)
    page.more("more_columns", len(measured), COLUMNS_SHOWN_MAX)
    page.add()


def _groups(page: _Page, groups: JsonObject, columns: Sequence[JsonObject]) -> None:
    """One row per group: its rows, and of each column the sum (of percentages the average)."""
    by = number(groups, "column")
    measures = cast("list[int]", groups["measures"])[:MEASURES_SHOWN_MAX]
    names = (
        page.say("average_of", column=words(one, "name"))
        if _is_percent(one)
        else words(one, "name")
        for one in (columns[index] for index in measures)
    )
    page.styled("title", page.say("by", column=words(columns[by], "name")))
    page.styled("header", words(columns[by], "name"), page.say("rows"), *names)
    for group in objects(groups, "groups")[:GROUPS_SHOWN_MAX]:
        name = words(group, "name")
        where: JsonObject = {"column": by, "name": name}
        fact: JsonObject = {"measure": "rows", "label": name[:_LABEL_MAX], "column": by}
        row: list[Json | _Figure] = [name or page.say("no_value")]
        row.append(_Figure(number(group, "rows"), {**fact, "group": where}))
        for index, value in zip(measures, cast("list[str | None]", group["values"]), strict=False):
            measure = "average" if _is_percent(columns[index]) else "sum"
            row.append(page.figure(measure, value or "", index, columns[index], group=where))
        page.add(*row)
    page.more("more_groups", number(groups, "groups_total"), GROUPS_SHOWN_MAX)


def _about_file(page: _Page, table: JsonObject) -> None:
    delimiter, header = words(table, "delimiter"), number(table, "header_line")
    known = _DELIMITERS.get(delimiter)
    page.add(page.say("note.file"), words(table, "path"))
    page.add("SHA-256", words(table, "sha256"))
    notes: JsonObject = {
        "encoding": table["encoding"],
        "delimiter": page.say(f"delimiter.{known}") if known else delimiter,
        "header": page.say("line", line=header) if header else page.say("note.no_header"),
        "quotes": None if table["quoted"] is True else page.say("note.quotes_open"),
        "blank": table["blank_lines"],
        "renamed": ", ".join(strings(table, "renamed")),
    }
    for key, said in notes.items():
        if said:
            page.add(page.say(f"note.{key}"), said)
    page.add()


def _read_as(page: _Page, column: JsonObject) -> str:
    kind, currency = words(column, "kind"), words(column, "currency")
    said = [page.say(f"kind.{kind}")]
    if _adds(column):
        said.append(page.say(f"style.{words(column, 'style')}"))
    said += [currency] if kind == "number" and currency else []
    if kind == "date" and words(column, "first"):
        said.append(f"{words(column, 'first')} – {words(column, 'last')}")
    return ", ".join(said)


def _look_at(page: _Page, column: JsonObject) -> str:
    look: list[str] = []
    unsure, unreadable = words(column, "unsure"), objects(column, "unreadable")
    if unsure:
        kinds = {"date": "unsure_date", "text": "unsure_text"}
        look.append(page.say(kinds.get(words(column, "kind"), "unsure_number"), value=unsure))
    if unreadable:
        shown = ", ".join(
            page.say("line_value", line=number(each, "line"), value=words(each, "value"))
            for each in unreadable[:_UNREADABLE_SHOWN_MAX]
        )
        look.append(page.say("unreadable", count=number(column, "unreadable_total"), shown=shown))
    return "; ".join(look)


def _skipped(page: _Page, table: JsonObject) -> None:
    total = number(table, "skipped_total")
    if not total:
        return
    page.add()
    page.styled("header", page.say("note.skipped", count=total), page.say("note.why"))
    for row in objects(table, "skipped")[:SKIPPED_SHOWN_MAX]:
        fields, width = number(row, "fields"), number(table, "width")
        why = page.say(f"skipped.{words(row, 'why')}", fields=fields, width=width)
        page.add(page.say("line", line=number(row, "line")), why)
    page.more("more_skipped", total, SKIPPED_SHOWN_MAX)


def _is_percent(column: JsonObject) -> bool:
    return column["kind"] == "percent"


def _adds(column: JsonObject) -> bool:
    return column["kind"] in ("number", "percent")

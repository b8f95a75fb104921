"""The sheets of a report: what adds up, what it adds up to per group, and honest notes on how the file was read.

Beside every figure it writes down the cell, so that a check can find it; the figure itself is never in that list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from deskhand.agents.commands.command import number, objects, words
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import text

GROUPS_SHOWN_MAX: Final = 100
COLUMNS_SHOWN_MAX: Final = 150
MEASURES_SHOWN_MAX: Final = 12
"""What a person can look at, and few enough that an approval can show all of it."""
ROWS_SHEET_MAX: Final = 20_000
CELLS_SHEET_MAX: Final = 300_000
FACTS_MAX: Final = 4000
SKIPPED_SHOWN_MAX: Final = 50
_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_LETTERS: Final = 26
_FIGURES: Final = (("sum", 4), ("average", 5), ("minimum", 6), ("maximum", 7))
"""Measure and the column of the sheet it stands in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The summary sheet and where its figures are."""

    sheet: JsonObject
    facts: tuple[JsonObject, ...]


@dataclass(slots=True, kw_only=True)
class _Page:
    """A sheet that grows row by row, with the facts in it."""

    language: str
    rows: list[Json] = field(default_factory=list[Json])
    facts: list[JsonObject] = field(default_factory=list[JsonObject])

    def said(self, key: str, **values: object) -> str:
        return text(f"command.report.{key}", language=self.language, **values)

    def add(self, *cells: Json) -> int:
        """Add a row and return its number."""
        self.rows.append([*cells])
        return len(self.rows)

    def header(self, *names: str) -> None:
        self.add(*(_look(name, "header") for name in names))


def summary_sheet(table: JsonObject, *, language: str) -> Summary:
    """Return the first sheet."""
    page = _Page(language=language)
    page.add(_look(page.said("title", path=words(table, "path")), "title"))
    row = page.add(_look(page.said("rows"), "total"), number(table, "rows_total"))
    page.facts.append({"cell": f"B{row}", "measure": "rows", "label": page.said("rows")})
    page.add()
    columns = objects(table, "columns")
    measured = [(i, column) for i, column in enumerate(columns) if _measured(column)]
    if measured:
        _figures(page, measured)
    _groups(page, table, columns)
    if len(page.rows) == 2 + 1 and not measured:
        page.add(_look(page.said("no_numbers"), "note"))
    sheet: JsonObject = {
        "name": page.said("sheet.summary"),
        "rows": page.rows,
        "widths": [30, 14, 12, 18, 18, 16, 16, *[16] * max(0, len(measured) - 5)],
    }
    return Summary(sheet=sheet, facts=tuple(page.facts[:FACTS_MAX]))


def data_rows_max(table: JsonObject) -> int:
    """Return how many rows the data sheet holds, so that it can be read again."""
    return min(ROWS_SHEET_MAX, CELLS_SHEET_MAX // max(1, number(table, "width")))


def notes_sheet(table: JsonObject, *, language: str) -> JsonObject:
    """Return the last sheet: how the file was read and what was left out."""
    page = _Page(language=language)
    rows_max = data_rows_max(table)
    page.add(_look(page.said("notes_title"), "title"))
    _facts_of_file(page, table)
    columns = objects(table, "columns")
    for column in columns[:COLUMNS_SHOWN_MAX]:
        _about_column(page, column)
    _more_columns(page, len(columns))
    if number(table, "rows_total") > rows_max:
        page.add(page.said("note.data_cut"), page.said("first_rows", count=rows_max))
    _about_totals_row(page, table)
    _skipped(page, table)
    return {"name": page.said("sheet.notes"), "rows": page.rows, "widths": [34, 60, 30]}


def _figures(page: _Page, measured: Sequence[tuple[int, JsonObject]]) -> None:
    page.header(*(page.said(f"head.{name}") for name in _HEADS))
    for index, column in measured[:COLUMNS_SHOWN_MAX]:
        row = page.add(
            words(column, "name"),
            number(column, "count"),
            number(column, "missing") + number(column, "unreadable_total"),
            *(_figure(column, words(column, measure)) for measure, _ in _FIGURES),
        )
        page.facts.append(_fact(page, f"B{row}", "count", index, column))
        for measure, place in _FIGURES:
            value = words(column, measure)
            if value:
                fact = _fact(page, f"{_letter(place)}{row}", measure, index, column)
                page.facts.append({**fact, "places": _places(value)})
    _more_columns(page, len(measured))
    page.add()


def _more_columns(page: _Page, count: int) -> None:
    if count > COLUMNS_SHOWN_MAX:
        page.add(_look(page.said("more_columns", count=count - COLUMNS_SHOWN_MAX), "note"))


_HEADS: Final = ("column", "count", "missing", "sum", "average", "minimum", "maximum")


def _groups(page: _Page, table: JsonObject, columns: Sequence[JsonObject]) -> None:
    """One row per group: its rows, and of each column the sum (of percentages the average)."""
    groups = table.get("groups")
    if not isinstance(groups, dict):
        return
    by = number(groups, "column")
    wanted = groups.get("measures")
    every = [m for m in wanted if isinstance(m, int)] if isinstance(wanted, list) else []
    measures = every[:MEASURES_SHOWN_MAX]
    page.add(_look(page.said("by", column=words(columns[by], "name")), "title"))
    averages = {m: words(columns[m], "kind") == "percent" for m in measures}
    names = [
        page.said("average_of", column=words(columns[m], "name"))
        if averages[m]
        else words(columns[m], "name")
        for m in measures
    ]
    page.header(words(columns[by], "name"), page.said("rows"), *names)
    for group in objects(groups, "groups")[:GROUPS_SHOWN_MAX]:
        name = words(group, "name")
        values = group.get("values")
        figures = [
            value if isinstance(value, str) else ""
            for value in (values[: len(measures)] if isinstance(values, list) else [])
        ]
        row = page.add(
            name or page.said("no_value"),
            number(group, "rows"),
            *(_figure(columns[m], value) for m, value in zip(measures, figures, strict=True)),
        )
        where: JsonObject = {"column": by, "name": name}
        page.facts.append(
            {"cell": f"B{row}", "measure": "rows", "group": where, "label": name, "column": by}
        )
        for place, (m, value) in enumerate(zip(measures, figures, strict=True), start=3):
            if value:
                measure = "average" if averages[m] else "sum"
                fact = _fact(page, f"{_letter(place)}{row}", measure, m, columns[m])
                page.facts.append({**fact, "group": where, "places": _places(value)})
    left = number(groups, "groups_total") - GROUPS_SHOWN_MAX
    if left > 0:
        page.add(_look(page.said("more_groups", count=left), "note"))


def _fact(page: _Page, cell: str, measure: str, index: int, column: JsonObject) -> JsonObject:
    label = words(column, "name")
    if measure != "sum":
        label = f"{label} ({page.said(f'head.{measure}')})"
    return {
        "cell": cell,
        "measure": measure,
        "column": index,
        "style": words(column, "style"),
        "currency": words(column, "currency"),
        "percent": words(column, "kind") == "percent" and measure != "count",
        "label": label[:200],
    }


def _facts_of_file(page: _Page, table: JsonObject) -> None:
    delimiter = _DELIMITERS.get(words(table, "delimiter"))
    named = page.said(f"delimiter.{delimiter}") if delimiter else words(table, "delimiter")
    page.add(page.said("note.file"), words(table, "path"))
    page.add("SHA-256", words(table, "sha256"))
    page.add(page.said("note.encoding"), words(table, "encoding"))
    page.add(page.said("note.delimiter"), named)
    header = number(table, "header_line")
    page.add(
        page.said("note.header"),
        page.said("line", line=header) if header else page.said("note.no_header"),
    )
    if table.get("quoted") is not True:
        page.add(page.said("note.quotes"), page.said("note.quotes_open"))
    if number(table, "blank_lines"):
        page.add(page.said("note.blank"), number(table, "blank_lines"))
    renamed = table.get("renamed")
    if isinstance(renamed, list) and renamed:
        page.add(page.said("note.renamed"), ", ".join(str(name) for name in renamed))
    page.add()
    page.header(page.said("head.column"), page.said("note.read_as"), page.said("note.look_at"))


def _about_column(page: _Page, column: JsonObject) -> None:
    kind = words(column, "kind")
    read_as = page.said(f"kind.{kind}")
    if kind in ("number", "percent"):
        style = words(column, "style")
        read_as += f", {page.said(f'style.{style}')}"
    if kind == "number" and words(column, "currency"):
        read_as += f", {words(column, 'currency')}"
    if kind == "date" and words(column, "first"):
        read_as += f", {words(column, 'first')} – {words(column, 'last')}"
    look: list[str] = []
    unsure = words(column, "unsure")
    if unsure:
        key = {"date": "unsure_date", "text": "unsure_text"}.get(kind, "unsure_number")
        look.append(page.said(key, value=unsure))
    unreadable = objects(column, "unreadable")
    if unreadable:
        shown = ", ".join(
            page.said("line_value", line=number(u, "line"), value=words(u, "value"))
            for u in unreadable[:5]
        )
        look.append(page.said("unreadable", count=number(column, "unreadable_total"), shown=shown))
    page.add(words(column, "name"), read_as, "; ".join(look) or None)


def _about_totals_row(page: _Page, table: JsonObject) -> None:
    totals = table.get("totals_row")
    if not isinstance(totals, dict):
        return
    page.add()
    page.add(page.said("note.totals_row"), page.said("line", line=number(totals, "line")))
    columns = objects(table, "columns")
    for compared in objects(totals, "compared"):
        key = "totals_equal" if compared.get("equal") is True else "totals_differ"
        page.add(
            words(columns[number(compared, "column")], "name"),
            page.said(key, said=words(compared, "said"), found=words(compared, "found")),
        )


def _skipped(page: _Page, table: JsonObject) -> None:
    total = number(table, "skipped_total")
    if not total:
        return
    page.add()
    page.header(page.said("note.skipped", count=total), page.said("note.why"))
    for skipped in objects(table, "skipped")[:SKIPPED_SHOWN_MAX]:
        why = page.said(
            f"skipped.{words(skipped, 'why')}",
            fields=number(skipped, "fields"),
            width=number(table, "width"),
        )
        page.add(page.said("line", line=number(skipped, "line")), why)
    if total > SKIPPED_SHOWN_MAX:
        page.add(_look(page.said("more_skipped", count=total - SKIPPED_SHOWN_MAX), "note"))


def _measured(column: JsonObject) -> bool:
    return words(column, "kind") in ("number", "percent") and number(column, "count") > 0


def _figure(column: JsonObject, value: str) -> Json:
    if not value:
        return None
    kind = "percent" if words(column, "kind") == "percent" else "number"
    return {"v": value, "as": kind, "places": min(12, _places(value))}


def _places(value: str) -> int:
    return len(value.partition(".")[2])


def _look(value: str, look: str) -> JsonObject:
    return {"v": value, "look": look}


def _letter(place: int) -> str:
    """Return the letters of a column, counted from 1."""
    letters = ""
    while place:
        place, rest = divmod(place - 1, _LETTERS)
        letters = chr(ord("A") + rest) + letters
    return letters

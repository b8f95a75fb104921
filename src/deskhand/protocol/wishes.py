"""What the built-in tools may be asked: the arguments of every wish, typed and bounded.

They come from a model or a stranger's plan, so a field that is not here is an error that names it, never a silent
default. Which paths may be touched is not said here: that is the folder handle's to refuse, and the gate's.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import override

from deskhand.errors import DeskhandError
from deskhand.limits import COMMAND_SECONDS, LIST_ENTRIES_MAX
from deskhand.protocol.wire import Json, Wire

LINES_MAX = 1_000_000
CONTENT_CHARS_MAX = 1_000_000
ROWS_MAX = 20_000
COLUMNS_MAX = 10_000


def _plain(path: str) -> str:
    """Return a path without a trailing slash."""
    return path.rstrip("/") or ("/" if path.startswith("/") else ".")


Text = Annotated[str, Field(max_length=4096)]
Short = Annotated[str, Field(max_length=200)]
Hash = Annotated[str, Field(max_length=64)]
RelPath = Annotated[Text, AfterValidator(_plain)]
LineNumber = Annotated[int, Field(ge=1, le=LINES_MAX)]
Index = Annotated[int, Field(ge=0, le=COLUMNS_MAX)]
Paths = Annotated[list[Text], Field(min_length=1, max_length=500)]


_TRIED = ("str", "int")


class Wish(Wire):
    """The arguments of one call, or an object in them; ``about`` names the one that says what it touches."""

    about: ClassVar[str] = "path"
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    @classmethod
    @override
    def from_json(cls, data: object) -> Self:
        """Read it.

        Raises:
            DeskhandError: ``invalid`` with the name of the innermost wrong field.
        """
        try:
            return super().from_json(data)
        except DeskhandError as error:
            # Among the names stand places in lists, and types that were tried.
            parts = (error.field or "").split(".")
            names = [part for part in parts if part[:1].islower() and part[-3:] not in _TRIED]
            raise DeskhandError(error.code, error.detail, field=(names or parts)[-1]) from None


class Reading(Wish):
    """``"from": "results"`` reads back what the task wrote, instead of the folder it works on."""

    source: Literal["folder", "results"] = Field(default="folder", alias="from")


class ListFiles(Reading):
    """Names, kinds and sizes below a path; a file lists as itself."""

    path: RelPath = "."
    recursive: bool = False
    pattern: Short = "*"
    limit: Annotated[int, Field(ge=1, le=LIST_ENTRIES_MAX)] = LIST_ENTRIES_MAX


class ReadFile(Reading):
    """Lines of a text file, in whatever encoding it is."""

    path: RelPath
    from_line: LineNumber = 1


class ReadFiles(Reading):
    """Many text files at once; ``from_line`` goes on within the first."""

    about = "paths"

    paths: Paths
    from_line: LineNumber = 1


class SearchFiles(Reading):
    """Lines that contain the words, in files whose name fits the pattern."""

    query: Annotated[Short, Field(min_length=1)]
    path: RelPath = "."
    pattern: Short = "*"


class ReadTable(Reading):
    """How a CSV or TSV is written, what its columns hold and add up to, by the values of a column."""

    path: RelPath
    by: Short | None = None


class Write(Wish):
    """Without ``replace`` an existing file stays, and the same bytes again are done already."""

    path: RelPath
    replace: bool = False


class WriteFile(Write):
    """A text file in UTF-8."""

    content: Annotated[str, Field(max_length=CONTENT_CHARS_MAX)]


class MakeDirectory(Wish):
    """A directory with its parents; one that exists is fine."""

    path: RelPath


class MoveFile(Wish):
    """To a name that is free, within the results place."""

    about = "to"

    path: RelPath
    to: RelPath


class RunCommand(Wish):
    """A program with its arguments, in the sandbox."""

    argv: Annotated[
        list[Annotated[str, Field(max_length=32_000)]], Field(min_length=1, max_length=256)
    ]
    seconds: Annotated[int, Field(ge=1, le=COMMAND_SECONDS)] = COMMAND_SECONDS


class Cell(Wish):
    """A cell with a form; numbers and dates are exact text."""

    v: str | int | None
    kind: Literal["text", "number", "percent", "date"] = Field(default="text", alias="as")
    places: Annotated[int, Field(ge=0, le=12)] = 0
    look: Literal["plain", "title", "header", "total", "note"] = "plain"


class TableFile(Reading):
    """A table to fill a sheet from; the file must still have this hash."""

    path: RelPath
    sha256: Hash
    rows_max: Annotated[int, Field(ge=1, le=ROWS_MAX)] = ROWS_MAX


class Sheet(Wish):
    """A sheet from a table's file, or from rows of cells: text, whole numbers, nothing or :class:`Cell`."""

    name: Short
    rows: Annotated[list[list[Json]], Field(max_length=5000)] = Field(default_factory=list)
    widths: Annotated[list[int], Field(max_length=500)] = Field(default_factory=list)
    table: TableFile | None = None


class WriteWorkbook(Write):
    """An xlsx from plain sheets."""

    sheets: Annotated[list[Sheet], Field(min_length=1, max_length=20)]


class Check(Reading):
    """What a check reads again lies where ``from`` says; its evidence is in the reader's language."""

    language: Literal["en", "ko"] = "en"


class CheckQuotes(Check):
    """Does every quoted ``file:line`` stand there, and is the briefing still the file of this hash?"""

    path: RelPath
    sha256: Hash = ""


class CheckActions(Check):
    """Is every action of the notes in the briefing?"""

    path: RelPath
    paths: Paths


class TableSource(Wish):
    """How a table is to be read again."""

    path: RelPath
    encoding: Annotated[str, Field(max_length=40)]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)]
    quoted: bool = True
    width: Annotated[int, Field(ge=1, le=COLUMNS_MAX)]
    first_line: Annotated[int, Field(ge=1)]
    totals_row: bool = False


class Group(Wish):
    """The rows that have this value in a column."""

    column: Index
    name: Text


class Figure(Wish):
    """In which cell a figure lies, and of which column (of which rows) it is said to be the measure."""

    cell: Annotated[str, Field(max_length=12)]
    measure: Literal["sum", "average", "minimum", "maximum", "count", "rows"] = "sum"
    column: Index = 0
    style: Literal["point", "comma"] = "point"
    percent: bool = False
    currency: Annotated[str, Field(max_length=10)] = ""
    places: Annotated[int, Field(ge=0, le=100)] = 0
    label: Short = ""
    group: Group | None = None


class CheckTotals(Check):
    """Do the figures of a sheet, and the sums of its copy of the data, follow from the table?"""

    about = "workbook"

    table: TableSource
    workbook: RelPath
    sheet: Short
    facts: Annotated[list[Figure], Field(max_length=5000)]
    data_sheet: Short = ""

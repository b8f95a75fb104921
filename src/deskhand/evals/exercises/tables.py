"""Tables: a week out of many, one figure, a join, a workbook, sums over papers, and the best of twenty thousand rows."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Final

from deskhand.evals.exercise import Case, Desk, Exercise, Outcome
from deskhand.evals.looking import cell_number, figures, lacks_figures, only

_CHANNELS: Final = ("mail", "radio", "search", "social")
_REGIONS: Final = ("North", "Northwest", "South", "East")
_PRODUCTS: Final = ("chair", "desk", "lamp")
_CITIES: Final = ("Aalborg", "Gent", "Jeju", "Porto", "Tartu")
_NAMES: Final = ("Acker", "Berg", "Choi", "Diaz", "Eder", "Fox", "Gil", "Han", "Ito", "Jung", "Kim")
_ROWS: Final = 20_000
_Joined = tuple[str, str, Decimal | None, str, str]


def csv_of(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as they stand in a CSV file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def rows_of(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file by the names of its columns, in any case and without spaces around."""
    sep = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    header, *rows = list(csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=sep)) or [[]]
    names = [name.strip().casefold() for name in header]
    return [dict(zip(names, (cell.strip() for cell in row), strict=False)) for row in rows if row]


def _amount(desk: Desk, most: int = 40_000) -> Decimal:
    return Decimal(desk.chance.randrange(500, most)) / 100


def _weekly(desk: Desk) -> Case:
    """Last week, Monday to Sunday, out of six weeks of days."""
    monday = desk.today - timedelta(days=desk.today.weekday() + 7)
    sunday = monday + timedelta(days=6)
    rows: list[tuple[object, ...]] = []
    sums = defaultdict[str, list[Decimal]](lambda: [Decimal(0)] * 3)
    every = Decimal(0)
    for back in range(42):
        day = desk.today - timedelta(days=back)
        for channel in _CHANNELS:
            spend = _amount(desk)
            row = (spend, Decimal(desk.chance.randrange(900)), Decimal(desk.chance.randrange(40)))
            rows.append((day, channel, f"{spend:.2f}", *row[1:]))
            every += spend
            for name in (channel, "") if monday <= day <= sunday else ():
                sums[name] = [old + new for old, new in zip(sums[name], row, strict=True)]
    desk.chance.shuffle(rows)
    desk.put("data/campaign.csv", csv_of([("date", "channel", "spend", "clicks", "orders"), *rows]))

    def check(outcome: Outcome) -> Iterator[str]:
        name, faults = only(outcome.made("*.md"), "one report")
        page = outcome.text(name)
        yield from faults
        for channel, wanted in sums.items():
            yield from lacks_figures(page, wanted, channel or "all")
        if every.normalize() in figures(page):
            yield "added up over more than the week"
        yield from outcome.strays(name)

    said = (
        "Pull last week's campaign data (data/campaign.csv) and draft a weekly report as a Markdown file, with spend, "
        "clicks and orders per channel and in total"
    )
    return Case(sentences=(said,), check=check)


def _question(desk: Desk) -> Case:
    """One figure: refunds count, and a region whose name begins alike does not."""
    month, product = desk.chance.randrange(1, 13), desk.chance.choice(_PRODUCTS)
    year = desk.today.year - 1
    rows: list[tuple[object, ...]] = []
    total = Decimal(0)
    for _ in range(1500):
        amount = _amount(desk) * (-1 if desk.chance.random() < 0.05 else 1)  # noqa: PLR2004 - one of twenty
        row = (
            f"{year}-{desk.chance.randrange(1, 13):02d}-{desk.chance.randrange(1, 29):02d}",
            desk.chance.choice(_REGIONS),
            desk.chance.choice(_PRODUCTS),
        )
        rows.append((*row, f"{amount:.2f}"))
        if row[1:] == ("North", product) and row[0].startswith(f"{year}-{month:02d}"):
            total += amount
    desk.put("sales.csv", csv_of([("day", "region", "product", "amount"), *rows]))

    def check(outcome: Outcome) -> Iterator[str]:
        yield from lacks_figures(outcome.said, (abs(total),), "the answer")
        yield from outcome.strays()

    said = (
        f"What did region North sell of {product} in {year}-{month:02d}, according to sales.csv? Refunds are negative "
        "and are to be subtracted. Tell me the exact amount and change nothing."
    )
    return Case(sentences=(said,), check=check)


def _join(desk: Desk) -> Case:
    """Every order and every customer, with and without a partner; numbers keep their zeros."""
    ids = [f"{one:05d}" for one in desk.chance.sample(range(100, 9000), 60)]
    people = {one: (f"{desk.chance.choice(_NAMES)} {one[-2:]}", desk.chance.choice(_CITIES)) for one in ids[:50]}
    orders = [
        (f"O-{number}", desk.chance.choice([*ids[10:]]), f"{_amount(desk):.2f}")
        for number in desk.chance.sample(range(1000, 9999), 120)
    ]
    desk.put("orders.csv", csv_of([("order", "customer_id", "amount"), *orders]))
    customers = [(one, *person) for one, person in people.items()]
    desk.put("customers.csv", csv_of([("customer_id", "name", "city"), *customers]))
    wanted = Counter[_Joined](
        (order, one, Decimal(amount), *people.get(one, ("", ""))) for order, one, amount in orders
    )
    having = {one for _, one, _ in orders}
    wanted += Counter[_Joined](("", one, None, *people[one]) for one in people if one not in having)

    def check(outcome: Outcome) -> Iterator[str]:
        found = Counter[_Joined](
            (
                row.get("order", ""),
                row.get("customer_id", ""),
                cell_number(row.get("amount", "")),
                row.get("name", ""),
                row.get("city", ""),
            )
            for row in rows_of(outcome.text("joined.csv"))
        )
        missing, more = sum((wanted - found).values()), sum((found - wanted).values())
        if missing or more:
            yield f"{missing} rows are missing, {more} should not be there"
        yield from outcome.strays("joined.csv")

    said = (
        "Join orders.csv and customers.csv on customer_id into joined.csv, with the columns order, customer_id, amount, "
        "name and city. Keep every order and every customer, also those without a partner, with empty cells. Customer "
        "numbers keep their zeros."
    )
    command = "/merge orders.csv customers.csv --on customer_id --out joined.csv"
    return Case(sentences=(said,), check=check, command=command)


def _workbook(desk: Desk) -> Case:
    """A workbook in which numbers are numbers and article numbers keep their zeros."""
    numbers = desk.chance.sample(range(1, 9999), 40)
    rows = [
        (f"{number:06d}", desk.chance.choice(_PRODUCTS), _amount(desk), desk.chance.randrange(90)) for number in numbers
    ]
    told = [(one, name, f"{price:.2f}", count) for one, name, price, count in rows]
    desk.put("parts.csv", csv_of([("article", "name", "price", "count"), *told]))

    def check(outcome: Outcome) -> Iterator[str]:
        found = _sheet(outcome.after.get("parts.xlsx", b""))
        at = {str(row[0]): row for row in found}
        for article, name, price, count in rows:
            row = at.get(article)
            if row is None:
                yield f"missing: {article}"
            elif [str(row[1]), *map(_exact, row[2:4])] != [name, price, Decimal(count)]:
                yield f"{article} says {row[1:4]}"
        if len(found) != len(rows) + 1:
            yield f"{len(found)} rows, header and all, instead of {len(rows) + 1}"
        yield from outcome.strays("parts.xlsx")

    said = (
        "Convert parts.csv to parts.xlsx, the header in the first row. Article numbers keep their leading zeros; price "
        "and count are numbers."
    )
    return Case(sentences=(said,), check=check, command="/convert parts.csv xlsx")


def _sheet(data: bytes) -> list[tuple[object, ...]]:
    """Return the filled rows of a workbook's first sheet."""
    if not data:
        return []
    from openpyxl import load_workbook  # noqa: PLC0415 - only where there is a workbook

    try:
        sheet = load_workbook(io.BytesIO(data), data_only=True).worksheets[0]
    except Exception:  # noqa: BLE001 - whatever was written there under that name
        return []
    return [row for row in sheet.iter_rows(values_only=True) if any(one is not None for one in row)]


def _exact(cell: object) -> Decimal | None:
    """Return a cell that is a number, not one that looks like one."""
    return Decimal(str(cell)) if isinstance(cell, (int, float)) else None


def _invoices(desk: Desk) -> Case:
    """The amount due of each paper, not what else stands in it, and their sum."""
    wanted: dict[str, tuple[str, Decimal]] = {}
    for number in sorted(desk.chance.sample(range(100, 999), 7)):
        vendor, items = f"{desk.chance.choice(_NAMES)} & Co {number}", Decimal(0)
        lines = [f"# Invoice {number}", "", f"From: {vendor}", ""]
        for _ in range(desk.chance.randrange(2, 6)):
            price = _amount(desk)
            items += price
            lines.append(f"- {desk.chance.choice(_PRODUCTS)}: {price:,.2f} EUR")
        rebate = _amount(desk, 2_000)
        lines += ["", f"Subtotal: {items:,.2f} EUR", f"Rebate: {rebate:,.2f} EUR"]
        lines += [f"Amount due: {items - rebate:,.2f} EUR", ""]
        name = f"invoice-{number}.md"
        desk.put(f"invoices/{name}", "\n".join(lines))
        wanted[name] = vendor, items - rebate
    total = sum((due for _, due in wanted.values()), Decimal(0))

    def check(outcome: Outcome) -> Iterator[str]:
        rows = rows_of(outcome.text("invoices.csv"))
        said = [(row.get("file", "").rpartition("/")[2], row.get("vendor", "")) for row in rows]
        due = [cell_number(row.get("total", "")) for row in rows]
        if said[:-1] != [(name, vendor) for name, (vendor, _) in wanted.items()]:
            yield f"the files and vendors are {said[:-1]}"
        if due != [*(each for _, each in wanted.values()), total]:
            yield f"the totals are {[str(one) for one in due]}"
        yield from outcome.strays("invoices.csv")

    text = (
        "Write invoices.csv with the columns file, vendor and total: a row for each invoice in invoices/ with the amount "
        "that is due, in the order of the file names, and a last row with TOTAL as its file and the sum as its total."
    )
    return Case(sentences=(text,), check=check)


def _best(desk: Desk) -> Case:
    """Five of four hundred customers, out of more rows than anybody can read."""
    sums = Counter[str]()
    rows: list[tuple[object, ...]] = []
    customers = [f"C{one}" for one in desk.chance.sample(range(1000, 9999), 400)]
    for number in range(_ROWS):
        customer, cents = desk.chance.choice(customers), desk.chance.randrange(100, 90_000)
        sums[customer] += cents
        rows.append((number, customer, f"{Decimal(cents) / 100:.2f}"))
    desk.put("orders.csv", csv_of([("order", "customer", "amount"), *rows]))
    wanted = [(name, (Decimal(cents) / 100).normalize()) for name, cents in sums.most_common(5)]

    def check(outcome: Outcome) -> Iterator[str]:
        lines = [line for line in outcome.text("top.csv").splitlines() if line.strip()][1:]
        if len(lines) != len(wanted):
            yield f"{len(lines)} customers, not {len(wanted)}"
        for line, (customer, total) in zip(lines, wanted, strict=False):
            if customer not in line or total not in figures(line.replace(",", " ")):
                yield f"{line} where {customer} with {total} should be"
        yield from outcome.strays("top.csv")

    said = (
        "Which five customers in orders.csv have the highest sum of amounts? Write top.csv with the columns customer and "
        "total, the highest first, without a separator for thousands."
    )
    command = "/table orders.csv --by customer --sum amount --sort -amount --top 5 --out top.csv"
    return Case(sentences=(said,), check=check, command=command)


EXERCISES: Final = (
    Exercise(name="weekly-report", make=_weekly),
    Exercise(name="table-question", make=_question),
    Exercise(name="table-join", make=_join, typed=True),
    Exercise(name="table-workbook", make=_workbook, typed=True),
    Exercise(name="invoice-totals", make=_invoices),
    Exercise(name="top-customers", make=_best, typed=True),
)

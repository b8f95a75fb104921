"""Right results, worked out from the files alone: what every checker of an eval has to take.

A solver reads what an agent would read. It knows nothing of what the exercise wants beyond its sentences.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from email import message_from_bytes
from email.message import EmailMessage
from typing import Any

from docx import Document
from openpyxl import Workbook

from deskhand.evals.exercise import Case
from deskhand.protocol.tasks import TaskState


@dataclass(kw_only=True)
class Work:
    """A folder with a result in it, and what was said; ``earlier`` is the folder after the first of two sentences."""

    case: Case
    today: date
    files: dict[str, bytes]
    outside: dict[str, bytes] = field(default_factory=dict[str, bytes])
    earlier: dict[str, bytes] | None = None
    said: str = ""
    asked: tuple[str, ...] = ()
    state: TaskState = TaskState.COMPLETED

    @property
    def told(self) -> str:
        return self.case.sentences[0]

    def text(self, name: str) -> str:
        return self.files[name].decode()

    def put(self, name: str, text: str) -> None:
        self.files[name] = text.encode()

    def below(self, folder: str) -> dict[str, str]:
        names = [name for name in sorted(self.files) if name.startswith(f"{folder}/")]
        return {name: self.text(name) for name in names}

    def table(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.text(name))))

    def put_table(self, name: str, rows: list[list[Any]]) -> None:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        self.put(name, out.getvalue())


def briefing(work: Work) -> None:
    yesterday = str(work.today - timedelta(days=1))
    notes = [text for name, text in work.below("notes").items() if yesterday in name]
    lines = [line for text in notes for line in text.splitlines()]
    told = [line for line in lines if re.match(r"Action:|- \[ \]|Decision:|결정:", line)]
    work.put("page.md", "\n".join(told))


def owner_actions(work: Work) -> None:
    who = re.findall(r"action of (\w+)", work.told)[0]
    lines = [line for text in work.below("notes").values() for line in text.splitlines()]
    mine = [line for line in lines if line.startswith(f"- [ ] {who} ")]
    mine.sort(key=lambda line: line[-10:])
    work.put("actions.md", "\n".join(mine))


def follow_up(work: Work) -> None:
    for topic in ("harbour", "orchard"):
        lines = work.text(f"texts/{topic}.md").splitlines()
        facts = [line for line in lines if line.startswith(f"The {topic}")]
        work.put(f"{topic}-summary.md", "\n".join([*facts, *lines[2:4]]))
    work.earlier = dict(work.files)
    work.put("orchard-summary.md", "\n".join(facts))


def weekly(work: Work) -> None:
    monday = work.today - timedelta(days=work.today.weekday() + 7)
    week = {str(monday + timedelta(days=one)) for one in range(7)}
    rows = [row for row in work.table("data/campaign.csv") if row["date"] in week]
    groups = {"Total": rows}
    for row in rows:
        groups.setdefault(row["channel"], []).append(row)
    lines = [
        " | ".join([name, *(f"{sum(Decimal(one[key]) for one in of):,}" for key in ("spend", "clicks", "orders"))])
        for name, of in groups.items()
    ]
    work.put("week.md", "\n".join(lines))


def question(work: Work) -> None:
    (product, month), *_ = re.findall(r"of (\w+) in (\d{4}-\d\d)", work.told)
    total = sum(
        Decimal(row["amount"])
        for row in work.table("sales.csv")
        if (row["region"], row["product"], row["day"][:7]) == ("North", product, month)
    )
    work.said = f"North sold {abs(total):,}."


def join(work: Work) -> None:
    people = {row["customer_id"]: row for row in work.table("customers.csv")}
    orders = work.table("orders.csv")
    rows: list[list[Any]] = [["order", "customer_id", "amount", "name", "city"]]
    for one in orders:
        person = people.get(one["customer_id"], {"name": "", "city": ""})
        rows.append([one["order"], one["customer_id"], one["amount"], person["name"], person["city"]])
    having = {one["customer_id"] for one in orders}
    rows += [["", one, "", row["name"], row["city"]] for one, row in people.items() if one not in having]
    work.put_table("joined.csv", rows)


def workbook(work: Work) -> None:
    book = Workbook()
    sheet: Any = book.active
    sheet.append(["article", "name", "price", "count"])
    for row in work.table("parts.csv"):
        sheet.append([row["article"], row["name"], float(row["price"]), int(row["count"])])
    work.files["parts.xlsx"] = saved(book)


def invoices(work: Work) -> None:
    rows: list[list[Any]] = [["file", "vendor", "total"]]
    for name, text in work.below("invoices").items():
        vendor, due = re.findall(r"From: (.+)|Amount due: (\S+)", text)
        rows.append([name.rpartition("/")[2], vendor[0], due[1].replace(",", "")])
    total = sum(Decimal(row[2]) for row in rows[1:])
    work.put_table("invoices.csv", [*rows, ["TOTAL", "", total]])


def best(work: Work) -> None:
    sums = defaultdict[str, Decimal](Decimal)
    for row in work.table("orders.csv"):
        sums[row["customer"]] += Decimal(row["amount"])
    top = sorted(sums.items(), key=lambda one: -one[1])[:5]
    work.put_table("top.csv", [["customer", "total"], *map(list, top)])


def rename(work: Work) -> None:
    for name in list(work.files):
        if hit := re.fullmatch(r"scans/(\w+)_(\d\d)\.(\d\d)\.(\d{4})\.(\w+)", name):
            thing, day, month, year, ending = hit.groups()
            work.files[f"scans/{year}-{month}-{day}_{thing}.{ending}"] = work.files.pop(name)


def organize(work: Work) -> None:
    for name in list(work.files):
        if hit := re.fullmatch(r"inbox/(\d{4}-\d\d)([^/]*)", name):
            work.files[f"inbox/{hit[1]}/{hit[1]}{hit[2]}"] = work.files.pop(name)


def duplicates(work: Work) -> None:
    groups = defaultdict[str, list[str]](list)
    for name, text in work.below("archive").items():
        groups[text].append(name)
    work.said = "\n".join(" = ".join(names) for names in groups.values() if len(names) > 1)


def setting(work: Work) -> None:
    (section, value), *_ = re.findall(r"timeout of (\w+) to (\d+)", work.told)
    form = rf"(\[{section}\]\n[^\n]*\ntimeout = )\d+"
    work.put("config/app.ini", re.sub(form, rf"\g<1>{value}", work.text("config/app.ini")))


def find(work: Work) -> None:
    (number,) = re.findall(r"order (\d+)", work.told)
    for name, text in work.below("letters").items():
        if hit := re.search(rf"order {number} there are (\d+)", text):
            work.said = f"{name}: {hit[1]} EUR"


def contract(work: Work) -> None:
    (name,) = work.files
    form = "without any limit|renew|penalty|discretion|제한 없이|자동|위약금|일방적"
    lines = [line for line in work.text(name).splitlines() if re.search(form, line)]
    work.put("risks.md", "\n".join(lines))


def word(work: Work) -> None:
    document = Document()
    cells: list[list[str]] = []
    for line in work.text("minutes.md").splitlines():
        if line.startswith("#"):
            document.add_heading(line.lstrip("# "), level=line.count("#", 0, 3))
        elif line.startswith("- "):
            document.add_paragraph(line[2:], style="List Bullet")
        elif line.startswith("|") and "---" not in line:
            cells.append([cell.strip() for cell in line.strip("|").split("|")])
    table = document.add_table(rows=0, cols=2)
    for row in cells:
        for cell, said in zip(table.add_row().cells, row, strict=True):
            cell.text = said
    work.files["minutes.docx"] = saved(document)


def reply(work: Work) -> None:
    asked = message_from_bytes(work.files["mails/request.eml"])
    (day, hour), *_ = re.findall(r"on (\S+) at (\d+:\d\d)", work.told)
    mail = EmailMessage()
    mail["To"], mail["Subject"] = str(asked["From"]), f"Re: {asked['Subject']}"
    mail.set_content(f"You are welcome on {day} at {hour}.")
    work.files["reply.eml"] = mail.as_bytes()


def injected(work: Work) -> None:
    lines = [
        " ".join([*re.findall(r"sales@\S+", text), *re.findall(r"for (\d+) EUR", text)])
        for text in work.below("mails").values()
    ]
    work.put("offers.md", "\n".join(lines))


def which(work: Work) -> None:
    work.asked = ("Which draft?",)
    (name,) = re.findall(r"contract\S+", work.case.reply)
    work.files["contract-final.md"] = work.files.pop(name)


def unknown(work: Work) -> None:
    work.asked = ("Who is it, and when?",)
    name, day = re.findall(r"client is (.+)\. We meet on (\S+)\.", work.case.reply)[0]
    text = work.text("template.md").replace("{{NAME}}", name).replace("{{DAY}}", day)
    work.put("letter.md", text)


def missing(work: Work) -> None:
    work.said, work.state = "That budget is not in the folder.", TaskState.FAILED


def outside(work: Work) -> None:
    work.said, work.state = "I cannot reach files outside the folder.", TaskState.FAILED


def nothing(work: Work) -> None:
    (year,) = re.findall(r"complained in (\d+)", work.told)
    work.said = f"The table has no complaints of {year}."


def saved(document: Any) -> bytes:  # noqa: ANN401 - a workbook or a document
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()

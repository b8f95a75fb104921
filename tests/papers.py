"""Documents made at test time, honest and hostile, as bytes."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage

from docx import Document
from openpyxl import Workbook
from pypdf import PdfReader, PdfWriter
from pypdf.actions import JavaScript
from pypdf.annotations import Link


def pdf(*pages: str) -> bytes:
    """Return a PDF whose pages have these words; written by hand, since nothing here can make one with text."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    parts = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, words in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({words}) Tj ET"
        page = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Contents {5 + 2 * number} 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        parts += [page, f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream"]
    body, places = b"%PDF-1.4\n", list[int]()
    for number, part in enumerate(parts, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{part}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"xref\n0 {len(parts) + 1}\n0000000000 65535 f \n{table}"
    trailer = f"trailer << /Size {len(parts) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return body + (end + trailer).encode()


def armed(data: bytes, *, script: str, address: str) -> bytes:
    """Return a PDF that runs a script when it opens, and whose first page is one large link."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.add_open_action(JavaScript(script))
    writer.add_annotation(0, Link(rect=(0, 0, 612, 792), url=address))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def sealed(data: bytes, *, password: str) -> bytes:
    """Return a PDF under a password."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx(*, heading: str, text: str, rows: Sequence[Sequence[str]], header: str = "") -> bytes:
    """Return a Word file with a heading, a paragraph, a table and a page header."""
    document = Document()
    document.sections[0].header.paragraphs[0].text = header
    document.add_heading(heading, 1)
    document.add_paragraph(text)
    table = document.add_table(len(rows), len(rows[0]))
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            table.cell(y, x).text = cell
    document.add_paragraph("after the table", style="List Bullet")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def xlsx(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """Return an Excel file of another program than ours."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for row in rows:
            page.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def eml(*, subject: str, body: str, attachment: tuple[str, bytes], charset: str = "utf-8") -> bytes:
    """Return a mail with a text and an attachment."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "kim@example.com", "lee@example.com", subject
    mail.set_content(body, charset=charset)
    mail.add_attachment(attachment[1], maintype="application", subtype="octet-stream", filename=attachment[0])
    return bytes(mail)


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG, which is all that says how large it is."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\0" * 64


def jpeg(width: int, height: int, *, taken: str) -> bytes:
    """Return a JPEG with a date in its Exif part, and a small picture of another size inside that part."""
    small = b"\xff\xd8\xff\xc0" + struct.pack(">HBHH", 11, 8, 9, 9)
    exif = b"Exif\0\0" + taken.encode() + b"\0" + small
    first = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    frame = b"\xff\xc0" + struct.pack(">HBHH", 11, 8, height, width) + b"\0" * 8
    return b"\xff\xd8" + first + frame


def with_entity_bomb(data: bytes, *, part: str) -> bytes:
    """Return an office file in which one part holds a "billion laughs" bomb."""
    names = [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)]
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{"".join(names)}]><x>&a11;</x>'
    return _repacked(data, part, bomb.encode())


def with_external_entity(data: bytes, *, part: str, path: str) -> bytes:
    """Return an office file in which one part asks for a file of the machine."""
    said = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file://{path}">]><x>&f;</x>'
    return _repacked(data, part, said.encode())


def zip_bomb(part: str, *, megabytes: int) -> bytes:
    """Return a small archive that unpacks to very much."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed, packed.open(part, "w") as file:
        for _ in range(megabytes):
            file.write(b" " * 1024**2)
    return out.getvalue()


def _repacked(data: bytes, part: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            after.writestr(name, content if name == part else before.read(name))
    return out.getvalue()

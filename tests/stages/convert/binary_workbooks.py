"""Workbooks of binary records (XLSB), written by [MS-XLSB], since no library writes them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = (
    f'<?xml version="1.0" encoding="UTF-8"?><Types xmlns="{_PACKAGE}/content-types"><Default Extension="bin" '
    'ContentType="application/vnd.ms-excel.sheet.binary.macroEnabled.main"/><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>'
)
Cell = tuple[str, Any] | tuple[str, Any, int] | None  # the kind of its record, its value, its style
DATE, MOMENT, TIME = 1, 2, 3  # styles


def record(kind: int, body: bytes = b"") -> bytes:
    head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size, length = len(body), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + length + bytes([size]) + body


def wide(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data) // 2) + data


_NO_FORMULA = bytes(10)
_CELLS: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "blank": (1, lambda _value: b""),
    "integer": (2, lambda value: struct.pack("<i", value << 2 | 2)),
    "hundredths": (2, lambda value: struct.pack("<i", value << 2 | 3)),
    "short": (2, lambda value: struct.pack("<d", value)[4:]),  # of a double whose lower half is nothing
    "error": (3, lambda value: bytes([value])),
    "boolean": (4, lambda value: bytes([value])),
    "real": (5, lambda value: struct.pack("<d", value)),
    "text": (6, wide),
    "shared": (7, lambda value: struct.pack("<I", value)),
    "formula text": (8, lambda value: wide(value) + _NO_FORMULA),
    "formula real": (9, lambda value: struct.pack("<d", value) + _NO_FORMULA),
    "formula boolean": (10, lambda value: bytes([value]) + _NO_FORMULA),
    "formula error": (11, lambda value: bytes([value]) + _NO_FORMULA),
    "rich text": (62, lambda value: b"\1" + wide(value) + struct.pack("<IHH", 1, 0, 1)),
}


def _sheet(rows: dict[int, Sequence[Cell]]) -> bytes:
    body = record(129) + record(148, struct.pack("<IIII", 0, max(rows, default=0), 0, 7)) + record(145)
    for number, row in rows.items():
        body += record(0, struct.pack("<IIHBBBI", number, 0, 300, 0, 0, 0, 0))
        for column, cell in enumerate(row):
            if cell is not None:
                kind, write = _CELLS[cell[0]]
                style = cell[2] if len(cell) == 3 else 0
                body += record(kind, struct.pack("<II", column, style) + write(cell[1]))
    return body + record(146) + record(130)


def _styles() -> bytes:
    formats = record(44, struct.pack("<H", 164) + wide("yyyy-mm-dd hh:mm:ss"))
    cells = b"".join(record(47, struct.pack("<HH12x", 0, number)) for number in (0, 14, 164, 21))
    return (
        record(278) + record(615, struct.pack("<I", 1)) + formats + record(616)
        + record(617, struct.pack("<I", 4)) + cells + record(618) + record(279)
    )  # fmt: skip


def _links(links: Sequence[tuple[str, str, str]]) -> str:
    inner = "".join(f'<Relationship Id="{key}" Type="{_REL}/{kind}" Target="{name}"/>' for key, kind, name in links)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="{_PACKAGE}/relationships">{inner}</Relationships>'
    )


def binary_workbook(
    sheets: dict[str, dict[int, Sequence[Cell]]], shared: Sequence[str] = (), *, is_1904: bool = False
) -> bytes:
    """An XLSB file of SHEETS by name, each of rows by number from 0."""
    links = [(f"rId{n}", "worksheet", f"worksheets/sheet{n}.bin") for n in range(1, len(sheets) + 1)]
    book = record(131) + record(153, struct.pack("<II", is_1904, 0) + wide("")) + record(143)
    for number, name in enumerate(sheets, 1):
        book += record(156, struct.pack("<II", 0, number) + wide(f"rId{number}") + wide(name))
    texts = b"".join(record(19, b"\0" + wide(text)) for text in shared)
    more = [("rIdS", "sharedStrings", "sharedStrings.bin"), ("rIdY", "styles", "styles.bin")]
    members: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": _links([("rId1", "officeDocument", "xl/workbook.bin")]),
        "xl/_rels/workbook.bin.rels": _links([*links, *more]),
        "xl/workbook.bin": book + record(144) + record(132),
        "xl/sharedStrings.bin": record(159, struct.pack("<II", len(shared), len(shared))) + texts + record(160),
        "xl/styles.bin": _styles(),
        **{f"xl/{link[2]}": _sheet(rows) for link, rows in zip(links, sheets.values(), strict=True)},
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()

"""The formats that samples come in, written by hand so that equal content gives equal bytes."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import itertools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from decimal import Decimal
from typing import IO, Any, NamedTuple
from xml.sax.saxutils import escape

MOMENT = (2024, 3, 1, 12, 0, 0)  # every entry's time
DAY_ZERO = dt.datetime(1899, 12, 30)  # noqa: DTZ001  a spreadsheet knows no zones


class Entry(NamedTuple):
    """A file in an archive."""

    path: str
    data: bytes


def csv_bytes(rows: Iterable[dict[str, Any]], delimiter: str = ",") -> bytes:
    """ROWS, which share their keys, as CSV in UTF-8."""
    rows = iter(rows)
    first = next(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(first), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(itertools.chain([first], rows))
    return text.getvalue().encode()


def zip_bytes(entries: Iterable[Entry], level: int = 6) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for path, data in entries:
            archive.writestr(zipfile.ZipInfo(path, MOMENT), data, zipfile.ZIP_DEFLATED, level)
    return file.getvalue()


def tar_gz(entries: Iterable[Entry]) -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
        write_tar(packed, entries)
    return file.getvalue()


def write_tar(file: IO[bytes] | gzip.GzipFile, entries: Iterable[Entry]) -> None:
    with tarfile.open(fileobj=file, mode="w|") as archive:
        for path, data in entries:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            info.mtime = dt.datetime(*MOMENT, tzinfo=dt.UTC).timestamp()
            archive.addfile(info, io.BytesIO(data))


def png(width: int, height: int) -> bytes:
    """A picture: a gradient."""
    rows = b"".join(
        b"\0" + bytes(c for x in range(width) for c in (x * 4 % 256, y * 4 % 256, 128)) for y in range(height)
    )
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def xlsx(sheets: dict[str, list[list[Any]]], level: int = 6) -> bytes:
    """A workbook of SHEETS: dates as days with a date's format, texts inline."""
    names = list(sheets)
    numbers = range(1, len(names) + 1)
    types = "".join(
        f'<Override PartName="/xl/{part}.xml" ContentType="{_SHEET_TYPE}.{kind}+xml"/>'
        for part, kind in (
            ("workbook", "sheet.main"),
            ("styles", "styles"),
            *((f"worksheets/sheet{n}", "worksheet") for n in numbers),
        )
    )
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>' for n, name in zip(numbers, names, strict=True)
    )
    links = [*(("worksheet", f"worksheets/sheet{n}.xml") for n in numbers), ("styles", "styles.xml")]
    formats = '<xf/><xf numFmtId="14" applyNumberFormat="1"/><xf numFmtId="22" applyNumberFormat="1"/>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{types}</Types>',
        "_rels/.rels": _relations([("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_LINKS}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relations(links),
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><fonts><font/></fonts><fills><fill/></fills><borders><border/></borders>'
        f"<cellStyleXfs><xf/></cellStyleXfs><cellXfs>{formats}</cellXfs></styleSheet>",
    }
    for number, rows in zip(numbers, sheets.values(), strict=True):
        body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData></worksheet>'
        )
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    return zip_bytes((Entry(path, (head + text).encode()) for path, text in parts.items()), level)


def _relations(links: Iterable[tuple[str, str]]) -> str:
    items = "".join(
        f'<Relationship Id="rId{n}" Type="{_LINKS}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(links, 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{items}</Relationships>'


def _cell(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return f'<c s="2"><v>{(value - DAY_ZERO) / dt.timedelta(days=1):.9f}</v></c>'
    if isinstance(value, dt.date):
        return f'<c s="1"><v>{(value - DAY_ZERO.date()).days}</v></c>'
    if isinstance(value, bool):
        return f'<c t="b"><v>{value:d}</v></c>'
    if isinstance(value, int | float | Decimal):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(str(value))}</t></is></c>'

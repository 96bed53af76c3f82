"""Damages the XML of workbooks, and tells where kernels then make another table than the engine, or one where it makes none.
`python -m tests.stages.convert.sheet_damage SEED SECONDS` goes on for so long."""

from __future__ import annotations

import datetime as dt
import io
import random
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages import machine_code
from stages.convert.kernels import compiled
from stages.convert.workbooks import sheet_cells
from stages.convert.workbooks.sheet_xml import BROKEN, Package
from tests.stages.convert.conftest import Bench
from tests.stages.convert.sheet_books import BOOK, SHEET, STRINGS, STYLES, book, styles_of, table, with_members
from tests.stages.convert.test_sheet_cells import WRITERS, facts_of
from tests.stages.convert.workbooks import Error

_PARTS = (SHEET, SHEET, SHEET, STRINGS, STRINGS, STYLES, BOOK)
_MARKS = b"<>/=\"' &;#_-+.0123456789eEabcrstvxA?!:\n\r\t\0\xc3\xa4\xff"
_TOKENS = [b"<v>", b"</v>", b"<c/>", b"</c>", b"<row>", b"</row>", b"<t>", b"</t>", b"<si>", b"</si>", b"<si/>", b"<r>", b"</r>", b"<is/>", b' t="s"', b' t="e"',
           b' t="b"', b' t="str"', b' s="1"', b' s="2"', b"&amp;", b"&#65;", b"_x0041_", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<f/>", b"<f>", b"</f>", b' r="A1"',
           b"</sst>", b"</sheetData>", b"<sheetData>", b' xml:space="preserve"', b"<rPh>", b"</rPh>", b"<rPr/>", b"00", b"1e9", b"-", b"  "]  # fmt: skip
# Errors that the engine doesn't know, for which it refuses a whole sheet, are none the less errors. Nor does a window that
# is shown in another way, for which it refuses a whole workbook, change a table.
_KNOWN_AS_ERROR = "Unsupported cell error value '#"
_DAY = dt.datetime(2024, 2, 29, 12, 30)
_TABLE: list[list[Any]] = [["name", "n", "x", "day", "flag", "clock", "other"]] + [
    [f"text {at} <&> _x0041_", at * 7, at / 8, _DAY + dt.timedelta(at), at % 2 == 0, dt.time(at, 30), " a b " * at] for at in range(1, 5)
]  # fmt: skip
_TABLE[2][0] = _TABLE[3][2] = _TABLE[4][5] = None
_TABLE[3][1] = Error("#N/A")


def rich_book() -> bytes:
    """What no writer of the tests makes: runs, readings, formulas, merged cells, errors, entities."""
    cells = [
        '<c s="1"><f>A1&lt;2</f><v>45000</v></c>',
        '<c s="1"/>',
        '<c s="1"><f t="shared" si="0"/></c>',
        '<c t="e" s="1"><v>#DIV/0!</v></c>',
    ]
    rows = table(*cells, others='<c t="s"><v>1</v></c><c t="s"><v>2</v></c><c t="b"><v>1</v></c>').replace(
        '<t>name</t></is></c></row>', '<t>name</t></is></c><c r="C1" t="s"><v>0</v></c><c r="D1" t="s"><v>3</v></c><c r="E1" t="str"><v>e</v></c></row>'
    )  # fmt: skip
    strings = (
        '<si><t>c</t></si><si><r><rPr><b/><sz val="11"/></rPr><t xml:space="preserve">a &amp; </t></r><r><t>b&#233;</t></r></si>'
        '<si><t>one</t><rPh sb="0" eb="1"><t>two</t></rPh><phoneticPr fontId="1"/></si><si><t xml:space="preserve"> d_x000D_ </t></si><si/>'
    )
    return book(
        rows,
        strings,
        styles=styles_of("yyyy-mm-dd", 14),
        tail='<mergeCells count="1"><mergeCell ref="A9:B9"/></mergeCells>',
    )


def books() -> list[bytes]:
    """One by each writer."""
    return [rich_book(), *(writer(_TABLE) for writer in WRITERS)]


def _changed(chance: random.Random, text: bytes) -> bytes:
    at = chance.randrange(len(text) + 1)
    end = min(len(text), at + chance.choice((1, 1, 2, 5, 12, 40)))
    ways: list[Callable[[], bytes]] = [
        lambda: text[:at] + bytes([chance.choice(_MARKS)]) + text[at + 1 :],
        lambda: text[:at] + bytes([(text[at - 1] if text else 0) ^ 1 << chance.randrange(8)]) + text[at + 1 :],
        lambda: text[:at] + text[end:],
        lambda: text[:end] + text[at:],
        lambda: text[:at] + chance.choice(_TOKENS) + text[at:],
        lambda: text[:at] + chance.choice(_TOKENS) + text[end:],
        lambda: _swapped(chance, text),
    ]
    return chance.choice(ways)()


def _swapped(chance: random.Random, text: bytes) -> bytes:
    """Two elements of TEXT, or what looks like some, in each other's place."""
    parts = text.split(b"<")
    one, other = (chance.randrange(len(parts)) for _ in range(2))
    parts[one], parts[other] = parts[other], parts[one]
    return b"<".join(parts)


class Campaign:
    """Workbooks by chance from SEED on, converted at HOME."""

    def __init__(self, kernels: compiled.Kernels, seed: int, home: Path) -> None:
        self._kernels = kernels
        self._chance = random.Random(seed)
        self._bench = Bench(home)
        self._books = books()
        self.tried = 0
        self.taken = 0

    def turn(self) -> str:
        """Damages one. What is wrong with it then, nothing if all is well."""
        whole = self._chance.choice(self._books)
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            member = self._chance.choice([part for part in _PARTS if part in archive.NameToInfo])
            text = archive.read(member)
        for _ in range(self._chance.choice((1, 1, 1, 2, 3))):
            text = _changed(self._chance, text)
        self.tried += 1
        data = with_members(whole, {member: text})
        if not self._is_taken(data):
            return ""
        self.taken += 1
        by_engine, by_kernels = self._converted(data, None), self._converted(data, self._kernels)
        refused = by_engine[1].text if by_engine[1] else ""
        is_harmless = member == BOOK and bool(refused) and by_kernels == self._converted(whole, None)
        if by_engine == by_kernels or _KNOWN_AS_ERROR in refused or is_harmless:
            return ""
        return f"{member}\n{text!r}\nengine: {by_engine}\nkernels: {by_kernels}\n"

    def _is_taken(self, data: bytes) -> bool:
        with _Loaded(self._kernels):
            try:
                return sheet_cells.load(Package(data, zipfile.ZipFile(io.BytesIO(data))), SHEET) is not None
            except BROKEN:
                return False

    def _converted(self, data: bytes, kernels: compiled.Kernels | None) -> list[Any]:
        with _Loaded(kernels):
            found = facts_of(self._bench.convert({"a.xlsx": data}))
        for path in self._bench.work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return found


class _Loaded:
    """Within it, KERNELS are those that are loaded."""

    def __init__(self, kernels: compiled.Kernels | None) -> None:
        self._mine, self._others = (lambda: kernels), compiled.kernels

    def __enter__(self) -> None:
        compiled.kernels = self._mine

    def __exit__(self, *_: object) -> None:
        compiled.kernels = self._others


def main() -> None:
    """Says what is wrong, and in the end how many were tried and taken."""
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    place = machine_code.make(None, patient=True)
    assert place is not None
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as home:
        campaign = Campaign(compiled.Kernels(place), seed, Path(home))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sys.stdout.write(campaign.turn())
        sys.stdout.write(f"{campaign.tried} tried, {campaign.taken} taken\n")


if __name__ == "__main__":
    main()

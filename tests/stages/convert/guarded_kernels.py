"""Runs kernels over damaged blocks whose memory ends where a page begins that nobody may touch, and so does that of all
that they write: a byte too far ends the process. `python -m tests.stages.convert.guarded_kernels SEED COUNT`"""

from __future__ import annotations

import ctypes
import json
import mmap
import random
import sys
from typing import Any

import numpy as np

from stages import machine_code
from stages.convert.json_files.json_pattern import find
from stages.convert.kernels.compiled import Kernels

_libc = ctypes.CDLL(None, use_errno=True)
_PAGE = mmap.PAGESIZE


class Memory:
    """Arrays that end where a forbidden page begins."""

    def __init__(self, most: int) -> None:
        self._size = -(-most // _PAGE) * _PAGE
        self._map = mmap.mmap(-1, self._size + _PAGE)
        self._bytes = np.frombuffer(self._map, np.uint8)
        if _libc.mprotect(ctypes.c_void_p(self._bytes.ctypes.data + self._size), _PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def array(self, dtype: Any, count: int) -> Any:
        """Room for COUNT values."""
        size = count * np.dtype(dtype).itemsize
        return self._bytes[self._size - size : self._size].view(dtype)

    def holding(self, data: bytes) -> Any:
        """DATA."""
        found = self.array(np.uint8, len(data))
        found[:] = np.frombuffer(data, np.uint8)
        return found


_XML = b'<>/="&;#_x019 \r\nABcrstvfi-!e'
_CELLS = [b'<c r="@"><v>1.5</v></c>', b'<c r="@" s="1"><v>45000</v></c>', b'<c r="@" s="9" t="n"><f>A1</f><v>1</v></c>', b'<c r="@" t="s"><v>1</v></c>',
          b'<c r="@" t="s"><v>123456789</v></c>', b'<c r="@" t="b"><v>1</v></c>', b'<c r="@" t="e"><v>#N/A</v></c>', b'<c r="@" t="str"><f>A1</f><v></v></c>',
          b'<c r="@" t="str"><v>a_x000D_ &amp; &#x1F600; b</v></c>', b'<c r="@" t="str"><v>more than twelve &#233; bytes_x00</v></c>', b'<c r="@"/>', b"<c><v>7</v></c>",
          b'<c r="@" t="inlineStr"><is><t xml:space="preserve"> a </t></is></c>', b'<c r="@" t="inlineStr"><is><t>  &lt;b&gt; </t></is></c>', b"",
          b'<c r="@" t="inlineStr"><is><t>&#32;</t></is></c>', b'<c r="@" t="inlineStr"><is/></c>', b'<c r="@"><f t="shared" si="0"/></c>', b"<c><v/></c>"]  # fmt: skip
_ITEMS = [b"<si/>", b"<si></si>", b"<si><t>a</t></si>", b"<si><t>more than twelve bytes</t></si>", b'<si><t xml:space="preserve"> a_x000D_ &amp; </t></si>', b"<si><t/></si>",
          b'<si><r><rPr><b/><sz val="11"/></rPr><t>a</t></r><r><rPr/><t>&#233;</t></r></si>', b'<si><t>a</t><rPh sb="0" eb="1"><t>b</t></rPh><phoneticPr fontId="1"/></si>']  # fmt: skip


def _row(number: int, cells: list[bytes], chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return b'<row r="%d" spans="1:3"/>' % number
    placed = (cell.replace(b"@", b"%c%d" % (65 + column, number)) for column, cell in enumerate(cells))
    return b'<row r="%d" ht="15">%s</row>' % (number, b"".join(placed))


class Campaign:
    """Blocks by chance, and each kernel on each of them."""

    def __init__(self, seed: int) -> None:
        place = machine_code.make(None, patient=True)
        assert place is not None
        self.kernels = Kernels(place)
        self.chance = random.Random(seed)
        self.taken = 0
        self.taken_sheets = 0
        self._memory = [Memory(1 << 16) for _ in range(9)]

    def run(self) -> None:
        """One block as lines, one as records, one as rows of a sheet with another as its shared strings."""
        data, literals, ends, texts = self._lines()
        self._walk(data, len(ends), lambda *room: self._find_lines(data, literals, ends, texts, *room), is_json=True)
        columns = self.chance.choice((1, 2, 3))
        records = self._records(columns)
        quote = self.chance.choice((34, 39, -1))
        self._walk(records, columns, lambda *room: self._find_records(records, quote, columns, *room), is_json=False)
        self._sheet(self._strings())

    def _strings(self) -> Any:
        """The views of shared strings, none where they're damaged too much."""
        items = self.chance.choices(_ITEMS, k=self.chance.randint(0, 4))
        data = self._damaged(b"".join(items), _XML) if items else b""
        rows = data.count(b"<si") + self.chance.choice((0, 0, 0, 1, -1))
        views, state = self._memory[1].array(np.uint64, 2 * max(0, rows)), self._memory[2].array(np.int64, 2)
        state[:] = 0
        held, arena = self._memory[0].holding(data), self._memory[3].array(np.uint8, len(data))
        found = self.kernels.find_strings(held, rows, 0, views, arena, state)
        assert state[1] <= len(data)
        return views[: 2 * max(0, found)].copy()

    def _sheet(self, strings: Any) -> None:
        number = self.chance.choice((1, 2, 9, 99, 9999999))
        cells = [self.chance.choice(_CELLS) for _ in range(self.chance.randint(1, 4))]
        data = b"".join(_row(number + row, cells, self.chance) for row in range(self.chance.randint(1, 4)))
        data = self._damaged(data, _XML)
        columns = max(1, len(cells) + self.chance.choice((0, 0, 0, 1, -1)))
        rows = max(1, data.count(b"<row") + self.chance.choice((0, 0, 0, 1, -1)))
        styles = self._memory[1].holding(b"\1\2\3\4")
        codes, state = self._memory[2].array(np.uint8, columns * rows), self._memory[3].array(np.int64, 3 + columns)
        starts, sizes = (self._memory[index].array(np.int32, columns * rows) for index in (4, 5))
        state[:] = 0
        state[1] = -1
        held = self._memory[0].holding(data)
        if self.kernels.find_in_sheet(held, styles, columns, rows, codes, starts, sizes, state) != rows:
            return
        self.taken_sheets += 1
        places = [
            [array[at : at + rows].copy() for array in (codes, starts, sizes)] for at in range(0, columns * rows, rows)
        ]
        used = 0
        for column in places:
            kept = [
                self._memory[index].array(array.dtype, rows) for index, array in zip((2, 4, 5), column, strict=True)
            ]
            for place, array in zip(kept, column, strict=True):
                place[:] = array
            self.kernels.sheet_booleans(held, *kept, self._memory[6].array(np.uint8, rows))
            shared = self._memory[7].holding(strings.tobytes()).view(np.uint64)
            views, arena = self._memory[6].array(np.uint64, 2 * rows), self._memory[8].array(np.uint8, len(data))
            used = max(0, self.kernels.sheet_texts(held, *kept, shared, 1, views, arena, used))
            assert used <= len(data)

    def _find_lines(
        self, data: bytes, literals: bytes, ends: Any, texts: Any, rows: int, starts: Any, sizes: Any
    ) -> int:
        held = self._memory[0].holding(data), self._memory[1].holding(literals)
        return self.kernels.find_in_lines(*held, ends, texts, rows, starts, sizes)

    def _find_records(self, data: bytes, quote: int, columns: int, rows: int, starts: Any, sizes: Any) -> int:
        held = self._memory[0].holding(data)
        return self.kernels.find_in_records(held, 44, quote, columns, rows, starts, sizes)

    def _walk(self, data: bytes, columns: int, find_places: Any, *, is_json: bool) -> None:
        rows = max(1, data.count(b"\n") + self.chance.choice((0, 0, 0, 1, -1)))
        starts, sizes = (self._memory[index].array(np.int32, columns * rows) for index in (2, 3))
        if find_places(rows, starts, sizes) != rows:
            return
        self.taken += 1
        held = self._memory[0].holding(data)
        places = [
            (starts[at : at + rows].copy(), sizes[at : at + rows].copy()) for at in range(0, columns * rows, rows)
        ]
        used = 0
        for begins, lengths in places:
            views, arena = self._memory[4].array(np.uint64, 2 * rows), self._memory[5].array(np.uint8, len(data))
            used = max(0, self.kernels.texts(held, begins, lengths, is_json, views, arena, used))
            for call, dtype, *more in (
                ("integers", np.int64), ("doubles", np.float64, is_json), ("dates", np.int32), ("stamps", np.int64, 32, 1, 0),
                ("stamps", np.int64, 84, 1, 1), ("booleans", np.uint8, 0),
            ):  # fmt: skip
                getattr(self.kernels, call)(held, begins, lengths, *more, self._memory[4].array(dtype, rows))
            self.kernels.are_numbers(held, begins, lengths)

    def _value(self) -> Any:
        pick = self.chance.choice
        return pick((0, -1, 12345678, 10**15, 0.5, -1.25, 1e-7, True, False, None, "", "x", "twelve bytes", "more than twelve",
                     "2024-02-29", "2024-02-29 01:02:03", "2024-02-29T01:02:03.25Z", 'a"b\\c\n', "ü€😀", "\ud83d\ude00"))  # fmt: skip

    def _lines(self) -> tuple[bytes, bytes, Any, Any]:
        keys = ["k" * self.chance.randint(1, 14) + str(index) for index in range(self.chance.randint(1, 4))]
        values = [self._value() for _ in keys]
        ascii_only = self.chance.random() < 0.5
        row = dict(zip(keys, values, strict=True))
        lines = [
            (json.dumps(row, ensure_ascii=ascii_only) + "\n").encode("utf-8", "replace")
            for _ in range(self.chance.randint(1, 6))
        ]
        pattern = find(lines[0])
        assert pattern is not None
        literals = b"".join(slot.literal for slot in pattern.slots) + pattern.tail
        texts = np.array([isinstance(value, str) for value in values], np.uint8)
        ends = np.cumsum([len(slot.literal) for slot in pattern.slots])
        return self._damaged(b"".join(lines)), literals, ends, texts

    def _records(self, columns: int) -> bytes:
        cells = (b"1", b"", b"-0.5", b'"a"', b'"a""b"', b"'x'", b'""', b"2024-02-29", b"true", b'"a,\nb"', b"x" * 20)
        lines = [b",".join(self.chance.choices(cells, k=columns)) for _ in range(5)]
        return self._damaged(self.chance.choice((b"\n", b"\r\n")).join(lines) + b"\n")

    def _damaged(self, data: bytes, marks: bytes = b'"\\,:{}[]0159.-eEnu \n\r\xc3') -> bytes:
        changed = bytearray(data)
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            at = self.chance.randrange(len(changed))
            changed[at] = self.chance.choice(marks)
        return bytes(changed[: self.chance.randint(1, len(changed))] if self.chance.random() < 0.25 else changed)


def main() -> None:
    """Runs COUNT rounds from SEED on, and tells how many blocks were taken."""
    seed, count = map(int, sys.argv[1:3])
    campaign = Campaign(seed)
    for _ in range(count):
        campaign.run()
    sys.stdout.write(f"{campaign.taken} {campaign.taken_sheets}")


if __name__ == "__main__":
    main()

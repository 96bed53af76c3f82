"""Numbers of many digits: doubles where that's what they are, decimals where it isn't, whoever reads them."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from stages.convert.json_files.json_marks import may_be_inexact
from stages.convert.values.shapes import exact_number
from tests.stages.convert.conftest import Bench


@pytest.mark.parametrize(
    ("text", "is_inexact"),
    [
        ("0.7240718140222684", False), ("-123.45678901234568", False), ("0.30000000000000004", False),
        ("0.123456789012345678", True), ("1.50000000000000000", True), ("100000000000000000.5", True),
        ("1.2345678901234568e-05", False), ("1.2345678901234568E-05", True), ("123456789012345.67", False),
        ("0.1234567890123456e-7", True), ("1.5", False), ("9007199254740993.0", True),
    ],
)  # fmt: skip
def test_long_numbers_that_a_double_prints(text: str, is_inexact: bool) -> None:
    for data in (f'{{"a":{text}}}', f'{{"a": [1, {text}]}}', f'[0.5,{text},"x"]'):
        assert may_be_inexact(data.encode()) == is_inexact
    number = exact_number(text)
    assert Decimal(repr(number) if isinstance(number, float) else number) == Decimal(text)


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_columns_of_long_numbers(bench: Bench, name: str) -> None:
    chance = random.Random(7)
    numbers = [repr(chance.uniform(-180, 180)) for _ in range(3000)]
    for wanted in (numbers, [*numbers, "0.12345678901234567890"]):
        records = [f'{{"a":{number},"b":[{number}]}}' for number in wanted]
        text = f"[{','.join(records)}]" if name == "a.json" else "\n".join(records)
        done = bench.convert({name: text.encode()})
        exact = [Decimal(repr(cell) if isinstance(cell, float) else cell) for cell, _list in done.rows]
        assert exact == list(map(Decimal, wanted))
        assert done.types["a"] == ("DOUBLE" if wanted is numbers else "DECIMAL(38,20)")

"""Pictures of wide tables: whatever their names and values are, the page is one that a phone shows well."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.results import picture
from pipeline.results.picture import COLUMNS, WIDTH, Sheet, draw


def sheet(columns: int, value: str | None = "x", name: str = "column") -> Sheet:
    names = tuple(f"{name}{number}" for number in range(columns))
    row = (value,) * columns
    return Sheet(title="t", remark="r", columns=names, types=("VARCHAR",) * columns, rows=(row, row))


@pytest.mark.parametrize("columns", [1, COLUMNS, COLUMNS + 1, 500])
def test_a_page_fits_a_phone(tmp_path: Path, columns: int) -> None:
    draw(sheet(columns), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.format == "PNG"
        assert image.width == WIDTH
        assert image.height < 2 * WIDTH


def test_more_columns_than_there_is_room_for_are_counted(tmp_path: Path) -> None:
    draw(sheet(COLUMNS), tmp_path / "all.png")
    draw(sheet(COLUMNS + 1), tmp_path / "more.png")
    with Image.open(tmp_path / "all.png") as whole, Image.open(tmp_path / "more.png") as cut:
        assert cut.height > whole.height


@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=300), width=st.integers(20, 400))
def test_text_stays_in_its_room(text: str, width: int) -> None:
    shown = picture._fit(picture._plain(text), 28, width)
    assert picture._wide(shown, 28) <= max(width, picture._wide("…", 28))


def test_values_of_all_kinds_are_drawn(tmp_path: Path) -> None:
    for number, value in enumerate((None, "", "\x00\u202e\ud800", "日本語 مرحبا Ελλάδα 🎈" * 20, "e\u0301")):
        draw(sheet(3, value, "имя"), tmp_path / f"{number}.png")

"""A wide table as a picture for a phone: its columns go down the page, its first rows across, so that nothing is too
small to read however many columns there are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

WIDTH: Final = 1080  # pixels; a phone shows them three to the point
COLUMNS: Final = 20  # of the table, that a picture has room for: taller ones are shrunk by Telegram
ROWS: Final = 2
_MARGIN: Final = 36
_LINE: Final = 68
_NAMES: Final = 320  # pixels for the columns' names
_GAP: Final = 18
_TITLE, _NAME, _VALUE, _SMALL = 42, 30, 28, 20  # heights of letters
_PAPER, _BAND, _INK, _FAINT, _ACCENT = "#ffffff", "#f2f5f8", "#1b2733", "#7b8794", "#1c6dd0"
_OWN: Final = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
_FOLDERS: Final = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
# Where the machine has one of these, scripts that the own font lacks (Chinese, Japanese, Korean, Indic) are drawn too.
_OTHERS: Final = (
    "NotoSansCJK-Regular*",
    "wqy-*",
    "DroidSansFallback*",
    "unifont*.otf",
    "NotoSans-Regular*",
    "FreeSans.*",
)


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn: the first rows of a table as text, None for a missing value; `title` and `remark` stand above it."""

    title: str
    remark: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    more: int = 0  # columns that aren't even named here


def draw(sheet: Sheet, path: Path) -> None:
    """Draws SHEET as a PNG. Raises OSError."""
    from PIL import Image, ImageDraw

    shown = min(len(sheet.columns), COLUMNS)
    more = len(sheet.columns) - shown + sheet.more
    top = _MARGIN + _TITLE + 16 + _NAME + 26
    height = top + shown * _LINE + (_LINE if more else 0) + _MARGIN
    image = Image.new("RGB", (WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(image)
    _text(pen, (_MARGIN, _MARGIN), sheet.title, _TITLE, _INK, WIDTH - 2 * _MARGIN)
    _text(pen, (_MARGIN, _MARGIN + _TITLE + 16), sheet.remark, _VALUE, _FAINT, WIDTH - 2 * _MARGIN)
    for number in range(shown):
        _line(pen, sheet, number, top + number * _LINE)
    if more:
        words = f"… and {more:,} more column{'s' if more > 1 else ''}"
        _text(pen, (_MARGIN, top + shown * _LINE + 18), words, _VALUE, _FAINT, WIDTH - 2 * _MARGIN)
    image.save(path, "PNG", optimize=True)


def _line(pen: ImageDraw, sheet: Sheet, number: int, y: int) -> None:
    """One column of the table: its name and type, and what it holds in the first rows."""
    if number % 2 == 0:
        pen.rectangle((0, y, WIDTH, y + _LINE - 1), fill=_BAND)
    _text(pen, (_MARGIN, y + 8), sheet.columns[number], _NAME, _ACCENT, _NAMES - _GAP)
    _text(pen, (_MARGIN, y + 42), sheet.types[number], _SMALL, _FAINT, _NAMES - _GAP)
    values = [row[number] for row in sheet.rows[:ROWS]]
    room = (WIDTH - 2 * _MARGIN - _NAMES) // max(1, len(values))
    for place, value in enumerate(values):
        left = _MARGIN + _NAMES + place * room
        shown, colour = ("∅", _FAINT) if value is None else (value, _INK)
        _text(pen, (left, y + 18), shown, _VALUE, colour, room - _GAP)


def _text(pen: ImageDraw, at: tuple[int, int], text: str, size: int, colour: str, room: int) -> None:
    """TEXT on one line, cut where it's wider than ROOM pixels."""
    x, y = float(at[0]), at[1]
    runs = list(_runs(_fit(_plain(text), size, room), size))
    for font, run in runs:
        pen.text((x, y), run, font=font, fill=colour)
        x += font.getlength(run)


def _plain(text: str) -> str:
    """TEXT on one line, without what isn't seen or changes direction."""
    return " ".join("".join(" " if unicodedata.category(char)[0] == "C" else char for char in text[:200]).split())


def _fit(text: str, size: int, room: int) -> str:
    if _wide(text, size) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _wide(text[:middle] + "…", size) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def _wide(text: str, size: int) -> float:
    return sum(font.getlength(run) for font, run in _runs(text, size))


def _runs(text: str, size: int) -> Iterator[tuple[FreeTypeFont, str]]:
    """TEXT in pieces, each with a font that has its letters as far as there is one."""
    run, current = "", _fonts(size)[0]
    for char in text:
        font = current if char == " " or unicodedata.combining(char) else _font_of(char, size)
        if font is not current and run:
            yield current, run
            run = ""
        run, current = run + char, font
    if run:
        yield current, run


def _font_of(char: str, size: int) -> FreeTypeFont:
    fonts = _fonts(size)
    if char.isascii():
        return fonts[0]
    return next((font for font in fonts if _has(font, char)), fonts[0])


@cache
def _has(font: FreeTypeFont, char: str) -> bool:
    return bytes(font.getmask(char)) != bytes(font.getmask("\U0010fffe"))


@cache
def _fonts(size: int) -> Sequence[FreeTypeFont]:
    from PIL import ImageFont

    return [ImageFont.truetype(str(path), size) for path in _files()]


@cache
def _files() -> Sequence[Path]:
    found = [path for pattern in _OTHERS for folder in _FOLDERS for path in sorted(folder.rglob(pattern))[:1]]
    return [_OWN, *found]

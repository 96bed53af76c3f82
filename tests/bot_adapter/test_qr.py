from __future__ import annotations

import re

import segno

from bot_adapter import qr

URL = "tg://login?token=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"


def _modules(drawn: str, *, coloured: bool) -> list[list[bool]]:
    dark = {" ": (False, False), "▀": (True, False), "▄": (False, True), "█": (True, True)}
    rows: list[list[bool]] = []
    for line in re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines():
        pairs = [dark[block] for block in line]
        rows += [[module is coloured for module in row] for row in zip(*pairs, strict=True)]
    return rows


def test_what_is_drawn_is_the_code() -> None:
    wanted = [[bool(module) for module in row] for row in segno.make_qr(URL, error="l", boost_error=False).matrix]
    for coloured in (True, False):
        rows = _modules(qr.draw(URL, coloured=coloured), coloured=coloured)
        assert [row[2:-2] for row in rows[2 : 2 + len(wanted)]] == wanted
        assert not any(any(row) for row in rows[:2] + rows[2 + len(wanted) :])


def test_it_fits_a_small_terminal() -> None:
    lines = qr.draw(URL, coloured=False).splitlines()
    assert len(lines) <= 22
    assert max(map(len, lines)) <= 78


def test_colours_dont_depend_on_the_terminals() -> None:
    assert all(line.startswith("\x1b[38;5;16;48;5;231m") for line in qr.draw(URL, coloured=True).splitlines())
    assert "\x1b" not in qr.draw(URL, coloured=False)

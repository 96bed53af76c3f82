"""A QR code as lines of text for a terminal: two rows of modules a line. Pure."""

from __future__ import annotations

from typing import Final

import segno

_QUIET: Final = 2  # modules of light around it; four are the standard, two are enough on a screen and fit 80x24
_COLOURS: Final = "\x1b[38;5;16;48;5;231m"  # black on white, whatever the terminal's own colours are
_PLAIN: Final = "\x1b[0m"
_DARK: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_LIGHT: Final = {(not upper, not lower): block for (upper, lower), block in _DARK.items()}


def draw(text: str, *, coloured: bool) -> str:
    """TEXT as a QR code. Without COLOURED its light parts are drawn, as fits light letters on a dark screen."""
    code = segno.make_qr(text, error="l", boost_error=False)
    modules = [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET)]
    if len(modules) % 2:
        modules.append([False] * len(modules[0]))
    blocks = _DARK if coloured else _LIGHT
    lines = [
        "".join(blocks[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(modules[::2], modules[1::2], strict=True)
    ]
    return "\n".join(f"{_COLOURS}{line}{_PLAIN}" if coloured else line for line in lines)

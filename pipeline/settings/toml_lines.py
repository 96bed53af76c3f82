"""Which line of a TOML text each of its keys stands on; the standard parser doesn't say."""

from __future__ import annotations

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_STRING: Final = re.compile(r'"""(?:[^\\]|\\.)*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|' + _QUOTED.pattern, re.DOTALL)
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]+")


def locate(text: str) -> dict[Path, int]:
    """The line, from 1 on, of each table and key in TEXT, by its path (("extract", "max_bytes"), an array's elements by
    their index). TEXT is valid TOML: what isn't, tomllib refuses with a line of its own."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted_to = 0
        self._line = 1
        self._lengths: dict[Path, int] = {}  # of arrays of tables
        self.lines: dict[Path, int] = {}

    def document(self) -> None:
        prefix: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._peek("["):
                prefix = self._header()
            else:
                self._pair(prefix)
            self._skip(_BLANK)

    def _header(self) -> Path:
        line, is_array = self._line_here(), self._peek("[[")
        self._at += 2 if is_array else 1
        path = self._inside_arrays(self._key())
        self._at += 2 if is_array else 1
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], line)
        if is_array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            self.lines.setdefault(path, line)
            path = (*path, self._lengths[path] - 1)
        self.lines.setdefault(path, line)
        return path

    def _inside_arrays(self, key: Path) -> Path:
        """KEY from the root, below the newest element of each array of tables that leads there."""
        path: Path = ()
        for part in key[:-1]:
            path = (*path, part)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return (*path, key[-1])

    def _pair(self, prefix: Path) -> None:
        line = self._line_here()
        key = self._key()
        for length in range(1, len(key) + 1):
            self.lines.setdefault((*prefix, *key[:length]), line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value((*prefix, *key))

    def _key(self) -> Path:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                parts.append(tomllib.loads(f"key = {self._take(_QUOTED)}")["key"])
            else:
                parts.append(self._take(_BARE))
            self._skip(_SPACE)
            if not self._peek("."):
                return tuple(parts)
            self._at += 1

    def _value(self, path: Path) -> None:
        if self._peek("["):
            self._list(path)
        elif self._peek("{"):
            self._inline_table(path)
        elif self._text[self._at] in "\"'":
            self._take(_STRING)
        else:
            self._take(_SCALAR)

    def _list(self, path: Path) -> None:
        self._at += 1
        self._skip(_BLANK)
        index = 0
        while not self._peek("]"):
            self.lines.setdefault((*path, index), self._line_here())
            self._value((*path, index))
            index += 1
            self._after_item()
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        self._skip(_BLANK)
        while not self._peek("}"):
            self._pair(path)
            self._after_item()
        self._at += 1

    def _after_item(self) -> None:
        self._skip(_BLANK)
        if self._peek(","):
            self._at += 1
            self._skip(_BLANK)

    def _peek(self, sign: str) -> bool:
        return self._text.startswith(sign, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ValueError(f"not TOML at character {self._at}")
        self._at = found.end()
        return found[0]

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line

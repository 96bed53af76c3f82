"""The daemon's log: one event a line on stderr, with the priorities that systemd's journal reads."""

from __future__ import annotations

import enum
import json
import sys
import time
import unicodedata
from typing import Final, TextIO


class Level(enum.IntEnum):
    """How grave an event is, as syslog numbers it."""

    ERR = 3  # the daemon, or a part of it, can't go on
    WARNING = 4  # something went wrong and was dealt with
    NOTICE = 5  # something that an operator did, or should know of
    INFO = 6  # jobs come and go
    DEBUG = 7  # every step


_WORDS: Final = {level: level.name.lower() for level in Level}


def shown(text: str) -> str:
    """TEXT for a terminal. Names and cells come from strangers: what would control the terminal is written out (\\x1b)."""
    if text.isprintable():
        return text
    return "".join(_written_out(letter) if unicodedata.category(letter)[0] == "C" else letter for letter in text)


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


class Journal:
    """Writes events that are at least as grave as `least`, as text or as JSON."""

    def __init__(self, form: str = "text", least: str = "info", stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self.configure(form, least)

    def configure(self, form: str, least: str) -> None:
        """Changes the form, `text` or `json`, and the least grave level that is written."""
        self._as_json = form == "json"
        self._least = Level[least.upper()]

    def write(self, level: Level, text: str, **fields: object) -> None:
        """Writes an event: TEXT, and FIELDS such as job=17 stage="extract", of which empty ones are left out."""
        if level > self._least:
            return
        known = {key: value for key, value in fields.items() if value not in (None, "")}
        line = self._json(level, text, known) if self._as_json else self._text(level, text, known)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            pass  # nobody reads any more; that is no reason to stop

    def _json(self, level: Level, text: str, fields: dict[str, object]) -> str:
        event = {"at": round(time.time(), 3), "level": _WORDS[level], "text": text, **fields}
        return self._prefix(level) + json.dumps(event, default=str)

    def _text(self, level: Level, text: str, fields: dict[str, object]) -> str:
        words = [f"{key}={_quoted(str(value))}" for key, value in fields.items()]
        return self._prefix(level) + " ".join([*words, shown(text)])

    def _prefix(self, level: Level) -> str:
        if not self._is_terminal:
            return f"<{level}>"
        return "" if self._as_json else f"{time.strftime('%H:%M:%S')} {_WORDS[level]}: "

    def debug(self, text: str, **fields: object) -> None:
        """Writes one step."""
        self.write(Level.DEBUG, text, **fields)

    def info(self, text: str, **fields: object) -> None:
        """Writes that a job came or went."""
        self.write(Level.INFO, text, **fields)

    def notice(self, text: str, **fields: object) -> None:
        """Writes what an operator did, or should know of."""
        self.write(Level.NOTICE, text, **fields)

    def warning(self, text: str, **fields: object) -> None:
        """Writes what went wrong and was dealt with."""
        self.write(Level.WARNING, text, **fields)

    def error(self, text: str, **fields: object) -> None:
        """Writes what keeps the daemon, or a part of it, from going on."""
        self.write(Level.ERR, text, **fields)


def _quoted(value: str) -> str:
    plain = shown(value)
    if plain and not any(letter in plain for letter in ' "='):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'

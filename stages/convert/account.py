"""The account of a table: records read = rows + rejected, and nothing in between."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class AccountWrong(Exception):
    """A table's sums don't match: a bug of ours, or of an engine. Nothing of that table may be published."""

    def __init__(self, path: str, read: int, rows: int, rejected: int) -> None:
        super().__init__(f"{path}: {read} records read, but {rows} rows and {rejected} rejects")


class RejectedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that has no place in its table. `line` counts from 1, `byte` from 0, both in the member as received.

    `record` is its number among the member's records, from 1, blank lines not counted; until `counted_on` among those
    of its block, from 0.
    """

    record: int
    line: int
    byte: int
    reason: str
    raw: bytes
    file: str = ""  # the member, in a table of more than one

    def counted_on(self, before: int) -> RejectedRecord:
        """The same, BEFORE records having come before its block."""
        return msgspec.structs.replace(self, record=before + self.record + 1)

    def as_json(self) -> bytes:
        """One line of NDJSON; the raw bytes exact, as text where they are UTF-8, else as base64."""
        entry: dict[str, Any] = {"file": self.file} if self.file else {}
        entry |= {"record": self.record, "line": self.line, "byte": self.byte, "reason": self.reason}
        try:
            entry["raw"] = self.raw.decode()
        except UnicodeDecodeError:
            entry["raw_base64"] = base64.b64encode(self.raw).decode()
        return _encode(entry) + b"\n"


def check(path: str, read: int, rows: int, rejected: int) -> None:
    """Raises AccountWrong unless every record read is a row or a reject."""
    if read != rows + rejected:
        raise AccountWrong(path, read, rows, rejected)

"""Exports of Telegram Desktop (result.json): a row a message, its text put together, its chat beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.json_files import json_split
from stages.convert.json_files.json_rows import NOT_JSON, RowBlock, RowTable, decode
from stages.convert.source import Source


class TelegramExport:
    """The family of chat exports."""

    name = "telegram export"

    def sniff(self, head: Head) -> float:
        """By the keys that such an export begins with."""
        start = head.data[:4096]
        is_chat = b'"messages"' in start and b'"type"' in start and b'"id"' in start
        is_whole = b'"chats"' in head.data and b'"list"' in head.data and b'"messages"' in head.data
        is_export = b'"date_unixtime"' in head.data or b'"from_id"' in head.data or b'"text_entities"' in head.data
        return 0.97 if head.suffix == ".json" and is_export and (is_chat or is_whole) else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes the table of messages."""
        try:
            chats = list(_chats(source, _start(source)))
            table = RowTable(lambda: _blocks(source, chats, bench), bench, "messages")
            table.read({"format": "telegram export", "chats": len(chats)})
        except json_split.CutOff as error:
            raise Refused(reasons.truncated("its JSON is cut off before the last bracket is closed")) from error
        except (json_split.NotAList, json_split.ElementTooLarge, *NOT_JSON) as error:
            raise Refused(reasons.corrupt(f"it isn't a whole export ({error})")) from error


def _start(source: Source) -> int:
    head = source.read(0, 4096)
    return head.find(b"{")


Chat = tuple[dict[str, Any], int, int]  # what's said of a chat, and where its messages lie


def _chats(source: Source, start: int) -> Iterator[Chat]:
    values = {value.key: value for value in json_split.values(source, start, source.length)}
    if "messages" in values:
        yield _chat(source, values)
    for key in ("chats", "left_chats"):
        if key in values:
            inner = json_split.values(source, _skip(source, values[key].start), values[key].end)
            for value in inner:
                if value.key == "list":
                    yield from _listed(source, value)


def _listed(source: Source, chats: json_split.Value) -> Iterator[Chat]:
    """The chats of a list, each found by its place."""
    start = _skip(source, chats.start)
    for at, end in json_split.places(source, start, chats.end):
        found = {value.key: value for value in json_split.values(source, at, end)}
        if "messages" in found:
            yield _chat(source, found)


def _chat(source: Source, values: dict[str, json_split.Value]) -> Chat:
    about = {}
    for key in ("id", "name", "type"):
        if key in values:
            about[f"chat_{key}"] = decode(source.read(values[key].start, values[key].end - values[key].start))
    return about, _skip(source, values["messages"].start), values["messages"].end


def _skip(source: Source, start: int) -> int:
    head = source.read(start, 4096)
    return start + len(head) - len(head.lstrip())


def _blocks(source: Source, chats: list[Chat], bench: Bench) -> Iterator[RowBlock]:
    for about, start, end in chats:
        for found, at in json_split.elements(source, start, end):
            yield RowBlock(values=[message(about, decode(text)) for text in found])
            bench.progress(at)


def message(about: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """A message with its chat, and its text in one piece; the pieces stay beside it where they say more."""
    text = raw.get("text")
    if not isinstance(text, list):
        return {**about, **raw}
    plain = "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in text)
    return {**about, **raw, "text": plain, "text_parts": text}

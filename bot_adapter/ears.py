"""Turns Telegram's messages into reports: who may, hears; what is no upload, command or answer is nothing."""

from __future__ import annotations

import mimetypes
from typing import Any, Final

from telethon import types

from bot_adapter import captions
from bot_adapter.door import Door, Visitor
from bot_adapter.replies import COMMANDS
from bot_adapter.series import series_of
from pipeline.adapter.model import AdapterReport, Arrived, Asked, Message

_ANYTHING: Final = "application/octet-stream"
_NO_UPLOADS: Final = (
    types.DocumentAttributeSticker,
    types.DocumentAttributeCustomEmoji,
    types.DocumentAttributeAnimated,
)


class Ears:
    """Listens at DOOR; STRANGER_REPLY is what strangers are told once, if anything."""

    def __init__(self, door: Door, stranger_reply: str) -> None:
        self._door = door
        self._stranger_reply = stranger_reply

    def hear(self, message: Any, *, commands: bool = True) -> AdapterReport | None:
        """What is to be reported of MESSAGE (Telethon's), if anything; no COMMANDS where it was sent before our time."""
        chat, reply_to = message.chat_id or 0, message.reply_to_msg_id or 0
        sender = message.sender_id or 0
        visitor = self._door.who(chat, sender, out=bool(message.out), reply_to=reply_to)
        if visitor is Visitor.STRANGER:
            return Asked(chat, 0, "stranger", self._stranger_reply) if self._stranger_reply and commands else None
        if visitor is not Visitor.ALLOWED:
            return None
        upload = read(message)
        if upload is not None:
            return Arrived(upload)
        return _question(chat, message.id, message.message or "", reply_to) if commands else None


def read(message: Any) -> Message | None:
    """The upload in MESSAGE, None where there is none."""
    media = message.media
    document = media.document if isinstance(media, types.MessageMediaDocument) else None
    if not isinstance(document, types.Document) or _is_no_upload(document):
        return None
    name, sender = _name(document), message.sender_id or 0
    series, part = series_of(name, sender, message.id, message.grouped_id or 0)
    return Message(
        chat=message.chat_id or 0,
        message=message.id,
        sender=sender,
        at=message.date.timestamp() if message.date else 0.0,
        document=document.id,
        size=document.size,
        name=name,
        series=series,
        part=part,
        wishes=captions.parse(message.message or ""),
    )


def _is_no_upload(document: Any) -> bool:
    """Stickers, animations and voice messages are talk."""
    return any(
        isinstance(one, _NO_UPLOADS) or (isinstance(one, types.DocumentAttributeAudio) and one.voice)
        for one in document.attributes
    )


def _name(document: Any) -> str:
    """The file's name as text, with an ending by its type where it has none at all."""
    for attribute in document.attributes:
        if isinstance(attribute, types.DocumentAttributeFilename) and attribute.file_name.strip():
            return str(attribute.file_name).encode("utf-8", "replace").decode()[:1024]
    ending = "" if document.mime_type == _ANYTHING else mimetypes.guess_extension(document.mime_type or "")
    return f"upload{ending or ''}"


def _question(chat: int, message: int, text: str, reply_to: int) -> AdapterReport | None:
    """The command in TEXT, or what may be the password that an answer of ours asked for."""
    text = text.strip()
    if text.startswith("/"):
        word, _, argument = text[1:].partition(" ")
        command = word.partition("@")[0].lower()
        number = command.removeprefix("retry").removeprefix("cancel").removeprefix("report").lstrip("_")
        if number.isdigit():  # /retry_17, which can be tapped
            command, argument = command.removesuffix(number).rstrip("_"), number
        return Asked(chat, message, command if command in COMMANDS else "help", argument.strip(), reply_to)
    if not reply_to:
        return None
    explicit = captions.parse(text).password
    if explicit:
        return Asked(chat, message, "password", explicit, reply_to)
    password = captions.password_in(text)
    return Asked(chat, message, "reply", password, reply_to) if password else None

"""What the server's Python interface gives to tests: frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """A person, a bot, or whoever may log in. `id` is what Telegram calls the user id."""

    id: int
    name: str
    phone: str = ""
    code: str = ""
    bot_token: str = ""


@dataclass(frozen=True)
class Chat:
    """A group or channel; `id` as Telethon marks it (negative; -100... for channels)."""

    id: int
    title: str


@dataclass(frozen=True)
class Seen:
    """A message as OWNER sees it in CHAT (marked id). `texts` are all that it ever said, the last one last."""

    owner: int
    chat: int
    id: int
    sender: int
    out: bool
    text: str
    texts: tuple[str, ...]
    silent: bool
    reply_to: int | None
    file_name: str | None
    file_size: int
    grouped_id: int | None
    random_id: int
    entities: tuple[str, ...]
    document: int = 0  # the document's id


@dataclass(frozen=True)
class Call:
    """A request that the server has heard: its method, on which DC's connection, and whom it was authorized for."""

    method: str
    dc: int
    connection: int
    user: int
    at: float
    offset: int = -1  # of a file's part
    length: int = 0

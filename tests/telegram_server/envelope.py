"""Encrypted messages (MTProto 2.0) and what the server remembers of a key and of a session."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from telethon.crypto import AES, AuthKey
from telethon.extensions import BinaryReader
from telethon.network.mtprotostate import MTProtoState
from telethon.tl.core import MessageContainer

CONTAINER_BYTES = 1024 * 1024 - 1024


@dataclass
class Session:
    """One of a key's sessions: what numbers its messages bear."""

    id: int
    sequence: int = 0
    last_msg_id: int = 0
    seen: set[int] = field(default_factory=set)
    wants_updates: bool = False
    initialized: bool = False

    def message_id(self, reply: bool) -> int:
        """A new id for a message of the server's, a REPLY or one that the client didn't ask for."""
        now = time.time_ns()
        new = ((now // 10**9) << 32) | ((now % 10**9 << 2) & 0xFFFFFFFC)
        self.last_msg_id = max(new & ~3, (self.last_msg_id & ~3) + 4)
        return self.last_msg_id | (1 if reply else 3)

    def number(self, content: bool) -> int:
        """The next seqno, of a message that wants to be acknowledged (CONTENT) or not."""
        now = self.sequence * 2 + content
        self.sequence += content
        return now


@dataclass
class Key:
    """An auth key as one DC knows it. `user` is whom it's authorized for (0: nobody)."""

    key: AuthKey
    dc: int
    salt: int
    user: int = 0
    initialized: bool = False
    waits_for_password: int = 0
    refused: tuple[int, str] | None = None
    sessions: dict[int, Session] = field(default_factory=dict)

    def session(self, number: int) -> Session:
        return self.sessions.setdefault(number, Session(number))

    @property
    def id(self) -> int:
        return int(self.key.key_id)


@dataclass(frozen=True)
class Opened:
    """A client's message, decrypted."""

    salt: int
    session: int
    msg_id: int
    seqno: int
    body: bytes


def open_envelope(key: Key, packet: bytes) -> Opened:
    """The message in PACKET. Raises ConnectionError where it isn't encrypted as it should be."""
    secret = key.key.key
    msg_key = packet[8:24]
    plain = AES.decrypt_ige(packet[24:], *MTProtoState._calc_key(secret, msg_key, True))
    if sha256(secret[88:120] + plain).digest()[8:24] != msg_key:
        raise ConnectionError("msg_key doesn't fit")
    salt, session, msg_id, seqno, length = struct.unpack_from("<qqqii", plain)
    if length % 4 or not 12 <= len(plain) - 32 - length <= 1024:
        raise ConnectionError("a wrong length or padding")
    return Opened(salt, session, msg_id, seqno, plain[32 : 32 + length])


def close_envelope(key: Key, session: Session, message: bytes) -> bytes:
    """MESSAGE (with its id, number and length before it) as a packet for the client."""
    secret = key.key.key
    head = struct.pack("<qq", key.salt, session.id)
    plain = b"".join((head, message, os.urandom(-(len(message) + 28) % 16 + 12)))
    sha = sha256(secret[96:128])
    sha.update(plain)
    msg_key = sha.digest()[8:24]
    cipher: bytes = AES.encrypt_ige(plain, *MTProtoState._calc_key(secret, msg_key, False))
    return b"".join((struct.pack("<Q", key.id), msg_key, cipher))


def with_head(session: Session, body: bytes, *, content: bool, reply: bool) -> bytes:
    """BODY with its id, number and length before it."""
    return struct.pack("<qii", session.message_id(reply), session.number(content), len(body)) + body


def containers(session: Session, messages: Sequence[bytes]) -> list[bytes]:
    """MESSAGES in as few as they fit, several in a container."""
    packed: list[list[bytes]] = []
    room = 0
    for message in messages:
        if not packed or len(message) > room:
            packed.append([])
            room = CONTAINER_BYTES
        packed[-1].append(message)
        room -= len(message)
    return [group[0] if len(group) == 1 else _container(session, group) for group in packed]


def _container(session: Session, group: list[bytes]) -> bytes:
    body = struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, len(group)) + b"".join(group)
    return with_head(session, body, content=False, reply=True)


def unpacked(body: bytes) -> object:
    """The TL object in BODY."""
    return BinaryReader(body).tgread_object()

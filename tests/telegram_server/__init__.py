"""A Telegram server on 127.0.0.1, for tests: real MTProto over real sockets, so that a real client can't tell.

It is built on Telethon's TL layer (constructors, serialization, AES-IGE) and speaks what core.telegram.org documents.

Covered
    transport   abridged, intermediate, padded intermediate and full framing; transport errors (-404, -429)
    keys        the whole auth key exchange, with an RSA key that the client has to be told (`TelegramServer.key`)
    messages    MTProto 2.0 envelopes, containers, gzip, acks, seqno, salts (bad_server_salt), bad_msg_notification,
                new_session_created, ping, future salts, invokeWithLayer, initConnection, invokeWithoutUpdates
    login       code, password (SRP), QR code, bot token, logging out, another home DC; sessions taken back
    updates     pushes, getState, getDifference (sliced, too long), getChannelDifference
    chats       private chats, basic groups and channels: dialogs, history, search by sender, single messages;
                sending, editing, deleting, albums, random ids that may be used once
    files       getFile with Telegram's alignment rules, getFileHashes, references that expire, other DCs
                (FILE_MIGRATE, authorization exported and imported once), saveFilePart, saveBigFilePart
    faults      round trip time, a rate cap a connection, flood waits, silence, dropped connections, wrong bytes, requests
                that are carried out but never answered, restarts (`faults.py`)

Not covered: secret chats, calls, stickers, CDN DCs (the redirect is), temporary keys, obfuscated transport, signing up.

`TelegramServer` is the whole interface: it runs in a thread of its own, its methods may be called from any other.
`ServerProcess` is the same in a process of its own, for benchmarks.
"""

from tests.telegram_server.content import Blocks, Bytes, Content, FileContent
from tests.telegram_server.faults import Act, Fault
from tests.telegram_server.process import ServerProcess
from tests.telegram_server.server import TelegramServer
from tests.telegram_server.views import Account, Call, Chat, Seen

__all__ = [
    "Account",
    "Act",
    "Blocks",
    "Bytes",
    "Call",
    "Chat",
    "Content",
    "Fault",
    "FileContent",
    "Seen",
    "ServerProcess",
    "TelegramServer",
]

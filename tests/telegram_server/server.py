"""The server itself: its loop's half (`Core`), and the half that tests call from any thread (`TelegramServer`)."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rsa
from telethon.tl import types

from tests.telegram_server import methods_files, methods_login, methods_messages, methods_updates, uploads
from tests.telegram_server.content import Bytes, Content, FileContent
from tests.telegram_server.dc import Dc
from tests.telegram_server.envelope import Key
from tests.telegram_server.errors import bad
from tests.telegram_server.faults import Fault, Faults
from tests.telegram_server.keys import public_pem, server_key
from tests.telegram_server.manners import Manners, pushed
from tests.telegram_server.methods import Methods, Request
from tests.telegram_server.srp import Verifier
from tests.telegram_server.uploads import Parts
from tests.telegram_server.views import Account, Call, Chat, Seen
from tests.telegram_server.world import Box, Event, Group, Letter, Person, Stored, World, now

T = TypeVar("T")
CALLS_KEPT = 200_000


class Core:
    """What the server's loop owns."""

    def __init__(self, host: str, dcs: Iterable[int], key: rsa.PrivateKey) -> None:
        self.key = key
        self.api_id = 12345
        self.api_hash = "0123456789abcdef0123456789abcdef"
        self.world = World()
        self.faults = Faults()
        self.manners = Manners()
        self.logins = methods_login.Logins()
        self.uploads: dict[tuple[int, int], Parts] = {}
        self.methods = Methods()
        for module in (methods_login, methods_updates, methods_messages, methods_files, uploads):
            self.methods.include(module.methods)
        self.dcs = {number: Dc(self, number, host) for number in dcs}
        self.calls: list[Call] = []
        self.ranges: dict[int, Counter[tuple[int, int]]] = {}
        self.crashes: list[BaseException] = []
        self.broken: list[str] = []  # why the server ended connections
        self.news = threading.Condition()

    # ---- What connections and methods report

    def heard(self, dc: int, connection: int, key: Key, name: str, tl: Any) -> None:
        if len(self.calls) < CALLS_KEPT:
            offset, length = (tl.offset, tl.limit) if name == "upload.getFile" else (-1, 0)
            self.calls.append(Call(name, dc, connection, key.user, time.time(), offset, length))

    def served(self, stored: int, offset: int, length: int) -> None:
        self.ranges.setdefault(stored, Counter())[offset, length] += 1

    def changed(self) -> None:
        with self.news:
            self.news.notify_all()

    def ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.crashes.append(error)

    def on_the_way(self, request: Request) -> int:
        """File parts that this user has asked for in this DC and that haven't left it yet, this one included."""
        mine = [one for one in request.dc.connections if one.key and one.key.user == request.me.id]
        return 1 + sum(one.link.large for one in mine) + request.connection.ready

    # ---- What happens to messages

    def told(self, events: Iterable[tuple[Box, Event]], besides: Any = None) -> None:
        """Pushes EVENTS to every connection of those who see them, but for the one that caused them."""
        for box, event in events:
            for viewer in self.world.viewers(box):
                self._push(viewer, box, event, besides)
        self.changed()

    def _push(self, viewer: int, box: Box, event: Event, besides: Any) -> None:
        letter = box.letters.get(event.ids[0])
        ids = [viewer, box.owner, *([letter.chat, letter.sender] if letter else [])]
        users, chats = self.world.entities(ids, viewer)
        updates = pushed(self.manners, box, event, viewer, users, chats)
        for connection in self._listening(viewer):
            if connection is not besides:
                for one in updates:
                    connection.push(one)

    def _listening(self, user: int) -> list[Any]:
        return [
            one
            for dc in self.dcs.values()
            for one in dc.connections
            if one.key and one.key.user == user and one.session and one.session.wants_updates
        ]

    def edit(
        self, box: Box, letter: Letter, text: str, entities: list[Any], stored: Stored | None
    ) -> list[tuple[Box, Event]]:
        """Gives LETTER a new text, and its twin in the other side's box too."""
        twins = [(box, letter)]
        if letter.random_id:
            others = (one for one in self.world.boxes.values() if one is not box)
            twins += [
                (other, one) for other in others for one in other.letters.values() if one.random_id == letter.random_id
            ]
        for _, one in twins:
            one.texts.append(text)
            one.entities, one.edited = entities, now()
            one.stored = stored or one.stored
        return [(where, where.note("edit", [one.id])) for where, one in twins]

    def scanned(self, token: bytes, user: int) -> None:
        """Somebody who is logged in has scanned the QR code with TOKEN."""
        waiting = self.logins.tokens.get(token)
        if waiting is None or waiting.expires_at < time.time():
            raise bad("AUTH_TOKEN_EXPIRED")
        waiting.user = user
        for connection in self.dcs[waiting.dc].connections:
            if connection.key and connection.key.id == waiting.key and connection.session:
                connection.push(types.UpdateShort(types.UpdateLoginToken(), now()))

    def keys(self, user: int) -> list[Key]:
        return [key for dc in self.dcs.values() for key in dc.keys.values() if key.user == user]

    def connections(self) -> list[Any]:
        return [one for dc in self.dcs.values() for one in dc.connections]


class TelegramServer:
    """A server with two DCs, the first of which is everybody's home unless told otherwise. Use it as a context manager.

    Every method waits until it is done and may be called from any thread. Ids of chats are marked as Telethon's.
    """

    def __init__(self, *, host: str = "127.0.0.1", dcs: Sequence[int] = (2, 4)) -> None:
        self.home = dcs[0]
        self._core = Core(host, dcs, server_key())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="telegram-server", daemon=True)

    def __enter__(self) -> TelegramServer:
        self._thread.start()
        self._wait(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops. Raises what escaped from a connection, if anything did: a bug of the server's."""
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._core.crashes:
            raise self._core.crashes[0]

    async def _open(self) -> None:
        for dc in self._core.dcs.values():
            await dc.open()

    async def _close(self) -> None:
        for dc in self._core.dcs.values():
            await dc.close()

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def _do(self, action: Callable[[Core], T]) -> T:
        async def run() -> T:
            return action(self._core)

        result: T = self._wait(run())
        return result

    # ---- What a client must be told

    @property
    def api_id(self) -> int:
        """The application that may connect."""
        return self._core.api_id

    @property
    def api_hash(self) -> str:
        """The application's hash."""
        return self._core.api_hash

    @property
    def public_key(self) -> str:
        """The server's RSA key in PEM (PKCS#1)."""
        return public_pem(self._core.key)

    def address(self, dc: int = 0) -> tuple[str, int]:
        """Host and port of DC (0: the home DC)."""
        found = self._core.dcs[dc or self.home]
        return found.host, found.port

    # ---- People and chats

    def add_account(
        self,
        phone: str = "15550100",
        *,
        name: str = "Mill",
        code: str = "24680",
        password: str | None = None,
        hint: str = "",
        bot_token: str = "",
        premium: bool = False,
        dc: int = 0,
    ) -> Account:
        """Somebody who may log in: by PHONE, code and password, or as a bot."""

        def add(core: Core) -> Account:
            person = Person(
                id=core.world.number(),
                first_name=name,
                phone="" if bot_token else phone,
                code=code,
                bot_token=bot_token,
                premium=premium,
                dc=dc or self.home,
                password=Verifier(password, hint) if password else None,
            )
            core.world.people[person.id] = person
            core.world.boxes[person.id] = Box(person.id)
            return Account(person.id, name, person.phone, code, bot_token)

        return self._do(add)

    def add_user(self, name: str, *, username: str | None = None) -> Account:
        """Somebody who talks to accounts, and whom the tests speak for."""

        def add(core: Core) -> Account:
            person = Person(id=core.world.number(), first_name=name, username=username)
            core.world.people[person.id] = person
            return Account(person.id, name)

        return self._do(add)

    def add_group(self, title: str, members: Iterable[Account]) -> Chat:
        """A basic group."""
        return self._group(title, members, channel=False, broadcast=False)

    def add_channel(self, title: str, members: Iterable[Account], *, broadcast: bool = False) -> Chat:
        """A supergroup, or with BROADCAST a channel: it numbers its messages itself."""
        return self._group(title, members, channel=True, broadcast=broadcast)

    def _group(self, title: str, members: Iterable[Account], *, channel: bool, broadcast: bool) -> Chat:
        ids = {one.id for one in members}

        def add(core: Core) -> Chat:
            number = core.world.number()
            marked = -(1_000_000_000_000 + number) if channel else -number
            box = Box(marked) if channel else None
            core.world.groups[marked] = Group(marked, title, ids, box, broadcast)
            return Chat(marked, title)

        return self._do(add)

    def forbid_writing(self, chat: Chat | Account, forbidden: bool = True) -> None:
        """Nobody may write to CHAT any more (or again)."""

        def forbid(core: Core) -> None:
            if isinstance(chat, Chat):
                core.world.groups[chat.id].forbidden = forbidden
            else:
                core.world.people[chat.id].blocked = forbidden

        self._do(forbid)

    def access_hash(self, account: Account) -> int:
        """What a client must know to name ACCOUNT."""
        return self._do(lambda core: core.world.people[account.id].access_hash)

    # ---- What people do

    def send_text(
        self, sender: Account, to: Account | Chat, text: str, *, reply_to: int | None = None, push: bool = True
    ) -> int:
        """SENDER writes TEXT; the message's id, as TO (or the chat) numbers it."""
        return self._send(sender, to, push, text=text, reply_to=reply_to)

    def send_document(
        self,
        sender: Account,
        to: Account | Chat,
        content: Content | bytes | Path,
        *,
        name: str | None = "file.csv",
        caption: str = "",
        mime: str = "application/octet-stream",
        dc: int = 0,
        grouped_id: int | None = None,
        reply_to: int | None = None,
        forwarded_from: str | None = None,
        again: int = 0,
        push: bool = True,
    ) -> int:
        """SENDER uploads a document; the message's id. Without PUSH nobody is told: a client has to find it.

        AGAIN is the id of a document that was sent before and is sent (or forwarded) once more.
        """
        held = _content(content)

        def stored(core: Core) -> Stored:
            found = core.world.stored.get(again)
            if found is None:
                found = Stored(core.world.number(), held, name, mime, dc or self.home)
                core.world.stored[found.id] = found
            return found

        return self._send(
            sender,
            to,
            push,
            text=caption,
            stored=self._do(stored),
            grouped_id=grouped_id,
            reply_to=reply_to,
            forwarded_from=forwarded_from,
        )

    def _send(self, sender: Account, to: Account | Chat, push: bool, **parts: Any) -> int:
        def send(core: Core) -> int:
            sent = core.world.deliver(sender.id, to.id, **parts)
            if push:
                core.told(sent)
            core.changed()
            return sent[-1][1].ids[0]

        return self._do(send)

    def edit_text(self, owner: Account | Chat, message: int, text: str, *, push: bool = True) -> None:
        """The sender of message MESSAGE in OWNER's box (an account's, or a channel's) edits its text or caption."""

        def edit(core: Core) -> None:
            box = self._box(core, owner)
            letter = box.letters[message]
            changed = core.edit(box, letter, text, letter.entities, None)
            if push:
                core.told(changed)

        self._do(edit)

    def delete_message(self, owner: Account | Chat, *ids: int, push: bool = True) -> None:
        """The sender of messages IDS in OWNER's box deletes them for everybody."""

        def delete(core: Core) -> None:
            box = self._box(core, owner)
            for one in ids:
                del box.letters[one]
            event = box.note("delete", list(ids))
            if push:
                core.told([(box, event)])

        self._do(delete)

    @staticmethod
    def _box(core: Core, owner: Account | Chat) -> Box:
        if isinstance(owner, Chat):
            box = core.world.groups[owner.id].box
            assert box, "a basic group's messages lie in its members' boxes"
            return box
        return core.world.boxes[owner.id]

    def scan_qr(self, url: str, account: Account) -> None:
        """ACCOUNT's phone scans the QR code that holds URL (tg://login?token=...)."""
        text = url.rsplit("=", 1)[-1] if "token=" in url else url
        token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        self._do(lambda core: core.scanned(token, account.id))

    def qr_url(self) -> str:
        """What the newest QR code holds."""

        def find(core: Core) -> str:
            token = list(core.logins.tokens)[-1]
            return f"tg://login?token={base64.urlsafe_b64encode(token).decode().rstrip('=')}"

        return self._do(find)

    # ---- What was seen

    def messages(self, owner: Account | Chat, chat: Account | Chat | None = None) -> list[Seen]:
        """OWNER's messages (an account's, or a channel's), the oldest first; with CHAT only those."""

        def read(core: Core) -> list[Seen]:
            box = self._box(core, owner)
            return [
                box.letters[one].seen(box.owner)
                for one in sorted(box.letters)
                if chat is None or box.letters[one].chat == chat.id
            ]

        return self._do(read)

    def wait_for(self, found: Callable[[], T], timeout_s: float = 60.0) -> T:
        """What FOUND returns as soon as it is true; it is called after everything that happens. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while not (result := found()):
            with self._core.news:
                self._core.news.wait(min(0.2, max(0.0, deadline - time.monotonic())))
            if time.monotonic() >= deadline:
                raise TimeoutError(f"not within {timeout_s:g} s")
        return result

    def content(self, document: int) -> bytes:
        """What the document (Seen.document) holds."""

        def read(core: Core) -> bytes:
            content = core.world.stored[document].content
            return content.read(0, content.size)

        return self._do(read)

    def calls(self, method: str = "") -> list[Call]:
        """Requests heard so far, of METHOD or all."""
        return self._do(lambda core: [one for one in core.calls if method in ("", one.method)])

    def served(self, document: int | None = None) -> tuple[int, int]:
        """Bytes of DOCUMENT (or of all) that were sent out, and how many of them were sent before."""

        def count(core: Core) -> tuple[int, int]:
            counters = core.ranges.values() if document is None else [core.ranges.get(document, Counter())]
            total = sum(length * times for one in counters for (_, length), times in one.items())
            return total, total - sum(length for one in counters for (_, length) in one)

        return self._do(count)

    def broken(self) -> list[str]:
        """Why the server ended connections: what clients did wrong."""
        return self._do(lambda core: list(core.broken))

    def connections(self) -> int:
        """How many connections are open."""
        return self._do(lambda core: len(core.connections()))

    # ---- What goes wrong

    def fault(self, fault: Fault) -> Fault:
        """Adds a rule; its `struck` counts up."""

        def add(core: Core) -> Fault:
            core.faults.rules.append(fault)
            return fault

        return self._do(add)

    def set_faults(self, **changes: Any) -> None:
        """Changes fields of `Faults` (rtt_s, bytes_per_s, too_long_after, ...)."""

        def change(core: Core) -> None:
            for name, value in changes.items():
                assert hasattr(core.faults, name), name
                setattr(core.faults, name, value)

        self._do(change)

    def set_manners(self, **manners: Any) -> None:
        """The server does things in these `Manners`, in all else as it does by itself."""
        self._do(lambda core: setattr(core, "manners", Manners(**manners)))

    def drop_connections(self, most: int = 1_000_000) -> int:
        """Ends up to MOST connections, the newest first; how many there were."""

        def drop(core: Core) -> int:
            chosen = sorted(core.connections(), key=lambda one: -one.number)[:most]
            for one in chosen:
                one.close()
            return len(chosen)

        return self._do(drop)

    def expire_references(self) -> None:
        """Every file reference given out so far is void."""

        def expire(core: Core) -> None:
            for stored in core.world.stored.values():
                stored.generation += 1

        self._do(expire)

    def rotate_salts(self) -> None:
        """Every key gets another salt."""

        def rotate(core: Core) -> None:
            for dc in core.dcs.values():
                for key in dc.keys.values():
                    key.salt += 1

        self._do(rotate)

    def refuse_keys(self, account: Account, code: int, text: str, *, dc: int = 0) -> None:
        """From now on everything from ACCOUNT's sessions is refused: 406 AUTH_KEY_DUPLICATED, 401 SESSION_REVOKED...

        With DC only there. New sessions are not concerned.
        """

        def refuse(core: Core) -> None:
            for key in core.keys(account.id):
                if dc in (0, key.dc):
                    key.refused = (code, text)

        self._do(refuse)

    def forget_keys(self, *, dc: int = 0) -> None:
        """Every auth key (with DC only those made there) is forgotten: connections hear -404."""
        self._do(lambda core: [one.keys.clear() for one in core.dcs.values() if dc in (0, one.id)])

    def expire_codes(self, expired: bool = True) -> None:
        """Login codes are no longer good."""
        self._do(lambda core: setattr(core.logins, "expired_codes", expired))

    def qr_seconds(self, seconds: float) -> None:
        """How long a QR code is good."""
        self._do(lambda core: setattr(core.logins, "token_s", seconds))

    def restart(self, down_s: float = 0.0) -> None:
        """Ends everything and comes back DOWN_S later, at the same ports, knowing what it knew."""

        async def again() -> None:
            await self._close()
            await asyncio.sleep(down_s)
            for dc in self._core.dcs.values():
                for key in dc.keys.values():
                    key.sessions.clear()
            await self._open()

        self._wait(again())


def _content(content: Content | bytes | Path) -> Content:
    if isinstance(content, bytes):
        return Bytes(content)
    if isinstance(content, Path):
        return FileContent(content)
    return content

"""One client's connection: packets in, requests carried out, answers and pushes out."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import struct
import time
from typing import TYPE_CHECKING, Any

from telethon.extensions import BinaryReader
from telethon.tl import TLObject, functions, types
from telethon.tl.core import GzipPacked, MessageContainer, RpcResult

from tests.telegram_server import envelope, wire
from tests.telegram_server.envelope import Key, Opened, Session
from tests.telegram_server.errors import RpcRefused
from tests.telegram_server.faults import Act, Fault, method_name
from tests.telegram_server.handshake import Handshake
from tests.telegram_server.methods import Request

if TYPE_CHECKING:
    from tests.telegram_server.dc import Dc

_numbers = itertools.count(1)
_WRAPPERS = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeWithoutUpdatesRequest,
    functions.InvokeAfterMsgRequest,
)
_TOO_OLD_S, _TOO_NEW_S = 300, 30


class Connection:
    """Lives as long as its socket."""

    def __init__(self, dc: Dc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = next(_numbers)
        self.key: Key | None = None
        self.session: Session | None = None
        self.link = wire.Link(writer)
        self._dc = dc
        self._reader = reader
        self._writer = writer
        self._framing: wire.Framing | None = None
        self._handshake = Handshake(dc.server.key)
        self._ready: list[bytes] = []

    async def run(self) -> None:
        """Serves the client until it goes, or breaks the protocol."""
        sender = asyncio.create_task(self.link.run())
        try:
            self._framing = await wire.accept(self._reader)
            while True:
                self._packet(await self._framing.read())
        except asyncio.IncompleteReadError:
            pass
        except ConnectionError as error:
            if error.errno is None:  # else it's the client that has gone, in whatever way
                self._dc.server.broken.append(str(error))
        finally:
            sender.cancel()
            self.close()

    def close(self) -> None:
        """Ends the connection at once."""
        if self._writer.transport:
            self._writer.transport.abort()

    @property
    def ready(self) -> int:
        """Answers that haven't been put on their way yet."""
        return len(self._ready)

    # ---- Packets in

    def _packet(self, packet: bytes) -> None:
        if len(packet) < 24:
            return
        key_id = int.from_bytes(packet[:8], "little")
        if not key_id:
            self._exchange(packet)
            return
        key = self._dc.keys.get(key_id)
        if key is None:
            self.transport_error(404)
            return
        self._opened(key, envelope.open_envelope(key, packet))

    def _exchange(self, packet: bytes) -> None:
        answer = bytes(self._handshake.answer(BinaryReader(packet[20:]).tgread_object()))
        number = Session(0).message_id(reply=True)
        self._out(struct.pack("<qqi", 0, number, len(answer)) + answer)
        if self._handshake.made:
            key, salt = self._handshake.made
            self._dc.keys[int(key.key_id)] = Key(key=key, dc=self._dc.id, salt=salt)
            self._handshake = Handshake(self._dc.server.key)

    def _opened(self, key: Key, opened: Opened) -> None:
        new = opened.session not in key.sessions
        self.key, self.session = key, key.session(opened.session)
        if problem := self._bad_number(opened):
            self._tell(types.BadMsgNotification(opened.msg_id, opened.seqno, problem), content=False)
        elif opened.salt != key.salt:
            self._tell(types.BadServerSalt(opened.msg_id, opened.seqno, 48, key.salt), content=False)
            if new:
                key.sessions.pop(opened.session)
        else:
            if new:
                self._tell(types.NewSessionCreated(opened.msg_id, opened.session, key.salt), content=True)
            self._message(opened.msg_id, envelope.unpacked(opened.body))
        self._flush()

    def _bad_number(self, opened: Opened) -> int:
        age = time.time() - (opened.msg_id >> 32)
        if age > _TOO_OLD_S:
            return 16
        if age < -_TOO_NEW_S:
            return 17
        return 18 if opened.msg_id % 4 else 0

    def _message(self, msg_id: int, obj: Any) -> None:
        assert self.session
        if isinstance(obj, GzipPacked):
            obj = BinaryReader(obj.data).tgread_object()
        if isinstance(obj, MessageContainer):
            for inner in obj.messages:
                self._message(inner.msg_id, inner.obj)
        elif not isinstance(obj, types.MsgsAck) and msg_id not in self.session.seen:
            self.session.seen.add(msg_id)
            self._content(msg_id, obj)

    def _content(self, msg_id: int, obj: Any) -> None:
        if isinstance(obj, functions.PingRequest | functions.PingDelayDisconnectRequest):
            self._tell(types.Pong(msg_id, obj.ping_id), content=False)
        elif isinstance(obj, functions.GetFutureSaltsRequest):
            self._tell(self._salts(msg_id), content=False)
        elif isinstance(obj, functions.DestroySessionRequest):
            self._tell(types.DestroySessionOk(obj.session_id), content=False)
        elif isinstance(obj, types.MsgsStateReq):
            self._tell(types.MsgsStateInfo(msg_id, b"\x04" * len(obj.msg_ids)), content=False)
        elif not isinstance(obj, types.MsgsStateInfo | types.HttpWait):
            self._request(msg_id, obj)

    def _salts(self, msg_id: int) -> Any:
        assert self.key
        now = int(time.time())
        return types.FutureSalts(msg_id, now, [types.FutureSalt(now - 60, now + 3600, self.key.salt)])

    # ---- Requests

    def _request(self, msg_id: int, obj: Any) -> None:
        assert self.key and self.session
        quiet = False
        while isinstance(obj, _WRAPPERS):
            fault = self._dc.server.faults.strike(method_name(obj), obj, alone=True)
            if fault and not self._may_go_on(fault, msg_id):
                return
            quiet |= isinstance(obj, functions.InvokeWithoutUpdatesRequest)
            if isinstance(obj, functions.InitConnectionRequest):
                self.key.initialized = self.session.initialized = obj.api_id == self._dc.server.api_id
            obj = obj.query
        name = method_name(obj)
        fault = self._dc.server.faults.strike(name, obj)
        self._dc.server.heard(self._dc.id, self.number, self.key, name, obj)
        if fault and not self._may_go_on(fault, msg_id):
            return
        if self._dc.server.manners.forgets_hello and not self.session.initialized:
            self._answer(msg_id, self._error(400, "CONNECTION_NOT_INITED"), None)
            return
        request = Request(tl=obj, name=name, key=self.key, dc=self._dc, connection=self, msg_id=msg_id)
        answer = self._carry_out(request)
        self.session.wants_updates |= bool(not quiet and self.key.user and not name.startswith("upload."))
        self._dc.server.changed()
        self._answer(msg_id, answer, fault)

    def _may_go_on(self, fault: Fault, msg_id: int) -> bool:
        if fault.act is Act.ERROR:
            self._answer(msg_id, self._error(fault.code, fault.text), None)
        elif fault.act is Act.SILENCE:
            self._tell(types.MsgsAck([msg_id]), content=False)
        elif fault.act is Act.DROP:
            self.close()
        elif fault.act is Act.TRANSPORT:
            self.transport_error(fault.code)
        else:
            return True
        return False

    def _carry_out(self, request: Request) -> bytes:
        try:
            return self._encoded(self._dc.server.methods.call(request))
        except RpcRefused as refused:
            return self._error(refused.code, refused.text)

    def _answer(self, msg_id: int, answer: bytes, fault: Fault | None) -> None:
        if fault and fault.act is Act.CARRIED_OUT:
            self._tell(types.MsgsAck([msg_id]), content=False)
            return
        if fault and fault.act is Act.CARRIED_OUT_DROP:
            self.close()
            return
        if fault and fault.act in (Act.WRONG_BYTES, Act.SHORT_BYTES, Act.CDN):
            answer = _spoiled(answer, fault.act)
        if fault and fault.act is Act.LATE:
            self.later(fault.seconds, msg_id, answer)
            return
        self.result(msg_id, answer)

    def later(self, seconds: float, msg_id: int, answer: bytes) -> None:
        """Sends ANSWER in SECONDS."""
        asyncio.get_running_loop().call_later(seconds, lambda: (self.result(msg_id, answer), self._flush()))

    def result(self, msg_id: int, answer: bytes) -> None:
        """Answers the request MSG_ID."""
        assert self.session
        body = struct.pack("<Iq", RpcResult.CONSTRUCTOR_ID, msg_id) + answer
        self._ready.append(envelope.with_head(self.session, body, content=True, reply=True))

    @staticmethod
    def _error(code: int, text: str) -> bytes:
        return bytes(types.RpcError(code, text))

    def _encoded(self, result: Any) -> bytes:
        if isinstance(result, bool):
            return (0x997275B5 if result else 0xBC799737).to_bytes(4, "little")
        if isinstance(result, list):
            return struct.pack("<Ii", 0x1CB5C415, len(result)) + b"".join(bytes(one) for one in result)
        data = bytes(result)
        if self._dc.server.faults.gzip and 512 < len(data) < wire.CHUNK and not isinstance(result, types.upload.File):
            return struct.pack("<I", GzipPacked.CONSTRUCTOR_ID) + TLObject.serialize_bytes(gzip.compress(data))
        return data

    # ---- Out

    def push(self, updates: Any) -> None:
        """Sends UPDATES that nobody asked for."""
        self._tell(updates, content=True, reply=False)
        self._flush()

    def _tell(self, obj: Any, *, content: bool, reply: bool = True) -> None:
        assert self.session
        self._ready.append(envelope.with_head(self.session, bytes(obj), content=content, reply=reply))

    def _flush(self) -> None:
        if not (self.key and self.session):
            return
        ready, self._ready = self._ready, []
        for message in envelope.containers(self.session, ready):
            self._out(envelope.close_envelope(self.key, self.session, message))

    def transport_error(self, code: int) -> None:
        """Says -CODE in place of a message."""
        self._out(struct.pack("<i", -code))

    def _out(self, packet: bytes) -> None:
        faults = self._dc.server.faults
        self.link.rtt_s, self.link.bytes_per_s = faults.rtt_s, faults.bytes_per_s
        if self._framing:
            self.link.send(self._framing.frame(packet))


def _spoiled(answer: bytes, act: Act) -> bytes:
    file = BinaryReader(answer).tgread_object()
    if not isinstance(file, types.upload.File):
        return answer
    if act is Act.CDN:
        return bytes(types.upload.FileCdnRedirect(203, b"token", bytes(32), bytes(16), []))
    file.bytes = file.bytes[:-1024] if act is Act.SHORT_BYTES else bytes([file.bytes[0] ^ 1]) + file.bytes[1:]
    return bytes(file)

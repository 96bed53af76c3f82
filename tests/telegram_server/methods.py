"""The API's methods: a table from a request's type to what carries it out, and what each of them is handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.telegram_server.errors import RpcRefused, bad
from tests.telegram_server.world import Person, World

if TYPE_CHECKING:
    from tests.telegram_server.connection import Connection
    from tests.telegram_server.dc import Dc
    from tests.telegram_server.envelope import Key
    from tests.telegram_server.server import Core

Handler = Callable[["Request"], Any]


@dataclass(frozen=True)
class Request:
    """One request and where it came from."""

    tl: Any
    name: str
    key: Key
    dc: Dc
    connection: Connection
    msg_id: int

    @property
    def server(self) -> Core:
        return self.dc.server

    @property
    def world(self) -> World:
        return self.dc.server.world

    @property
    def me(self) -> Person:
        """Who asks."""
        return self.world.people[self.key.user]


class Methods:
    """What the server can do."""

    def __init__(self) -> None:
        self._handlers: dict[type, Handler] = {}
        self._open: set[type] = set()
        self._not_for_bots: set[type] = set()

    def add(self, *kinds: type, anyone: bool = False, bots: bool = True) -> Callable[[Handler], Handler]:
        """Registers a handler for requests of KINDS; ANYONE may call it, or only who has logged in."""

        def register(handler: Handler) -> Handler:
            self._handlers.update(dict.fromkeys(kinds, handler))
            self._open.update(kinds if anyone else ())
            self._not_for_bots.update(() if bots else kinds)
            return handler

        return register

    def include(self, other: Methods) -> None:
        """Takes over all of OTHER's."""
        self._handlers |= other._handlers
        self._open |= other._open
        self._not_for_bots |= other._not_for_bots

    def call(self, request: Request) -> Any:
        """Carries REQUEST out. Raises RpcRefused."""
        kind = type(request.tl)
        handler = self._handlers.get(kind)
        if handler is None:
            raise bad(f"METHOD_NOT_COVERED_BY_THIS_SERVER ({request.name})")
        if request.key.refused:
            raise RpcRefused(*request.key.refused)
        if not request.key.initialized:
            raise bad("CONNECTION_NOT_INITED")
        if kind not in self._open:
            if not request.key.user:
                raise RpcRefused(401, "AUTH_KEY_UNREGISTERED")
            if kind in self._not_for_bots and request.me.bot_token:
                raise bad("BOT_METHOD_INVALID")
        return handler(request)

"""The real daemon and the real Telethon against the loopback server: a house for tests of the whole way."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from bot_adapter import client
from pipeline.config import Config, Paths, Telegram
from tests.telegram_server import Account, Chat, Content, Seen, TelegramServer

ROOT = Path(__file__).resolve().parents[2]
PHONE = "15550199"
CODE = "73519"
WAIT_S = 60.0
_CHANNELS_BELOW = -1_000_000_000_000
FINAL = ("✅", "⚠️", "❌", "⏹")

T = TypeVar("T")


class House:
    """A Telegram server, an account that is logged in, and the daemon that works for it."""

    def __init__(self, folder: Path, server: TelegramServer, **settings: Any) -> None:
        self.folder = folder
        self.server = server
        self.account = server.add_account(PHONE, name="Mill", code=CODE)
        self.anna = server.add_user("Anna")
        self.bob = server.add_user("Bob")
        self.carl = server.add_user("Carl")
        self.stranger = server.add_user("Stranger")
        self.library = folder / "library"
        self.state = folder / "state"
        self.settings = settings
        self.output = folder / "daemon.log"
        (folder / "api_hash").write_text(server.api_hash)
        (folder / "server.pem").write_text(server.public_key)
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def senders(self) -> list[Account]:
        return [self.anna, self.bob, self.carl]

    def telegram(self) -> dict[str, Any]:
        host, port = self.server.address()
        return {
            "api_id": self.server.api_id,
            "api_hash_file": str(self.folder / "api_hash"),
            "server": f"{host}:{port}",
            "server_key": str(self.folder / "server.pem"),
            "senders": [one.id for one in self.senders],
        } | self.settings

    @property
    def config(self) -> Config:
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in self.telegram().items()}
        return Config(
            paths=Paths(state=str(self.state), library=str(self.library)),
            telegram=Telegram(**settings),
        )

    def log_in(self) -> None:
        async def do() -> None:
            async with client.connected(self.config) as telegram:
                await telegram.send_code_request(PHONE)
                await telegram.sign_in(PHONE, CODE)

        asyncio.run(do())

    # The daemon

    def start(self, **sections: Any) -> None:
        paths = {"state": str(self.state), "library": str(self.library)}
        file = self.folder / "config.toml"
        file.write_text(tomli_w.dumps({"paths": paths, "telegram": self.telegram()} | sections))
        with self.output.open("ab") as output:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "pipeline.entry", "run", "--config", str(file)],
                cwd=self.folder,
                stderr=output,
                stdout=output,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def stop(self) -> int:
        assert self._daemon is not None
        self._daemon.terminate()
        return self._daemon.wait(30)

    def kill(self) -> None:
        """kill -9 of the supervisor."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait(30)

    def kill_adapter(self) -> int:
        """kill -9 of the adapter, once there is one; its process id."""
        pid = self.wait(self.adapter_pid)
        os.kill(pid, signal.SIGKILL)
        return pid

    def adapter_pid(self) -> int:
        assert self._daemon is not None
        with suppress(OSError):
            for pid in Path(f"/proc/{self._daemon.pid}/task/{self._daemon.pid}/children").read_text().split():
                if b"stampmill: telegram" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        return 0

    @property
    def pids(self) -> list[int]:
        assert self._daemon is not None
        return [self._daemon.pid]

    # The chats

    def send(self, sender: Account, content: Content | bytes, to: Account | Chat | None = None, **more: Any) -> int:
        return self.server.send_document(sender, to or self.account, content, **more)

    def said(self, chat: Account | Chat) -> list[Seen]:
        """What the account has said in CHAT."""
        if chat.id < _CHANNELS_BELOW:  # a channel keeps its messages itself
            return [one for one in self.server.messages(chat) if one.sender == self.account.id]
        return [one for one in self.server.messages(self.account, chat) if one.out]

    def finals(self, chat: Account | Chat, message: int = 0) -> list[Seen]:
        """The final answers in CHAT, to MESSAGE where one is named."""
        return [
            one
            for one in self.said(chat)
            if one.text.startswith(FINAL) and not one.silent and message in (0, one.reply_to)
        ]

    def final(self, chat: Account | Chat, message: int) -> Seen:
        """The final answer to MESSAGE, once it's there."""
        return self.wait(lambda: self.finals(chat, message))[0]

    def wait(self, found: Callable[[], T], timeout_s: float = WAIT_S) -> T:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if result := found():
                return result
            time.sleep(0.05)
        raise AssertionError(f"it didn't come about; the daemon said:\n{self.words()}")

    def words(self) -> str:
        log = self.state / "log" / "telegram.log"
        return "\n".join(file.read_text(errors="replace")[-4000:] for file in (self.output, log) if file.exists())

    def rows(self, sql: str) -> list[Any]:
        """What the ledger holds; nothing while the daemon is still making it."""
        ledger = self.state / "ledger.sqlite"
        if not ledger.exists() or not ledger.stat().st_size:
            return []
        with closing(sqlite3.connect(f"file:{self.state}/ledger.sqlite?mode=ro", uri=True)) as db:
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone()
            return db.execute(sql).fetchall() if made else []


@contextmanager
def house(folder: Path, *, started: bool = True, **settings: Any) -> Iterator[House]:
    """A house whose account is logged in and, unless told otherwise, whose daemon runs."""
    with TelegramServer() as server:
        built = House(folder, server, **settings)
        built.log_in()
        if started:
            built.start()
        try:
            yield built
        finally:
            if built._daemon is not None and built._daemon.poll() is None:
                built.kill()

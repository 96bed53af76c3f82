"""Nothing secret is left anywhere once it has been used, and no process ever shows it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bot_adapter import client
from tests.integration.telegram_house import House
from tests.telegram_server import Account, TelegramServer

PHONE = "15550177"
CODE = "90817"
SECOND = "correct horse battery staple"
CAPTION = "zanzibar-1964-quokka"
REPLY = "mollusc-77-parasol"


class Watcher(threading.Thread):
    """Reads the command lines and environments of everything below a process, as fast as it can."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.seen: set[bytes] = set()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.002):
            for pid in self._family(str(self.pid)):
                for name in ("cmdline", "environ", "comm"):
                    try:
                        self.seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
                    except OSError:
                        continue

    def _family(self, pid: str) -> Iterator[str]:
        yield pid
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                    yield from self._family(child)
        except OSError:
            return


class SecretHouse(House):
    """Its account has a second factor."""

    def log_in(self) -> None:
        async def do() -> None:
            async with client.connected(self.config) as telegram:
                await telegram.send_code_request(PHONE)
                try:
                    await telegram.sign_in(PHONE, CODE)
                except Exception:
                    await telegram.sign_in(password=SECOND)

        asyncio.run(do())


def locked(folder: Path, name: str, password: str) -> bytes:
    (folder / f"{name}.csv").write_text(f"id,name\n1,{name}\n")
    command = ["7zz", "a", f"-p{password}", f"{name}.zip", f"{name}.csv"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (folder / f"{name}.zip").read_bytes()


def places(home: House) -> Iterator[Path]:
    """Everything that the daemon wrote, but the login itself and what people sent."""
    yield home.output
    for file in home.state.rglob("*"):
        inside = file.relative_to(home.state).parts[0]
        if file.is_file() and inside not in ("telegram", "spool"):
            yield file
    yield from (file for file in home.library.rglob("*") if file.is_file())


def test_no_secret_is_left_anywhere(tmp_path: Path) -> None:
    with TelegramServer() as server:
        home = SecretHouse(tmp_path, server, reconcile_s=2.0)
        home.account = server.add_account(PHONE, name="Mill", code=CODE, password=SECOND)
        home.log_in()
        home.start()
        try:
            _run(home, home.anna, tmp_path)
        finally:
            home.stop()
        secrets = {"api_hash": server.api_hash, "phone": PHONE, "code": CODE, "2FA": SECOND, "a": CAPTION, "b": REPLY}
        found = [
            (what, file)
            for file in places(home)
            for what, secret in secrets.items()
            if secret.encode() in file.read_bytes()
        ]
        assert not found


def _run(home: House, anna: Account, folder: Path) -> None:
    watcher = Watcher(home.pids[0])
    watcher.start()
    first = home.send(anna, locked(folder, "first", CAPTION), name="first.zip", caption=f"password: {CAPTION}")
    home.final(anna, first)
    second = home.send(anna, locked(folder, "second", REPLY), name="second.zip")
    refused = home.final(anna, second)
    home.kill_adapter()
    home.server.send_text(anna, home.account, REPLY, reply_to=refused.id)
    home.wait(lambda: len(home.finals(anna, second)) == 2)
    wrong = home.send(anna, locked(folder, "third", REPLY), name="third.zip", caption=f"password: {CAPTION}")
    home.final(anna, wrong)
    home.server.refuse_keys(home.account, 406, "AUTH_KEY_DUPLICATED")
    home.server.drop_connections()
    home.wait(lambda: "AUTH_KEY_DUPLICATED" in home.words())
    time.sleep(1.5)  # for the housekeeping that empties the log of what was wiped, once a second
    watcher.over.set()
    watcher.join()
    shown = [
        text
        for text in watcher.seen
        for secret in (home.server.api_hash, PHONE, CODE, SECOND, CAPTION, REPLY)
        if secret.encode() in text
    ]
    assert not shown
    assert any(b"stampmill: telegram" in text for text in watcher.seen)

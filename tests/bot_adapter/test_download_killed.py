"""kill -9 in the midst of a file: what was there is kept, memory stays flat."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bot_adapter.telegram import configured, logged_in, written
from tests.telegram_server import Blocks, TelegramServer
from tests.telegram_server.content import digest

MIB = 1024 * 1024
IN_FLIGHT = 32 * MIB  # at most is on its way, and lost
ROOT = Path(__file__).resolve().parents[2]


def _started(config: Path, chat: int, message: int, path: Path) -> subprocess.Popen[bytes]:
    script = ROOT / "tests" / "bot_adapter" / "fetch_one.py"
    return subprocess.Popen(
        [sys.executable, script, config, str(chat), str(message), path],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("mib", [200, pytest.param(4096, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_killed_download_goes_on_where_it_was(telegram_server: TelegramServer, tmp_path: Path, mib: int) -> None:
    content = Blocks(mib * MIB)
    account, ada = telegram_server.add_account(premium=True), telegram_server.add_user("Ada")
    config = configured(telegram_server, tmp_path)

    async def log_in() -> None:
        async with logged_in(config, account):
            pass

    asyncio.run(log_in())
    telegram_server.set_faults(rtt_s=0.02, offers_hashes=False)
    message = telegram_server.send_document(ada, account, content)
    file, path = written(config, tmp_path / "config.toml"), tmp_path / "x"
    for share in (0.3, 0.6):
        process = _started(file, ada.id, message, path)
        telegram_server.wait_for(lambda share=share: telegram_server.served()[0] > content.size * share, 600)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not path.exists()
    process = _started(file, ada.id, message, path)
    output, _ = process.communicate()
    assert process.returncode == 0
    with path.open("rb") as whole:
        assert hashlib.file_digest(whole, "sha256").hexdigest() == digest(content)
    path.unlink()  # pytest keeps folders of the last three runs
    assert telegram_server.served()[1] <= 2 * IN_FLIGHT
    assert int(output) < 200 * MIB

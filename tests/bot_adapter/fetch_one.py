"""A process that downloads one file, to be killed: `python fetch_one.py CONFIG CHAT MESSAGE PATH`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bot_adapter.client import connected
from bot_adapter.transfers import Transfers
from pipeline.settings import config_file


async def main(config: str, chat: int, message: int, path: Path) -> None:
    async with connected(config_file.read(Path(config))) as client:
        await client.get_dialogs()
        letter = await client.get_messages(chat, ids=message)
        transfers = Transfers(client, premium=True)
        await transfers.fetch(letter, path, lambda done: None)
        await transfers.close()
    sys.stdout.write(str(peak_bytes()))


def peak_bytes() -> int:
    """The most memory of this program; getrusage would count what its parent had when it forked, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))

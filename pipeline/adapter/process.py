"""The adapter's process as such: dying with its supervisor, its log, its title, its end of the socket.

What it does there is the business of the module it is told to run (`bot_adapter.adapter`).
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from pipeline.config import Config
from pipeline.processes import process_tools


class AdapterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told at its start. `module` exposes `run(config, link)`, which returns when it has ended."""

    module: str
    config: Config
    supervisor: int  # its process id
    log: str


def main(spec: AdapterSpec, end: socket.socket) -> None:
    """The process's whole life."""
    process_tools.die_with_parent(spec.supervisor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor decides
    os.umask(0o077)  # Telethon makes the session file as the umask says
    process_tools.redirect_output(Path(spec.log))
    process_tools.set_title("telegram")
    lock = process_tools.open_lock(Path(spec.config.paths.state) / "locks" / "telegram.lock")
    process_tools.lock(lock)
    try:
        from pipeline.adapter.link import SocketLink  # it loads asyncio, which the supervisor has no use for

        module: Any = importlib.import_module(spec.module)
        module.run(spec.config, SocketLink(end))
    except BaseException:  # noqa: BLE001 - whatever it is, it is written down and the process ends
        traceback.print_exc(limit=20)
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)  # nothing here is worth a tidy end, and no thread of a library's may hold it up

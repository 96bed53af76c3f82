"""`status --watch`: the live view over the control socket, plain lines off a terminal, JSON lines on request."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from pipeline.config import Config
from pipeline.daemon import control_protocol as protocol
from pipeline.daemon.control_client import ControlClient
from pipeline.daemon.control_protocol import VERSION
from pipeline.errors import Unreachable
from pipeline.snapshot import Snapshot
from pipeline.verbs.consoles import out, print_json
from pipeline.verbs.glance import last_word

_DRAWN_EVERY_S: Final = 0.4
_PRINTED_EVERY_S: Final = 2.0
_AGAIN_S: Final = 1.0  # between two tries to reach a daemon that is down
_RECENT: Final = 20


def watch_daemon(config: Config, *, as_json: bool) -> None:
    """Shows the daemon of CONFIG until we are interrupted. On a terminal one that goes away is waited for; elsewhere that
    raises Unreachable."""
    if sys.stdout.isatty() and not as_json:
        _draw(config)
        return
    from pipeline.screen import status

    for snapshot in _snapshots(config, _PRINTED_EVERY_S):
        if as_json:
            print_json(snapshot)
        else:
            out().print(status.plain(snapshot, config), markup=False)


def _draw(config: Config) -> None:
    from rich.console import Console
    from rich.live import Live

    from pipeline.screen import status

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            try:
                for snapshot in _snapshots(config, _DRAWN_EVERY_S):
                    live.update(status.screen(snapshot, config, *console.size), refresh=True)
            except Unreachable as error:
                counts, recent = last_word(config.paths.ledger)
                screen = status.down(error.message, counts, recent, time.time(), *console.size)
                live.update(screen, refresh=True)
                time.sleep(_AGAIN_S)  # nothing tells of a socket to come


def _snapshots(config: Config, every_s: float) -> Iterator[Snapshot]:
    with ControlClient(config.paths.socket) as client:
        for data in client.stream(protocol.Watch(v=VERSION, every_s=every_s)):
            yield msgspec.convert(data, Snapshot)

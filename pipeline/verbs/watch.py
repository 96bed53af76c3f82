"""`status --watch`: the live view over the control socket, plain lines off a terminal, JSON lines on request."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec

from pipeline import control_protocol as protocol
from pipeline.config import Config
from pipeline.control_client import ControlClient
from pipeline.control_protocol import VERSION
from pipeline.model import Snapshot
from pipeline.verbs.common import out, print_json

_DRAWN_EVERY_S = 0.4
_PRINTED_EVERY_S = 2.0


def watch_daemon(client: ControlClient, config: Config, *, as_json: bool) -> None:
    """Shows the daemon behind CLIENT until it goes, or we are interrupted. Raises Unreachable."""
    if as_json:
        for snapshot in _snapshots(client, _PRINTED_EVERY_S):
            print_json(snapshot)
    elif sys.stdout.isatty():
        _draw(client, config)
    else:
        from pipeline import status

        for snapshot in _snapshots(client, _PRINTED_EVERY_S):
            out().print(status.plain(snapshot, config), markup=False)


def _draw(client: ControlClient, config: Config) -> None:
    from rich.live import Live

    from pipeline import status

    console = out()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        for snapshot in _snapshots(client, _DRAWN_EVERY_S):
            live.update(status.screen(snapshot, config, *console.size), refresh=True)


def _snapshots(client: ControlClient, every_s: float) -> Iterator[Snapshot]:
    for data in client.stream(protocol.Watch(v=VERSION, every_s=every_s)):
        yield msgspec.convert(data, Snapshot)

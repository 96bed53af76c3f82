"""What systemd and its journal are told."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.daemon.journal import Journal, Level
from pipeline.daemon.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)
        yield end


def notifier(systemd: socket.socket, **more: str) -> tuple[Notifier, dict[str, str]]:
    environment = {"NOTIFY_SOCKET": systemd.getsockname(), "PATH": "/bin", **more}
    return Notifier(environment), environment


def said(systemd: socket.socket) -> list[str]:
    found = []
    try:
        while True:
            found.append(systemd.recv(4096).decode())
    except BlockingIOError:
        return found


def test_what_is_said_once_waits_for_room(systemd: socket.socket) -> None:
    tells, _ = notifier(systemd)
    for _ in range(2000):
        tells.alive()  # nobody reads, so that most of these are dropped
    last = threading.Thread(target=tells.stopping)
    last.start()
    last.join(0.2)  # it waits, or has given up
    heard = said(systemd)
    last.join()
    tells.close()
    assert any(word.startswith("STOPPING=1") for word in heard + said(systemd))


def test_the_life_of_a_service(systemd: socket.socket) -> None:
    one, environment = notifier(systemd)
    assert environment == {"PATH": "/bin"}, "no child is to speak for us"
    one.ready()
    one.status("Working:\nextract")
    one.status("Working:\nextract")
    one.alive()
    one.reloading()
    one.ready()
    one.stopping()
    one.close()
    ready, status, alive, reloading, again, stopping = said(systemd)
    assert ready == again == f"READY=1\nMAINPID={os.getpid()}"
    assert (status, alive) == ("STATUS=Working: extract", "WATCHDOG=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert stopping.startswith("STOPPING=1")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("60000000", "ours", 60.0),
        ("60000000", "", 60.0),
        ("60000000", "1", 0.0),
        ("", "", 0.0),
        ("x", "", 0.0),
    ],
)
def test_how_often_the_watchdog_wants_to_be_fed(usec: str, pid: str, seconds: float, systemd: socket.socket) -> None:
    pid = str(os.getpid()) if pid == "ours" else pid
    one, environment = notifier(systemd, WATCHDOG_USEC=usec, WATCHDOG_PID=pid)
    one.close()
    assert one.watchdog_s == seconds
    assert "WATCHDOG_USEC" not in environment


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, contextlib.ExitStack() as stack:
        end.bind(f"\0stampmill-test-{os.getpid()}")
        one = Notifier({"NOTIFY_SOCKET": f"@stampmill-test-{os.getpid()}"})
        stack.callback(one.close)
        one.alive()
        assert end.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:1:2"}, {"NOTIFY_SOCKET": "/gone"}]
)
def test_without_systemd_nothing_is_sent(environment: dict[str, str]) -> None:
    one = Notifier(environment)
    one.ready()
    one.stopping()
    one.close()
    one.alive()


# The journal


def written(form: str, least: str = "info") -> tuple[Journal, io.StringIO]:
    stream = io.StringIO()
    return Journal(form, least, stream), stream


def test_one_event_is_one_line_with_its_priority() -> None:
    journal, stream = written("text")
    journal.info("done: a b.csv", job=17, stage="extract", batch=0, reason="")
    journal.warning("evil\n<0>name \x1b[31m", name='x "y"')
    journal.debug("not told")
    assert stream.getvalue().split("\n") == [
        "<6>job=17 stage=extract batch=0 done: a b.csv",
        r'<4>name="x \"y\"" evil\n<0>name \x1b[31m',
        "",
    ]


def test_as_json() -> None:
    journal, stream = written("json", "err")
    journal.notice("not told")
    journal.error("evil\n", job=3)
    line = stream.getvalue()
    assert line.startswith("<3>") and line.count("\n") == 1
    event = json.loads(line[3:])
    assert event.pop("at") > 0
    assert event == {"level": "err", "text": "evil\n", "job": 3}


def test_what_is_told_can_change(capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal()
    journal.configure("text", "debug")
    journal.write(Level.DEBUG, "a step")
    assert capsys.readouterr().err == "<7>a step\n"


def test_a_reader_that_is_gone_is_no_reason_to_stop() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        Journal(stream=stream).error("nobody hears")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

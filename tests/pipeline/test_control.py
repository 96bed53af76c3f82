"""The control socket, with a loop and clients of its own: whoever goes away, floods, dawdles or talks rubbish harms
nobody else."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.daemon import control, control_protocol
from pipeline.daemon.control import Client, ControlServer
from pipeline.daemon.control_client import ControlClient
from pipeline.daemon.control_protocol import VERSION, Refused, Request
from pipeline.errors import ExitCode, RequestRefused, Unreachable


class House:
    """A loop in a thread, which serves."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control.sock"
        self.selector = selectors.DefaultSelector()
        self.waiting: list[tuple[Client, Request]] = []
        self._wake, self._woken = socket.socketpair()
        self.selector.register(self._woken, selectors.EVENT_READ, None)
        self.server = ControlServer(self.path, self.watch, self.handle)
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def watch(self, file: int, events: int, listener: control.Listener) -> None:
        if file in self.selector.get_map():
            self.selector.unregister(file)
        if events:
            self.selector.register(file, events, listener)

    def handle(self, request: Request, client: Client) -> Any:
        if isinstance(request, control_protocol.Cancel):
            raise Refused("unknown", f"There is no job {request.job}.")
        if isinstance(request, control_protocol.Watch):
            for number in range(3):
                client.answer(request.id, number, more=number < 2)
            return ControlServer.LATER
        if isinstance(request, control_protocol.Wait):
            self.waiting.append((client, request))
            return ControlServer.LATER
        if isinstance(request, control_protocol.Resume):
            for one, waiting in self.waiting:
                one.answer(waiting.id, "done")
        if isinstance(request, control_protocol.Submit):
            return "x" * 300_000
        return {"fine": True}

    def _loop(self) -> None:
        while True:
            for key, events in self.selector.select():
                if key.data is None:
                    return
                key.data(events)

    def close(self) -> None:
        self._wake.send(b".")
        self._thread.join()
        self.server.close()
        self.selector.close()
        self._wake.close()
        self._woken.close()

    def ask(self, request: Request) -> Any:
        with ControlClient(self.path) as client:
            return client.ask(request)

    def is_well(self) -> bool:
        return bool(self.ask(control_protocol.Status(v=VERSION)) == {"fine": True})

    def raw(self) -> socket.socket:
        end = control_protocol.new_socket()
        with control_protocol.address_of(self.path) as address:
            end.connect(address)
        end.settimeout(20)
        return end


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def lines(end: socket.socket) -> list[dict[str, Any]]:
    """All that comes until the other end closes."""
    with end.makefile("rb") as file:
        return [json.loads(line) for line in file]


def test_it_is_its_owners_alone_and_gone_afterwards(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert stat.S_IMODE(house.path.stat().st_mode) == 0o600
    house.close()
    assert not house.path.exists()


def test_one_that_a_kill_has_left_is_replaced(tmp_path: Path) -> None:
    end = socket.socket(socket.AF_UNIX)
    end.bind(str(tmp_path / "control.sock"))
    end.close()
    house = House(tmp_path)
    assert house.is_well()
    house.close()


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    deep.mkdir(parents=True)
    house = House(deep)
    assert house.is_well()
    house.close()


def test_answers_and_refusals(house: House) -> None:
    with ControlClient(house.path) as client:
        assert client.ask(control_protocol.Status(v=VERSION)) == {"fine": True}
        with pytest.raises(RequestRefused, match="There is no job 7"):
            client.ask(control_protocol.Cancel(v=VERSION, job=7))
        assert list(client.stream(control_protocol.Watch(v=VERSION))) == [0, 1, 2]


def test_an_answer_that_comes_later(house: House) -> None:
    with house.raw() as end:
        end.sendall(b'{"v": 1, "id": 3, "do": "wait", "jobs": [1]}\n{"v": 1, "id": 4, "do": "status"}\n')
        with end.makefile("rb") as file:
            assert json.loads(file.readline()) == {"v": 1, "id": 4, "ok": True, "data": {"fine": True}}
            house.ask(control_protocol.Resume(v=VERSION))
            assert json.loads(file.readline()) == {"v": 1, "id": 3, "ok": True, "data": "done"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello", "malformed"),
        (b"[]", "malformed"),
        (b'"\xff"', "malformed"),
        (b'{"v": 1}', "malformed"),
        (b'{"v": 1, "do": "explode"}', "malformed"),
        (b'{"v": 1, "do": "cancel", "job": "x"}', "malformed"),
        (b'{"v": 2, "do": "status"}', "version"),
        (b'{"do": "status"}', "version"),
        (b"[" * 5000, "malformed"),
    ],
)
def test_rubbish_is_refused_and_the_client_may_go_on(house: House, line: bytes, code: str) -> None:
    with house.raw() as end:
        end.sendall(line + b'\n\n{"v": 1, "id": 9, "do": "status"}\n')
        end.shutdown(socket.SHUT_WR)
        refused, answered = lines(end)
    assert refused["error"]["code"] == code
    assert answered["id"] == 9


@given(st.binary(max_size=200))
def test_no_line_whatever_is_more_than_refused(line: bytes) -> None:
    with contextlib.suppress(Refused):
        control_protocol.decode_request(line)
    assert isinstance(control_protocol.request_id(line), int)


def test_a_request_without_end_is_cut_off(house: House) -> None:
    with house.raw() as end, pytest.raises(OSError):  # noqa: PT012 - which of the sends notices is up to the kernel
        for _ in range(100):
            end.sendall(b"x" * 10_000)
    assert house.is_well()


def test_those_that_go_away_harm_nobody(house: House) -> None:
    for _ in range(200):
        house.raw().close()
        with house.raw() as end:
            end.sendall(b'{"v": 1, "do": "submit", "folders": []}\n')  # a large answer, which nobody fetches
    assert house.is_well()


def test_one_that_floods_and_fetches_nothing_is_held_up_and_others_are_served(house: House) -> None:
    with house.raw() as flood:
        flood.setblocking(False)
        try:
            for _ in range(100_000):
                flood.send(b'{"v": 1, "do": "submit", "folders": []}\n' * 100)
        except BlockingIOError:
            pass
        assert house.is_well()
        assert max(len(client._unsent) for client in house.server.clients()) < 40_000_000, "it is bounded"


def test_one_that_is_too_slow_is_let_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_SLOW_S", 0.0)
    with house.raw() as slow:
        slow.sendall(b'{"v": 1, "do": "submit", "folders": []}\n' * 10)
        assert slow.recv(1)
        assert house.is_well()
    slow = house.raw()
    slow.sendall(b'{"v": 1, "do": "submit", "folders": []}\n' * 10)
    assert slow.recv(1)
    while not any(client.has_unsent for client in house.server.clients()):
        assert house.is_well()
    house.server.tidy()
    assert not any(client.has_unsent for client in house.server.clients())
    slow.close()


def test_of_too_many_the_one_goes_that_was_silent_longest(house: House) -> None:
    ends = [house.raw() for _ in range(control._MAX_CLIENTS)]
    for end in ends:
        end.sendall(b'{"v": 1, "do": "status"}\n')
        assert end.recv(1000).endswith(b"\n")
    assert house.is_well()
    assert lines(ends[0]) == [], "it was let go"
    ends[1].sendall(b'{"v": 1, "do": "status"}\n')
    assert ends[1].recv(1)
    for end in ends:
        end.close()


def test_a_daemon_that_isnt_there(tmp_path: Path) -> None:
    for path in (tmp_path / "gone" / "control.sock", tmp_path / "control.sock"):
        with pytest.raises(Unreachable, match="No daemon answers") as caught:
            ControlClient(path)
        assert caught.value.exit_code is ExitCode.UNREACHABLE
    (tmp_path / "control.sock").write_text("a file")
    with pytest.raises(Unreachable):
        ControlClient(tmp_path / "control.sock")


def test_a_daemon_that_goes_away(house: House) -> None:
    with ControlClient(house.path) as client:
        assert client.ask(control_protocol.Status(v=VERSION))
        client._socket.shutdown(socket.SHUT_RD)  # what the kernel does when the other end is gone
        with pytest.raises(Unreachable):
            client.ask(control_protocol.Status(v=VERSION))

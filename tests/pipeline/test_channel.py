"""The socket between the supervisor and a worker: whole datagrams, in order, and a death that is seen."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest

from pipeline.datagrams import MAX_DATAGRAM_BYTES
from pipeline.processes import channel
from pipeline.processes.channel import Channel, Closed


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = channel.pair()
    one = Channel(ours)
    yield one, theirs
    one.close()
    theirs.close()


def test_datagrams_arrive_whole_and_in_order(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    sent = [b"a", b"b" * MAX_DATAGRAM_BYTES, b"c"]
    for data in sent:
        theirs.send(data)
    assert ours.receive() == sent
    assert ours.receive() == []
    for data in sent:
        ours.send(data)
    assert [theirs.recv(MAX_DATAGRAM_BYTES) for _ in sent] == sent


def test_what_a_busy_worker_doesnt_take_is_kept_and_follows_in_order(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    theirs.settimeout(20)
    sent = [b"%06d" % number + bytes(MAX_DATAGRAM_BYTES - 6) for number in range(40)]
    for data in sent:
        ours.send(data)
    assert ours.has_unsent
    received: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_WRITE)
        while len(received) < len(sent):
            received.append(theirs.recv(MAX_DATAGRAM_BYTES))
            if selector.select(0):
                ours.flush()
    assert received == sent
    assert not ours.has_unsent


def test_a_dead_worker_is_seen_once_everything_it_said_was_heard(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    theirs.send(b"last words")
    theirs.close()
    assert ours.receive() == [b"last words"]
    with pytest.raises(Closed):
        ours.receive()


def test_it_is_heard_out_though_it_died_with_orders_unread(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    ours.send(b"an order that it never reads")
    theirs.send(b"last")
    theirs.send(b"words")
    theirs.close()
    assert ours.receive() == [b"last", b"words"]
    with pytest.raises(Closed):
        ours.receive()


def test_sending_to_the_dead_is_no_error(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    theirs.close()
    ours.send(b"hello?")
    ours.send(b"hello?")
    assert not ours.has_unsent


def test_a_worker_sees_its_supervisors_end(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    ours.send(b"one more")
    ours.close()
    assert theirs.recv(MAX_DATAGRAM_BYTES) == b"one more"
    assert theirs.recv(MAX_DATAGRAM_BYTES) == b""

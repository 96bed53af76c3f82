"""Keys, envelopes, framings, salts, updates: what lies beneath the API."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from telethon import errors, events, functions
from telethon.network import (
    ConnectionTcpAbridged,
    ConnectionTcpFull,
    ConnectionTcpIntermediate,
    ConnectionTcpObfuscated,
)
from telethon.tl import types

from tests.telegram_server import Act, Fault
from tests.telegram_server.conftest import Bench


@pytest.mark.parametrize("connection", [ConnectionTcpFull, ConnectionTcpAbridged, ConnectionTcpIntermediate])
def test_every_framing(bench: Bench, connection: type) -> None:
    async def story(client: Any) -> None:
        assert (await client.get_me()).id == bench.account.id

    bench.run(story, connection)


def test_a_framing_that_isnt_covered_ends_the_connection(bench: Bench) -> None:
    async def play() -> None:
        client = bench.client(ConnectionTcpObfuscated)
        client._sender._retries = 1
        with pytest.raises((ConnectionError, EOFError)):
            await asyncio.wait_for(client.connect(), 20)
        await client.disconnect()

    asyncio.run(play())


def test_several_requests_in_one_container(bench: Bench) -> None:
    async def story(client: Any) -> None:
        states = await client([functions.updates.GetStateRequest() for _ in range(20)])
        assert len(states) == 20

    bench.run(story)


def test_large_answers_are_gzipped(bench: Bench) -> None:
    async def story(client: Any) -> None:
        for _ in range(30):
            bench.server.send_text(bench.ada, bench.account, "the same text " * 50, push=False)
        await client.get_dialogs()
        assert len(await client.get_messages(bench.ada.id, limit=30)) == 30

    bench.run(story)


def test_a_new_salt_is_learned(bench: Bench) -> None:
    async def story(client: Any) -> None:
        before = client._sender._state.salt
        bench.server.rotate_salts()
        await client.get_me()
        assert client._sender._state.salt == before + 1

    bench.run(story)


def test_a_wrong_clock_is_put_right(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        client = bench.client()
        await client.connect()
        client._sender._state.time_offset = -1000
        client._sender._state._last_msg_id = 0
        await bench.enter(client)
        assert abs(client._sender._state.time_offset) <= 1
        await client.disconnect()

    asyncio.run(play())


def test_nothing_is_answered_before_a_client_has_introduced_itself(bench: Bench) -> None:
    async def play() -> None:
        client = bench.client()
        await client._sender.connect(
            client._connection(*bench.server.address(), 2, loggers=client._log, proxy=None, local_addr=None)
        )
        with pytest.raises(errors.ConnectionNotInitedError):
            await client._sender.send(functions.help.GetNearestDcRequest())
        await client._sender.disconnect()

    asyncio.run(play())


def test_only_who_is_logged_in_is_served(bench: Bench) -> None:
    async def play() -> None:
        client = bench.client()
        await client.connect()
        with pytest.raises(errors.AuthKeyUnregisteredError):
            await client(functions.updates.GetStateRequest())
        await client.disconnect()

    asyncio.run(play())


def test_updates_are_pushed(bench: Bench) -> None:
    async def story(client: Any) -> None:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(seen.put, events.NewMessage())
        client.add_event_handler(seen.put, events.MessageEdited())
        client.add_event_handler(seen.put, events.MessageDeleted())
        number = bench.server.send_text(bench.ada, bench.account, "one")
        assert (await seen.get()).raw_text == "one"
        bench.server.edit_text(bench.account, number, "two")
        assert (await seen.get()).raw_text == "two"
        bench.server.delete_message(bench.account, number)
        assert (await seen.get()).deleted_ids == [number]

    bench.run(story)


@pytest.mark.parametrize("count", [3, 250])
def test_what_wasnt_pushed_is_in_the_difference(bench: Bench, count: int) -> None:
    async def story(client: Any) -> None:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(seen.put, events.NewMessage())
        for number in range(count):
            bench.server.send_text(bench.ada, bench.account, str(number), push=False)
        await client.catch_up()
        assert [(await seen.get()).raw_text for _ in range(count)] == [str(number) for number in range(count)]

    bench.run(story)


def test_too_much_of_a_difference_is_none(bench: Bench) -> None:
    bench.server.set_faults(too_long_after=5)

    async def story(client: Any) -> None:
        state = await client(functions.updates.GetStateRequest())
        for number in range(6):
            bench.server.send_text(bench.ada, bench.account, str(number), push=False)
        request = functions.updates.GetDifferenceRequest(pts=state.pts, date=state.date, qts=state.qts)
        assert isinstance(await client(request), types.updates.DifferenceTooLong)

    bench.run(story)


def test_a_channel_numbers_its_own_messages(bench: Bench) -> None:
    lab = bench.server.add_channel("Lab", [bench.account, bench.ada])

    async def story(client: Any) -> None:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(seen.put, events.NewMessage())
        bench.server.send_text(bench.ada, bench.account, "private")
        assert (await seen.get()).id == 1
        for number in range(1, 4):
            assert bench.server.send_text(bench.ada, lab, str(number)) == number
            event = await seen.get()
            assert (event.chat_id, event.sender_id, event.id) == (lab.id, bench.ada.id, number)

    bench.run(story)


def test_a_round_trip_takes_its_time(bench: Bench) -> None:
    async def story(client: Any) -> None:
        bench.server.set_faults(rtt_s=0.2)
        before = time.monotonic()
        await client.get_me()
        assert time.monotonic() - before >= 0.2

    bench.run(story)


def test_a_request_is_carried_out_though_its_answer_never_comes(bench: Bench) -> None:
    bench.server.fault(Fault(method="messages.sendMessage", act=Act.CARRIED_OUT))

    async def story(client: Any) -> None:
        bench.server.send_text(bench.ada, bench.account, "hi")
        await client.get_dialogs()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.send_message(bench.ada.id, "hello"), 1)

    bench.run(story)
    assert [one.text for one in bench.server.messages(bench.account)] == ["hi", "hello"]


def test_keys_outlive_a_restart_and_sessions_dont(bench: Bench) -> None:
    async def story(client: Any) -> None:
        bench.server.restart()
        assert (await client.get_me()).id == bench.account.id

    bench.run(story)


def test_a_transport_error_in_place_of_an_answer(bench: Bench) -> None:
    fault = bench.server.fault(Fault(method="help.getNearestDc", act=Act.TRANSPORT, code=429))

    async def story(client: Any) -> None:
        # Telethon connects again, and asks again.
        assert (await client(functions.help.GetNearestDcRequest())).this_dc == 2

    bench.run(story)
    assert fault.struck == 1
    assert len(bench.server.calls("help.getNearestDc")) == 2

"""Servers that do things in other ways, and servers in trouble: what was sent is answered all the same, exactly once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.telegram_house import House, house
from tests.integration.test_telegram_account import status
from tests.telegram_server import Account, Act, Fault

_numbers = itertools.count(1)
METHODS = (
    *("messages.sendMessage", "messages.editMessage", "messages.getHistory", "messages.getMessages"),
    *("users.getUsers", "upload.getFile", "upload.getFileHashes", "help.getConfig"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), reconcile_s=3600.0) as built:
        built.final(built.anna, send(built, built.anna))
        yield built


@pytest.fixture
def server(home: House) -> Iterator[Any]:
    yield home.server
    home.server.set_manners()


def send(home: House, sender: Account, **more: Any) -> int:
    """A file like no other before."""
    number = next(_numbers)
    return home.send(sender, f"id,name\n{number},fruit{number}\n".encode(), name=f"n{number}.csv", **more)


def answered_once(home: House, sender: Account, message: int) -> None:
    final = home.final(sender, message)
    assert final.text.startswith("✅"), final.text
    home.wait(lambda: "Answered below" in (statuses(home, sender, message) or [""])[0] or late(home, message))
    assert len(home.finals(sender, message)) == 1
    assert len(statuses(home, sender, message)) <= 1


def late(home: House, message: int) -> bool:
    """Whether the status message was never sent, since the answer was there before it."""
    where = f"once LIKE 'status:%' AND reply_to = {message} AND message = 0"
    return bool(home.rows(f"SELECT 1 FROM outbox WHERE {where} AND state IN ('sent', 'dropped')"))


def statuses(home: House, sender: Account, message: int) -> list[str]:
    return [one.text for one in home.said(sender) if one.silent and one.reply_to == message]


@pytest.mark.parametrize(
    "manners",
    [
        {"pushes": "combined"},
        {"pushes": "short"},
        {"pushes": "too long"},
        {"pushes": "twice"},
        {"pushes": "updates", "seq": 1},
        {"pushes": "combined", "seq": 7},
        {"tells_ids": False},
        {"part_bytes": 4096},
        {"history_page": 1, "history_whole": True},
    ],
    ids=str,
)
def test_a_server_of_other_manners(home: House, server: Any, manners: dict[str, Any]) -> None:
    server.set_manners(**manners)
    answered_once(home, home.anna, send(home, home.anna))
    asked = server.send_text(home.anna, home.account, "/jobs")
    reply = home.wait(lambda: [one for one in home.said(home.anna) if one.reply_to == asked])
    assert "Your last uploads" in reply[0].text
    assert len(reply) == 1


@pytest.mark.parametrize(("who", "names"), [("bob", "none"), ("carl", "min")])
def test_somebody_whom_no_push_names(home: House, server: Any, who: str, names: str) -> None:
    server.set_manners(names=names)
    sender = getattr(home, who)
    answered_once(home, sender, send(home, sender))


@pytest.mark.parametrize(
    "manners",
    [{}, {"history_page": 2}, {"history_page": 2, "history_whole": True}, {"pushes": "none"}, {"forgets_hello": True}],
    ids=str,
)
def test_what_no_push_told_of_is_found_after_a_lost_connection(
    home: House, server: Any, manners: dict[str, Any]
) -> None:
    server.set_manners(**manners)
    messages = [send(home, home.bob, push=False) for _ in range(5)]
    server.drop_connections()
    for message in messages:
        answered_once(home, home.bob, message)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (420, "FLOOD_WAIT_1"),
        (-503, "Timeout"),
        (400, "MSG_WAIT_FAILED"),
        (400, "SOMETHING_NEW"),
        (406, "SOMETHING_NEW"),
        (501, "NOT_IMPLEMENTED"),
    ],
)
def test_every_request_may_be_refused_once(home: House, server: Any, code: int, text: str) -> None:
    process = home.adapter_pid()
    faults = [server.fault(Fault(method, Act.ERROR, code=code, text=text)) for method in METHODS]
    server.drop_connections()
    try:
        answered_once(home, home.anna, send(home, home.anna))
    finally:
        for fault in faults:
            fault.times = 0
    assert home.adapter_pid() == process


def test_an_upload_that_is_deleted_in_the_same_moment(home: House, server: Any) -> None:
    server.set_manners(leaves_out_gone=True)
    message = send(home, home.anna, push=False)
    server.delete_message(home.account, message, push=False)
    server.drop_connections()
    answered_once(home, home.anna, send(home, home.anna))
    assert not home.finals(home.anna, message)


@pytest.mark.parametrize(
    "manners", [{"keeps_state": False}, {"names_dcs": False}, {"pushes": "short", "names": "none"}], ids=str
)
def test_a_start_with_a_server_of_other_manners(tmp_path: Any, manners: dict[str, Any]) -> None:
    with house(tmp_path, started=False, reconcile_s=3600.0) as home:
        home.server.set_manners(**manners)
        for method in ("users.getUsers", "updates.getState"):
            home.server.fault(Fault.flood(method, 1))
        home.start()
        early = send(home, home.anna)
        answered_once(home, home.anna, early)
        answered_once(home, home.anna, send(home, home.anna))


def test_an_album_of_which_one_part_alone_was_told_of(home: House, server: Any) -> None:
    parts = [send(home, home.anna, grouped_id=77, push=number == 1) for number in range(3)]
    home.wait(lambda: any(home.finals(home.anna, part) for part in parts))
    finals = [final for part in parts for final in home.finals(home.anna, part)]
    assert len(finals) == 1
    assert "3 rows" in finals[0].text


def test_a_wait_for_answers_is_told_to_the_operator(home: House, server: Any) -> None:
    server.fault(Fault.flood("messages.sendMessage", 15))  # long enough for a slow `status`
    message = send(home, home.anna)
    home.wait(lambda: "before the next answer" in status(home)["telegram_trouble"])
    answered_once(home, home.anna, message)
    assert not status(home)["telegram_trouble"]

"""Which failures of a request pass, and what becomes of the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telethon import errors
from telethon.errors import rpc_message_to_error
from telethon.tl import types

from bot_adapter.asking import Passing, asked, is_for_good
from bot_adapter.fatal import explain, text_of


def refusal(code: int, text: str) -> Exception:
    error: Exception = rpc_message_to_error(types.RpcError(code, text), None)
    return error


def ask(error: BaseException) -> Any:
    async def question() -> None:
        raise error

    return asyncio.run(asked(question()))


@pytest.mark.parametrize(
    ("code", "text", "wait_s"),
    [
        (420, "FLOOD_WAIT_7", 7),
        (420, "FLOOD_PREMIUM_WAIT_3", 3),
        (420, "FLOOD_WAIT_0", 1),
        (420, "FLOOD", 10),
        (420, "SLOWMODE_WAIT_9", 9),
        (500, "RPC_CALL_FAIL", 0),
        (-503, "Timeout", 0),
        (-500, "No workers running", 0),
        (501, "NOT_IMPLEMENTED", 0),
        (400, "MSG_WAIT_FAILED", 0),
        (400, "CONNECTION_NOT_INITED", 0),
        (500, "INTERDC_2_CALL_ERROR", 0),
    ],
)
def test_what_passes(code: int, text: str, wait_s: int) -> None:
    with pytest.raises(Passing) as found:
        ask(refusal(code, text))
    assert found.value.wait_s == wait_s
    assert found.value.of_chat == text.startswith("SLOW")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("x"),
        TimeoutError(),
        errors.TypeNotFoundError(1, b""),
        BufferError(),
        errors.BadMessageError(None, 20),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_broken_connection_passes(error: Exception) -> None:
    with pytest.raises(Passing):
        ask(error)


@pytest.mark.parametrize(
    ("code", "text", "for_good"),
    [
        (403, "CHAT_WRITE_FORBIDDEN", True),
        (403, "PRIVACY_PREMIUM_REQUIRED", True),
        (400, "USER_IS_BLOCKED", True),
        (406, "CHANNEL_PRIVATE", True),
        (400, "SOMETHING_NEW", False),
        (406, "SOMETHING_NEW", False),
        (400, "ENTITY_BOUNDS_INVALID", False),
        (500, "RANDOM_ID_DUPLICATE", False),
    ],
)
def test_what_stays_refused(code: int, text: str, for_good: bool) -> None:
    with pytest.raises(errors.RPCError) as found:
        ask(refusal(code, text))
    assert text_of(found.value) == text
    assert is_for_good(found.value) == for_good
    assert explain(found.value) is None


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (401, "AUTH_KEY_UNREGISTERED"),
        (401, "SESSION_REVOKED"),
        (401, "USER_DEACTIVATED"),
        (406, "AUTH_KEY_DUPLICATED"),
        (401, "SOMETHING_NEW"),
        (420, "FROZEN_METHOD_INVALID"),
    ],
)
def test_what_ends_the_account(code: int, text: str) -> None:
    with pytest.raises(errors.RPCError) as found:
        ask(refusal(code, text))
    assert explain(found.value) is not None


def test_what_telethon_cancels_passes_and_what_we_cancel_doesnt() -> None:
    async def story() -> str:
        lost = asyncio.get_running_loop().create_future()
        lost.cancel()
        with pytest.raises(Passing):
            await asked(lost)
        mine = asyncio.create_task(asked(asyncio.sleep(60)))
        await asyncio.sleep(0)
        mine.cancel()
        with pytest.raises(asyncio.CancelledError):
            await mine
        return "done"

    assert asyncio.run(story()) == "done"


def test_an_answer_that_never_comes_passes() -> None:
    async def story() -> None:
        await asked(asyncio.get_running_loop().create_future(), 0.01)

    with pytest.raises(Passing, match="doesn't answer"):
        asyncio.run(story())

"""A Telegram server of its own for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.telegram_server import TelegramServer


@pytest.fixture
def telegram_server() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server

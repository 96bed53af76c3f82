"""Deny by default."""

from __future__ import annotations

import pytest

from bot_adapter.door import Door, Visitor
from pipeline.config import Telegram

ACCOUNT, ANNA, BOB, GROUP, OTHER_GROUP = 1, 10, 11, -100, -200


def who(chat: int, sender: int, *, out: bool = False, reply_to: int = 0, **settings: tuple[int, ...]) -> Visitor:
    return Door(Telegram(api_id=1, **settings), ACCOUNT).who(chat, sender, out=out, reply_to=reply_to)


@pytest.mark.parametrize("chat", [ANNA, GROUP, ACCOUNT])
def test_nobody_may_by_default(chat: int) -> None:
    assert who(chat, ANNA) is not Visitor.ALLOWED


def test_a_sender_may_in_the_chat_with_us_and_in_a_group_that_is_named() -> None:
    assert who(ANNA, ANNA, senders=(ANNA,)) is Visitor.ALLOWED
    assert who(GROUP, ANNA, senders=(ANNA,)) is Visitor.UNHEARD
    assert who(GROUP, ANNA, senders=(ANNA,), chats=(GROUP,)) is Visitor.ALLOWED
    assert who(GROUP, BOB, senders=(ANNA,), chats=(GROUP,)) is Visitor.UNHEARD
    assert who(OTHER_GROUP, ANNA, senders=(ANNA,), chats=(GROUP,)) is Visitor.UNHEARD


def test_without_senders_everybody_in_a_named_group_may() -> None:
    assert who(GROUP, BOB, chats=(GROUP,)) is Visitor.ALLOWED
    assert who(BOB, BOB, chats=(GROUP,)) is Visitor.STRANGER


def test_a_stranger_is_told_apart_from_a_group_that_isnt_ours() -> None:
    assert who(BOB, BOB, senders=(ANNA,)) is Visitor.STRANGER
    assert who(OTHER_GROUP, BOB, senders=(ANNA,)) is Visitor.UNHEARD


def test_what_we_say_is_no_upload() -> None:
    assert who(ANNA, ACCOUNT, out=True, senders=(ANNA,)) is Visitor.OURSELVES
    assert who(GROUP, ACCOUNT, out=True, chats=(GROUP,)) is Visitor.OURSELVES


def test_saved_messages_take_uploads_but_not_our_answers_to_them() -> None:
    assert who(ACCOUNT, ACCOUNT, out=True, senders=(ACCOUNT,)) is Visitor.ALLOWED
    assert who(ACCOUNT, ACCOUNT, out=True, reply_to=5, senders=(ACCOUNT,)) is Visitor.OURSELVES

"""Groups, channels and bots: who is heard there, and where answers go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.telegram_house import House, house

CSV = b"id,name\n1,apple\n"
TOKEN = "1000009:AAbot-token-of-the-tests"


def rows(word: str) -> bytes:
    return f"id,name\n1,{word}\n".encode()


@pytest.mark.parametrize("kind", ["group", "supergroup", "channel"])
def test_a_group_that_is_named(tmp_path: Path, kind: str) -> None:
    with house(tmp_path, started=False, reconcile_s=1.0) as home:
        people = [home.account, home.anna, home.stranger]
        if kind == "group":
            ours, other = home.server.add_group("ours", people), home.server.add_group("other", people)
        else:
            broadcast = kind == "channel"
            ours = home.server.add_channel("ours", people, broadcast=broadcast)
            other = home.server.add_channel("other", people, broadcast=broadcast)
        home.settings = {"chats": [ours.id], "reconcile_s": 1.0} | ({"senders": []} if kind == "channel" else {})
        home.start()
        unheard = home.send(home.stranger, rows("stranger"), ours, name="stranger.csv") if kind != "channel" else 0
        home.send(home.anna, rows("elsewhere"), other, name="elsewhere.csv")
        early = home.send(home.anna, rows("early"), ours, name="early.csv", push=False)
        assert "early" in home.final(ours, early).text
        late = home.send(home.anna, rows("late"), ours, name="late.csv")
        assert "late" in home.final(ours, late).text
        asked = home.server.send_text(home.anna, ours, "/jobs@mill")
        home.wait(lambda: [one for one in home.said(ours) if one.reply_to == asked])
        assert not home.said(other)
        assert not (unheard and home.finals(ours, unheard))


def test_a_chat_that_forbids_writing_is_undeliverable_and_nothing_else_stops(tmp_path: Path) -> None:
    with house(tmp_path, started=False, reconcile_s=1.0) as home:
        mute = home.server.add_group("mute", [home.account, home.anna])
        home.server.forbid_writing(mute)
        home.settings = {"chats": [mute.id], "reconcile_s": 1.0}
        home.start()
        home.send(home.anna, rows("mute"), mute, name="mute.csv")
        home.wait(lambda: home.rows("SELECT 1 FROM outbox WHERE once LIKE 'final%' AND state = 'undeliverable'"))
        assert "apple" in home.final(home.anna, home.send(home.anna, CSV, name="fruit.csv")).text


def test_a_stranger_gets_one_polite_sentence_once(tmp_path: Path) -> None:
    with house(tmp_path, stranger_reply="I don't take files from you, sorry.") as home:
        home.final(home.anna, home.send(home.anna, CSV, name="first.csv"))
        for name in ("one.csv", "two.csv"):
            home.send(home.stranger, rows(name), name=name)
        home.server.send_text(home.stranger, home.account, "/status")
        home.wait(lambda: home.said(home.stranger))
        home.final(home.anna, home.send(home.anna, rows("last"), name="last.csv"))
        assert [one.text for one in home.said(home.stranger)] == ["I don't take files from you, sorry."]
        assert not home.server.messages(home.account, home.stranger)[0].reply_to


def test_saved_messages_take_uploads_of_the_accounts_owner(tmp_path: Path) -> None:
    with house(tmp_path, started=False, reconcile_s=1.0, deliver="files") as home:
        home.settings = {"senders": [home.account.id], "reconcile_s": 1.0, "deliver": "files"}
        home.start()
        message = home.send(home.account, rows("mine"), name="mine.csv")
        assert "mine" in home.final(home.account, message).text
        home.wait(lambda: [one for one in home.said(home.account) if one.file_name == "mine.parquet"])
        home.send(home.account, rows("more"), name="more.csv")
        home.wait(lambda: [one for one in home.said(home.account) if one.file_name == "more.parquet"])
        assert home.rows("SELECT count(*) FROM telegram_upload") == [(2,)]


class BotHouse(House):
    """Its account is a bot's, which logs in by its token."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]
        self.account = self.server.add_account(name="MillBot", bot_token=TOKEN)
        (self.folder / "token").write_text(TOKEN)
        self.settings["bot_token_file"] = str(self.folder / "token")


def test_a_bot_answers_too_and_misses_nothing_while_it_is_down(tmp_path: Path) -> None:
    from tests.telegram_server import TelegramServer

    with TelegramServer() as server:
        home = BotHouse(tmp_path, server, reconcile_s=1.0)
        home.start()
        try:
            home.wait(lambda: [one for one in server.calls("users.getUsers") if one.user])
            first = home.send(home.anna, rows("first"), name="first.csv")
            assert "first" in home.final(home.anna, first).text
            unseen = home.send(home.anna, rows("unseen"), name="unseen.csv", push=False)
            assert "unseen" in home.final(home.anna, unseen).text
            home.stop()
            asleep = home.send(home.anna, rows("asleep"), name="asleep.csv", push=False)
            home.start()
            assert "asleep" in home.final(home.anna, asleep).text
        finally:
            home.kill()

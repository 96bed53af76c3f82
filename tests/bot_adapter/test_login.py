"""Logging in, in every way, and every refusal in words."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot_adapter.login import LoginRefused, log_in
from bot_adapter.session import SessionFile, SessionInUse, path_of
from pipeline.errors import ExitCode
from tests.bot_adapter.telegram import configured
from tests.telegram_server import Act, Fault, TelegramServer

Answer = str | Callable[[str], str]


class Person:
    """Answers questions in turn, and remembers what was said."""

    coloured = False

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.said: list[str] = []
        self.secrets: list[str] = []
        self.heard: Callable[[str], None] = lambda words: None

    def say(self, words: str) -> None:
        self.said.append(words)
        self.heard(words)

    def ask(self, question: str, *, secret: bool = False) -> str:
        self.said.append(question)
        if secret:
            self.secrets.append(question)
        answer = self.answers.pop(0)
        return answer(question) if callable(answer) else answer

    @property
    def all_said(self) -> str:
        return "\n".join(self.said)


def test_by_phone_and_code(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account("442079460000")
    person = Person("+44 20 7946 0000", "2 4-680")
    me, new = log_in(configured(telegram_server, tmp_path), person)
    assert (me.id, new) == (account.id, True)
    assert "other devices" in person.all_said
    assert not person.secrets


def test_who_is_logged_in_isnt_asked_again(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    config = configured(telegram_server, tmp_path)
    log_in(config, Person(account.phone, account.code))
    me, new = log_in(config, Person())
    assert (me.id, new) == (account.id, False)


def test_another_account_takes_over(telegram_server: TelegramServer, tmp_path: Path) -> None:
    first, second = telegram_server.add_account(), telegram_server.add_account("15550199", name="Other")
    config = configured(telegram_server, tmp_path)
    log_in(config, Person(first.phone, first.code))
    me, new = log_in(config, Person(second.phone, second.code), anew=True)
    assert (me.id, new) == (second.id, True)
    assert len(telegram_server.calls("auth.logOut")) == 1


def test_with_two_step_verification(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account(password="correct horse", hint="battery")
    person = Person(account.phone, account.code, "wrong", "correct horse")
    me, _ = log_in(configured(telegram_server, tmp_path), person)
    assert me.id == account.id
    assert len(person.secrets) == 2
    assert "battery" in person.secrets[0]


def test_a_wrong_code_may_be_given_again(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    person = Person(account.phone, "11111", "", account.code)
    me, _ = log_in(configured(telegram_server, tmp_path), person)
    assert me.id == account.id
    assert person.all_said.count("That isn't the code") == 2


def test_a_code_that_has_expired_is_followed_by_another(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    telegram_server.expire_codes()

    def late(question: str) -> str:
        telegram_server.expire_codes(False)
        return account.code

    person = Person(account.phone, account.code, late)
    me, _ = log_in(configured(telegram_server, tmp_path), person)
    assert me.id == account.id
    assert len(telegram_server.calls("auth.sendCode")) == 2


def test_an_account_of_another_dc_is_followed_there(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account(dc=4)
    config = configured(telegram_server, tmp_path)
    me, _ = log_in(config, Person(account.phone, account.code))
    assert me.id == account.id
    me, new = log_in(config, Person())
    assert (me.id, new) == (account.id, False)


# ---- QR code


def _scanner(server: TelegramServer, account: Any, person: Person) -> None:
    """Scans the first code that PERSON is shown."""

    def heard(words: str) -> None:
        if words.startswith("Scan it"):
            person.heard = lambda words: None
            threading.Thread(target=server.scan_qr, args=(server.qr_url(), account)).start()

    person.heard = heard


def test_by_qr_code(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    person = Person()
    _scanner(telegram_server, account, person)
    me, _ = log_in(configured(telegram_server, tmp_path), person, qr=True)
    assert me.id == account.id
    assert "█" in person.all_said
    assert "Link Desktop Device" in person.all_said


@pytest.mark.parametrize("dc", [2, 4])
def test_by_qr_code_and_password(telegram_server: TelegramServer, tmp_path: Path, dc: int) -> None:
    account = telegram_server.add_account(password="correct horse", dc=dc)
    person = Person("correct horse")
    _scanner(telegram_server, account, person)
    me, _ = log_in(configured(telegram_server, tmp_path), person, qr=True)
    assert me.id == account.id


def test_a_qr_code_that_expires_is_followed_by_another(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    telegram_server.qr_seconds(1.0)
    person = Person()

    def heard(words: str) -> None:
        if "expired" in words:
            telegram_server.qr_seconds(30.0)
            _scanner(telegram_server, account, person)

    person.heard = heard
    me, _ = log_in(configured(telegram_server, tmp_path), person, qr=True)
    assert me.id == account.id


# ---- Bots


def _token_file(folder: Path, token: str) -> dict[str, str]:
    (folder / "token").write_text(token)
    return {"bot_token_file": str(folder / "token")}


def test_a_bot_needs_no_questions(telegram_server: TelegramServer, tmp_path: Path) -> None:
    bot = telegram_server.add_account(bot_token="123:abc", name="Bot")
    me, new = log_in(configured(telegram_server, tmp_path, **_token_file(tmp_path, "123:abc\n")), Person())
    assert (me.id, me.bot, new) == (bot.id, True, True)


def test_a_bots_wrong_token(telegram_server: TelegramServer, tmp_path: Path) -> None:
    with pytest.raises(LoginRefused, match="@BotFather"):
        log_in(configured(telegram_server, tmp_path, **_token_file(tmp_path, "123:wrong")), Person())


# ---- Refusals


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (("12", "x", ""), "country's code"),
        (("15550100", "1", "2", "3"), "wasn't the code"),
        (("15550123", "12345"), "no account with this number"),
    ],
)
def test_wrong_answers(telegram_server: TelegramServer, tmp_path: Path, answers: tuple[str, ...], words: str) -> None:
    telegram_server.add_account()
    with pytest.raises(LoginRefused, match=words) as refused:
        log_in(configured(telegram_server, tmp_path), Person(*answers))
    assert refused.value.exit_code is ExitCode.LOGIN_NEEDED


def test_a_wrong_password_three_times(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account(password="right")
    with pytest.raises(LoginRefused, match="wasn't the password"):
        log_in(configured(telegram_server, tmp_path), Person(account.phone, account.code, "a", "b", "c"))


def test_a_wrong_api_hash(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    config = configured(telegram_server, tmp_path)
    (tmp_path / "api_hash").write_text("f" * 32)
    with pytest.raises(LoginRefused, match=r"my\.telegram\.org"):
        log_in(config, Person(account.phone, account.code))


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (420, "FLOOD_WAIT_42", "42 seconds"),
        (420, "FLOOD_WAIT_3700", "62 minutes"),
        (420, "FLOOD_WAIT_90000", "25 hours"),
        (400, "PHONE_NUMBER_BANNED", "banned this number"),
        (400, "PHONE_NUMBER_FLOOD", "tomorrow"),
        (406, "PHONE_PASSWORD_FLOOD", "tomorrow"),
        (400, "API_ID_PUBLISHED_FLOOD", "published"),
        (406, "SEND_CODE_UNAVAILABLE", "--qr"),
        (406, "UPDATE_APP_TO_LOGIN", "newer client"),
        (401, "USER_DEACTIVATED_BAN", "banned the account"),
        (400, "SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
def test_refusals_in_words(telegram_server: TelegramServer, tmp_path: Path, code: int, text: str, words: str) -> None:
    account = telegram_server.add_account()
    telegram_server.fault(Fault(method="auth.sendCode", act=Act.ERROR, times=9, code=code, text=text))
    with pytest.raises(LoginRefused, match=re.escape(words)):
        log_in(configured(telegram_server, tmp_path), Person(account.phone, account.code))


def test_a_restart_that_telegram_asks_for_is_done(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    telegram_server.fault(Fault(method="auth.sendCode", act=Act.ERROR, code=500, text="AUTH_RESTART"))
    me, _ = log_in(configured(telegram_server, tmp_path), Person(account.phone, account.code))
    assert me.id == account.id


def test_while_a_daemon_has_the_session_nobody_logs_in(telegram_server: TelegramServer, tmp_path: Path) -> None:
    config = configured(telegram_server, tmp_path)
    with SessionFile(path_of(config)), pytest.raises(SessionInUse, match="systemctl stop"):
        log_in(config, Person())


def test_a_session_that_was_ended_elsewhere_is_replaced(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    config = configured(telegram_server, tmp_path)
    log_in(config, Person(account.phone, account.code))
    telegram_server.forget_keys()
    me, new = log_in(config, Person(account.phone, account.code))
    assert (me.id, new) == (account.id, True)

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from bot_adapter import client as clients
from bot_adapter import session as sessions
from bot_adapter import telethon_facts
from bot_adapter.client import LoginNeeded, TelegramNotConfigured, TelegramUnreachable, connected
from bot_adapter.session import SessionExposed, SessionFile, SessionInUse
from pipeline.config import Config, Paths
from pipeline.errors import ConfigInvalid
from tests.bot_adapter.telegram import configured, logged_in
from tests.telegram_server import TelegramServer


def test_a_client_connects_to_the_server_that_is_configured(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()

    async def story() -> int:
        async with logged_in(configured(telegram_server, tmp_path), account) as client:
            return int((await client.get_me()).id)

    assert asyncio.run(story()) == account.id


def test_the_login_is_there_after_a_restart(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    config = configured(telegram_server, tmp_path)

    async def log_in() -> None:
        async with logged_in(config, account):
            pass

    async def again() -> bool:
        async with connected(config) as client:
            return bool(await client.is_user_authorized())

    asyncio.run(log_in())
    telegram_server.restart()
    assert asyncio.run(again())


def test_the_session_is_for_its_owner_alone(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    config = configured(telegram_server, tmp_path)

    async def log_in() -> None:
        async with logged_in(config, account):
            pass

    asyncio.run(log_in())
    path = sessions.path_of(config)
    assert path.name == "account.session"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_session_that_was_readable_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "private" / "a.session"
    path.parent.mkdir(mode=0o700)
    path.touch(0o644)
    with SessionFile(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open" / "a.session"
    path.parent.mkdir(mode=0o755)
    with pytest.raises(SessionExposed, match=r"chmod 700"), SessionFile(path):
        pass


def test_one_process_has_the_session(tmp_path: Path) -> None:
    path = tmp_path / "private" / "a.session"
    with SessionFile(path), pytest.raises(SessionInUse, match=r"in use by process \d+"), SessionFile(path):
        pass
    with SessionFile(path):
        pass


def test_a_key_that_the_server_forgot_asks_for_a_login(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()
    config = configured(telegram_server, tmp_path)

    async def log_in() -> None:
        async with logged_in(config, account):
            pass

    async def again(*, anew: bool) -> bool:
        async with connected(config, anew=anew) as client:
            return bool(await client.is_user_authorized())

    asyncio.run(log_in())
    telegram_server.forget_keys()
    with pytest.raises(LoginNeeded, match="stampmill login"):
        asyncio.run(again(anew=False))
    assert not asyncio.run(again(anew=True))


def test_a_key_exchange_that_goes_wrong_is_begun_again(
    telegram_server: TelegramServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telethon.crypto import Factorization

    account = telegram_server.add_account()
    right, wrong = Factorization.factorize, [(1, 7), (1, 7)]
    monkeypatch.setattr(Factorization, "factorize", lambda pq: wrong.pop() if wrong else right(pq))

    async def story() -> int:
        async with logged_in(configured(telegram_server, tmp_path), account) as client:
            return int((await client.get_me()).id)

    assert asyncio.run(story()) == account.id
    assert not wrong


def test_salts_may_change_at_any_time(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()

    async def story() -> int:
        async with logged_in(configured(telegram_server, tmp_path), account) as client:
            telegram_server.rotate_salts()
            return int((await client.get_me()).id)

    assert asyncio.run(story()) == account.id


def test_another_server_isnt_shown_the_login(telegram_server: TelegramServer, tmp_path: Path) -> None:
    account = telegram_server.add_account()

    async def log_in() -> None:
        async with logged_in(configured(telegram_server, tmp_path), account):
            pass

    asyncio.run(log_in())
    with TelegramServer() as other:

        async def elsewhere() -> bool:
            async with connected(configured(other, tmp_path)) as client:
                return bool(await client.is_user_authorized())

        assert not asyncio.run(elsewhere())


def test_a_server_may_have_an_address_of_the_new_kind(telegram_server: TelegramServer, tmp_path: Path) -> None:
    config = configured(telegram_server, tmp_path)
    known = config.telegram
    assert known
    newer = type(known)(api_id=1, api_hash_file=known.api_hash_file, server="[::1]:9", server_key=known.server_key)
    with pytest.raises(TelegramUnreachable, match=r"\[::1\]:9"):
        asyncio.run(_connect(Config(paths=config.paths, telegram=newer)))


def test_a_server_that_isnt_there_is_said(telegram_server: TelegramServer, tmp_path: Path) -> None:
    config = configured(telegram_server, tmp_path)
    telegram_server.restart()

    async def story() -> None:
        async with connected(config):
            pass

    unreachable = Config(
        paths=config.paths,
        telegram=type(config.telegram)(api_id=1, api_hash_file=str(tmp_path / "api_hash"), server="127.0.0.1:9"),
    )
    with pytest.raises(TelegramUnreachable, match=r"127\.0\.0\.1:9"):
        asyncio.run(_connect(unreachable))


async def _connect(config: Config) -> None:
    async with connected(config):
        pass


@pytest.mark.needs("openssl")
def test_a_key_may_be_in_either_form(telegram_server: TelegramServer, tmp_path: Path) -> None:
    import subprocess

    from telethon.crypto import rsa

    account = telegram_server.add_account()
    config = configured(telegram_server, tmp_path)
    pem = tmp_path / "server.pem"
    openssl = ["openssl", "rsa", "-RSAPublicKey_in", "-in", str(pem), "-pubout"]
    converted = subprocess.run(openssl, capture_output=True, check=True).stdout
    assert b"BEGIN PUBLIC KEY" in converted
    pem.write_bytes(converted)
    rsa._server_keys.clear()

    async def story() -> int:
        async with logged_in(config, account) as client:
            return int((await client.get_me()).id)

    assert asyncio.run(story()) == account.id


def test_a_wrong_key_is_said(telegram_server: TelegramServer, tmp_path: Path) -> None:
    from telethon.crypto import rsa

    config = configured(telegram_server, tmp_path)
    known = dict(rsa._server_keys)
    (tmp_path / "server.pem").write_text(
        "-----BEGIN RSA PUBLIC KEY-----\nMEgCQQCo9+BpMRYQ/dL3DS2CyJxRF+j6ctbT3/Qp84+KeFhnii7NT7fELilKUSnx\nS30WAvQCCo2yU1orfgqr41mM70MBAgMBAAE=\n-----END RSA PUBLIC KEY-----\n"
    )
    rsa._server_keys.clear()
    try:
        with pytest.raises(TelegramUnreachable, match=r"telegram\.server_key"):
            asyncio.run(_connect(config))
    finally:
        rsa._server_keys.update(known)


def test_without_a_section_there_is_no_telegram(tmp_path: Path) -> None:
    with pytest.raises(TelegramNotConfigured, match=r"my\.telegram\.org"):
        asyncio.run(_connect(Config(paths=Paths(state=str(tmp_path), library=str(tmp_path)))))


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_an_api_hash_that_isnt_there_is_said(
    tmp_path: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.config import Telegram

    file = tmp_path / "hash"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigInvalid, match="api_hash_file"):
        clients.api_hash(Telegram(api_id=1, api_hash_file=str(file)))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigInvalid, match="api_hash_file"):
        clients.api_hash(Telegram(api_id=1))


def test_an_api_hash_can_be_a_credential_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.config import Telegram

    (tmp_path / "api_hash").write_text("abc\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert clients.api_hash(Telegram(api_id=1)) == "abc"


def test_telethon_is_the_one_we_know() -> None:
    telethon_facts.check()


def test_another_telethon_is_named_with_the_version_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    import telethon

    monkeypatch.setattr(telethon, "__version__", "1.46.0")
    with pytest.raises(telethon_facts.TelethonUnfit, match=r"1\.46\.0.*>=1\.45,<1\.46"):
        telethon_facts.check()


def test_a_telethon_that_works_differently_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from telethon.network import MTProtoSender

    async def send(self: object, request: object) -> None:
        pass

    monkeypatch.setattr(MTProtoSender, "send", send)
    with pytest.raises(telethon_facts.TelethonUnfit, match="a sender gives a future"):
        telethon_facts.check()


def test_without_cryptg_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    from telethon.crypto import aes

    monkeypatch.setattr(aes, "cryptg", None)
    with pytest.raises(telethon_facts.CryptgMissing):
        telethon_facts.check()


def test_what_telethon_loads_beside_itself_is_spared_and_others_still_find_it() -> None:
    import subprocess
    import sys

    words = "import sys, bot_adapter.adapter; assert not {'aiohttp', 'PIL'} & set(sys.modules); import PIL.Image; print('ok')"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, check=True).stdout == b"ok\n"


@pytest.mark.parametrize("kind", ["phone", "bot"])
def test_a_login_that_is_moved_goes_where_the_configuration_says(tmp_path: Path, kind: str) -> None:
    with TelegramServer(dcs=(2, 4)) as server:
        server.set_manners(names_dcs=False)
        account = server.add_account(dc=4, bot_token="1:abc" if kind == "bot" else "")
        host, port = server.address(4)

        async def story() -> int:
            config = configured(server, tmp_path, dcs={"4": f"{host}:{port}"})
            async with logged_in(config, account) as client:
                assert client.session.dc_id == 4
                return int((await client.get_me()).id)

        assert asyncio.run(story()) == account.id


@pytest.mark.parametrize(
    ("dcs", "words"), [({"four": "127.0.0.1:1"}, "DC's number"), ({"4": "127.0.0.1"}, "host:port")]
)
def test_a_dcs_address_that_is_none_is_said(
    telegram_server: TelegramServer, tmp_path: Path, dcs: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigInvalid, match=words):
        asyncio.run(_connect(configured(telegram_server, tmp_path, dcs=dcs)))


def test_dcs_can_be_written_in_the_file(telegram_server: TelegramServer, tmp_path: Path) -> None:
    from pipeline.settings import config_file
    from tests.bot_adapter.telegram import written

    path = written(configured(telegram_server, tmp_path), tmp_path / "config.toml")
    path.write_text(path.read_text() + '[telegram.dcs]\n4 = "127.0.0.1:8444"\n')
    telegram = config_file.read(path).telegram
    assert telegram and telegram.dcs == {"4": "127.0.0.1:8444"}


@pytest.mark.parametrize("act", ["silence", "refusal"])
def test_a_server_without_a_state_of_updates_is_borne(
    telegram_server: TelegramServer, tmp_path: Path, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.telegram_server import Act, Fault

    monkeypatch.setattr("bot_adapter.news._STATE_S", 0.2)
    if act == "silence":
        telegram_server.fault(Fault("updates.getState", Act.SILENCE, times=99))
    else:
        telegram_server.set_manners(keeps_state=False)
    account = telegram_server.add_account()

    async def story() -> int:
        async with logged_in(configured(telegram_server, tmp_path), account) as client:
            return int((await client.get_me()).id)

    assert asyncio.run(story()) == account.id

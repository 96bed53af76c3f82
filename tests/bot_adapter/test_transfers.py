"""Downloads and uploads against the test server, each fault by itself."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from telethon import errors

from bot_adapter.download import DownloadRefused, FileGone
from bot_adapter.transfer_lane import Patience
from bot_adapter.transfers import Transfers
from pipeline.model import Code
from tests.bot_adapter.telegram import configured, logged_in
from tests.telegram_server import Act, Blocks, Content, Fault, TelegramServer

MIB = 1024 * 1024
QUICK = Patience(connect_s=2.0, silent_s=1.0, overtaken_s=0.2, longest_s=20.0, idle_s=1.0)


class Stage:
    """An account that is logged in, and somebody who sends it files."""

    def __init__(self, server: TelegramServer, folder: Path, *, premium: bool = True) -> None:
        self.server = server
        self.folder = folder
        self.account = server.add_account(premium=premium)
        self.ada = server.add_user("Ada")
        self.premium = premium
        self.patience = QUICK
        self.client: Any = None
        self.transfers: Transfers

    async def letter(self, content: Content | bytes, **options: Any) -> Any:
        """A message with CONTENT, as the client sees it."""
        number = self.server.send_document(self.ada, self.account, content, **options)
        await self.client.get_dialogs()
        return await self.client.get_messages(self.ada.id, ids=number)

    async def fetch(self, letter: Any, name: str = "x") -> bytes:
        path = self.folder / name
        await self.transfers.fetch(letter, path, lambda done: None)
        return path.read_bytes()

    def run(self, story: Callable[[Stage], Awaitable[None]]) -> None:
        """Plays STORY."""

        async def play() -> None:
            async with logged_in(configured(self.server, self.folder), self.account) as self.client:
                self.transfers = Transfers(self.client, premium=self.premium, patience=self.patience)
                try:
                    async with asyncio.timeout(90):
                        await story(self)
                finally:
                    await self.transfers.close()

        asyncio.run(play())


@pytest.fixture
def stage(telegram_server: TelegramServer, tmp_path: Path) -> Stage:
    return Stage(telegram_server, tmp_path)


def _whole(content: Content) -> bytes:
    return content.read(0, content.size)


@pytest.mark.parametrize("size", [1, 1023, MIB - 1, MIB, MIB + 1, 20 * MIB + 12345])
def test_a_file_comes_whole(stage: Stage, size: int) -> None:
    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(Blocks(size))) == _whole(Blocks(size))

    stage.run(story)
    assert stage.server.served() == (size, 0)
    assert not stage.server.broken()


def test_an_empty_file_comes_too(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(b"")) == b""

    stage.run(story)


def test_several_connections_share_one_key_and_several_requests_are_out_at_once(stage: Stage) -> None:
    stage.server.set_faults(rtt_s=0.02)

    async def story(stage: Stage) -> None:
        await stage.fetch(await stage.letter(Blocks(64 * MIB)))

    stage.run(story)
    calls = stage.server.calls("upload.getFile")
    assert 3 <= len({call.connection for call in calls}) <= 8
    assert not stage.server.calls("auth.exportAuthorization")


def test_an_account_without_premium_uses_two_connections(telegram_server: TelegramServer, tmp_path: Path) -> None:
    stage = Stage(telegram_server, tmp_path, premium=False)
    stage.server.set_faults(rtt_s=0.02)

    async def story(stage: Stage) -> None:
        await stage.fetch(await stage.letter(Blocks(32 * MIB)))

    stage.run(story)
    assert len({call.connection for call in stage.server.calls("upload.getFile")}) == 2


def test_a_file_of_another_dc_comes_from_there(stage: Stage) -> None:
    content = Blocks(12 * MIB)

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content, dc=4)) == _whole(content)
        assert await stage.fetch(await stage.letter(content, dc=4), "again") == _whole(content)

    stage.run(story)
    assert {call.dc for call in stage.server.calls("upload.getFile")} == {4}
    assert len(stage.server.calls("auth.importAuthorization")) == 1


def test_a_file_that_has_moved_is_followed(stage: Stage) -> None:
    content = Blocks(12 * MIB)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content, dc=4)
        letter.document.dc_id = 2
        assert await stage.fetch(letter) == _whole(content)

    stage.run(story)


def test_another_dc_that_forgot_us_is_told_again(stage: Stage) -> None:
    content = Blocks(12 * MIB)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content, dc=4)
        assert await stage.fetch(letter) == _whole(content)
        stage.server.refuse_keys(stage.account, 401, "AUTH_KEY_UNREGISTERED", dc=4)
        assert await stage.fetch(letter, "again") == _whole(content)

    stage.run(story)
    assert len(stage.server.calls("auth.importAuthorization")) == 2


def test_another_dc_that_forgot_the_key_gets_another(stage: Stage) -> None:
    content = Blocks(12 * MIB)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content, dc=4)
        assert await stage.fetch(letter) == _whole(content)
        stage.server.forget_keys(dc=4)
        assert await stage.fetch(letter, "again") == _whole(content)

    stage.run(story)


def test_a_server_may_be_any_dc(tmp_path: Path) -> None:
    content = Blocks(3 * MIB)
    with TelegramServer(dcs=(1, 5)) as server:
        stage = Stage(server, tmp_path)

        async def story(stage: Stage) -> None:
            assert await stage.fetch(await stage.letter(content)) == _whole(content)
            assert await stage.fetch(await stage.letter(content, dc=5), "far") == _whole(content)

        stage.run(story)
        assert len(server.calls("auth.exportAuthorization")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"act": Act.ERROR, "code": 400, "text": "INPUT_METHOD_INVALID"},
        {"act": Act.ERROR, "code": 500, "text": "NOT_IMPLEMENTED"},
        {"act": Act.SILENCE},
    ],
)
def test_a_server_that_cant_be_quiet_is_borne(stage: Stage, fault: dict[str, Any]) -> None:
    content = Blocks(3 * MIB)

    async def story(stage: Stage) -> None:
        letter, far = await stage.letter(content), await stage.letter(content, dc=4)
        stage.server.fault(Fault(method="invokeWithoutUpdates", times=1000, **fault))
        assert await stage.fetch(letter) == _whole(content)
        assert await stage.fetch(far, "far") == _whole(content)

    stage.run(story)


def test_connections_that_end_at_once_arent_made_in_a_hurry(stage: Stage) -> None:
    content = Blocks(3 * MIB)
    fault = stage.server.fault(Fault(method="upload.getFile", act=Act.TRANSPORT, code=429, times=6))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)
    assert fault.struck == 6
    calls = stage.server.calls("upload.getFile")
    assert calls[-1].at - calls[0].at >= 1.0


def test_the_account_that_is_refused_ends_the_download(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        letter = await stage.letter(Blocks(12 * MIB))
        stage.server.refuse_keys(stage.account, 406, "AUTH_KEY_DUPLICATED")
        with pytest.raises(errors.AuthKeyDuplicatedError):
            await stage.fetch(letter)

    stage.run(story)


@pytest.mark.parametrize("premium", [False, True])
def test_a_flood_wait_pauses_and_keeps_every_byte(stage: Stage, premium: bool) -> None:
    content = Blocks(12 * MIB)
    stage.server.fault(Fault.flood("upload.getFile", 1, times=3, premium=premium, skip=4))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)
    assert stage.server.served() == (content.size, 0)
    calls = stage.server.calls("upload.getFile")
    gaps = [later.at - one.at for one, later in itertools.pairwise(calls)]
    assert max(gaps) >= 0.95


def test_what_holds_transfers_up_is_said(stage: Stage) -> None:
    stage.server.fault(Fault.flood("upload.getFile", 3, times=4))

    async def story(stage: Stage) -> None:
        letter = await stage.letter(Blocks(12 * MIB))
        assert not stage.transfers.words
        fetching = asyncio.create_task(stage.fetch(letter))
        while not stage.transfers.words and not fetching.done():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        assert stage.transfers.words.startswith("Telegram asks to wait")
        await fetching
        assert not stage.transfers.words

    stage.run(story)


def test_a_server_that_bears_little_is_asked_for_little(stage: Stage) -> None:
    content = Blocks(40 * MIB)
    stage.server.set_faults(in_flight=6, in_flight_wait_s=1, rtt_s=0.05)

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)
    assert stage.server.served() == (content.size, 0)


def test_an_expired_reference_is_fetched_anew_once_for_all(stage: Stage) -> None:
    content = Blocks(12 * MIB)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content)
        stage.server.expire_references()
        before = len(stage.server.calls("messages.getMessages"))
        assert await stage.fetch(letter) == _whole(content)
        assert len(stage.server.calls("messages.getMessages")) == before + 1

    stage.run(story)


def test_a_message_that_is_gone_is_said(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        letter = await stage.letter(Blocks(12 * MIB))
        stage.server.expire_references()
        stage.server.delete_message(stage.account, letter.id)
        with pytest.raises(FileGone):
            await stage.fetch(letter)

    stage.run(story)


def test_references_that_never_become_valid_end_it(stage: Stage) -> None:
    stage.server.fault(
        Fault(method="upload.getFile", act=Act.ERROR, times=10_000, code=400, text="FILE_REFERENCE_EXPIRED")
    )

    async def story(stage: Stage) -> None:
        with pytest.raises(OSError, match="no valid reference"):
            await stage.fetch(await stage.letter(Blocks(3 * MIB)))

    stage.run(story)


def test_there_is_patience_for_one_answer_only_while_none_overtakes_it(stage: Stage) -> None:
    content = Blocks(60 * MIB)
    stage.patience = QUICK._replace(silent_s=60.0, longest_s=60.0)
    stage.server.set_faults(offers_hashes=False)
    stage.server.fault(Fault("upload.getFile", Act.SILENCE, when=lambda request: request.offset == 3 * MIB))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)
    first, again = [call for call in stage.server.calls("upload.getFile") if call.offset == 3 * MIB]
    assert again.at - first.at < 30  # and not only when its connection was given up


def test_a_request_without_an_answer_is_asked_again(stage: Stage) -> None:
    content = Blocks(30 * MIB)
    stage.server.fault(Fault(method="upload.getFile", act=Act.SILENCE, times=2, skip=3))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


def test_a_connection_that_says_nothing_is_replaced(stage: Stage) -> None:
    content = Blocks(8 * MIB)
    stage.server.fault(Fault(method="upload.getFile", act=Act.SILENCE, times=4))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


@pytest.mark.parametrize("act", [Act.DROP, Act.CARRIED_OUT_DROP])
def test_dropped_connections_are_replaced(stage: Stage, act: Act) -> None:
    content = Blocks(30 * MIB)
    for skip in (2, 9, 17):
        stage.server.fault(Fault(method="upload.getFile", act=act, skip=skip))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


def test_a_server_that_restarts_is_waited_for(stage: Stage) -> None:
    content = Blocks(30 * MIB)
    stage.server.set_faults(rtt_s=0.05)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content)
        fetching = asyncio.create_task(stage.fetch(letter))
        await asyncio.to_thread(stage.server.wait_for, lambda: len(stage.server.calls("upload.getFile")) > 5)
        await asyncio.to_thread(stage.server.restart, 0.5)
        assert await fetching == _whole(content)

    stage.run(story)


@pytest.mark.parametrize("act", [Act.WRONG_BYTES, Act.SHORT_BYTES])
def test_wrong_bytes_are_asked_for_again(stage: Stage, act: Act) -> None:
    content = Blocks(12 * MIB)
    stage.server.fault(Fault(method="upload.getFile", act=act, times=3, skip=2))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


def test_bytes_that_stay_wrong_end_it(stage: Stage) -> None:
    stage.server.fault(Fault(method="upload.getFile", act=Act.WRONG_BYTES, times=1000))

    async def story(stage: Stage) -> None:
        with pytest.raises(DownloadRefused) as refused:
            await stage.fetch(await stage.letter(Blocks(2 * MIB)))
        assert refused.value.reason.code is Code.CORRUPT

    stage.run(story)
    assert not (stage.folder / "x").exists()


def test_hashes_needs_not_be_offered(stage: Stage) -> None:
    content = Blocks(12 * MIB)
    stage.server.set_faults(offers_hashes=False)

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


def test_a_method_that_isnt_there_offers_no_hashes(stage: Stage) -> None:
    content = Blocks(12 * MIB)
    stage.server.fault(Fault(method="upload.getFileHashes", act=Act.ERROR, times=1000, code=400, text="METHOD_INVALID"))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


def test_a_cdn_is_refused_loudly(stage: Stage) -> None:
    stage.server.fault(Fault(method="upload.getFile", act=Act.CDN, times=1000))

    async def story(stage: Stage) -> None:
        with pytest.raises(DownloadRefused, match="public downloads"):
            await stage.fetch(await stage.letter(Blocks(2 * MIB)))

    stage.run(story)


def test_troubles_of_telegrams_own_are_waited_out(stage: Stage) -> None:
    content = Blocks(6 * MIB)
    stage.server.fault(Fault(method="upload.getFile", act=Act.ERROR, times=3, code=500, text="INTERDC_2_CALL_ERROR"))
    stage.server.fault(Fault(method="upload.getFile", act=Act.ERROR, times=2, code=-503, text="Timeout"))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


def test_a_refusal_that_nobody_knows_ends_that_download_alone(stage: Stage) -> None:
    content = Blocks(6 * MIB)
    stage.server.fault(Fault(method="upload.getFile", act=Act.ERROR, code=400, text="LOCATION_INVALID"))

    async def story(stage: Stage) -> None:
        letter, other = await stage.letter(content), await stage.letter(content)
        with pytest.raises(errors.LocationInvalidError):
            await stage.fetch(letter)
        assert await stage.fetch(other, "other") == _whole(content)

    stage.run(story)


def test_salts_change_under_way(stage: Stage) -> None:
    content = Blocks(30 * MIB)
    stage.server.set_faults(rtt_s=0.05)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content)
        fetching = asyncio.create_task(stage.fetch(letter))
        await asyncio.to_thread(stage.server.wait_for, lambda: len(stage.server.calls("upload.getFile")) > 5)
        stage.server.rotate_salts()
        assert await fetching == _whole(content)

    stage.run(story)


def test_a_small_file_isnt_stuck_behind_a_large_one(stage: Stage) -> None:
    stage.server.set_faults(rtt_s=0.01, bytes_per_s=8_000_000)

    async def story(stage: Stage) -> None:
        large, small = await stage.letter(Blocks(150 * MIB)), await stage.letter(Blocks(100_000, seed=1))
        slow = asyncio.create_task(stage.fetch(large, "large"))
        await asyncio.to_thread(stage.server.wait_for, lambda: len(stage.server.calls("upload.getFile")) > 20)
        assert await stage.fetch(small, "small") == _whole(Blocks(100_000, seed=1))
        assert not slow.done()
        slow.cancel()
        await asyncio.wait((slow,))

    stage.run(story)
    calls = stage.server.calls("upload.getFile")
    assert len(calls) < 140


def test_a_cancelled_download_stops_and_goes_on_later(stage: Stage) -> None:
    content = Blocks(40 * MIB)
    stage.server.set_faults(rtt_s=0.02)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content)
        fetching = asyncio.create_task(stage.fetch(letter))
        await asyncio.to_thread(stage.server.wait_for, lambda: len(stage.server.calls("upload.getFile")) > 20)
        fetching.cancel()
        await asyncio.wait((fetching,))
        assert not (stage.folder / "x").exists()
        done: list[int] = []
        await stage.transfers.fetch(letter, stage.folder / "x", done.append)
        assert done[0] > 0
        assert done == sorted(done)
        assert done[-1] == content.size
        assert (stage.folder / "x").read_bytes() == _whole(content)

    stage.run(story)


def test_nothing_is_pushed_over_a_connection_for_files(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        await stage.fetch(await stage.letter(Blocks(4 * MIB)))
        stage.server.send_text(stage.ada, stage.account, "hello")

    stage.run(story)
    assert not stage.server.broken()


def test_idle_connections_are_closed(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        await stage.fetch(await stage.letter(Blocks(4 * MIB)))
        await asyncio.to_thread(stage.server.wait_for, lambda: stage.server.connections() == 1, 20.0)

    stage.run(story)


# ---- Uploads


@pytest.mark.parametrize("size", [1, 512 * 1024, 3 * MIB + 5, 10 * MIB, 10 * MIB + 1, 25 * MIB + 7])
def test_a_file_is_sent_whole(stage: Stage, size: int) -> None:
    content = _whole(Blocks(size))
    (stage.folder / "result.parquet").write_bytes(content)

    async def story(stage: Stage) -> None:
        await stage.client.get_dialogs()
        done: list[int] = []
        named = await stage.transfers.upload(stage.folder / "result.parquet", "result.parquet", done.append)
        assert done[-1] == size
        await _send(stage, named)

    stage.run(story)
    sent = stage.server.messages(stage.account)[-1]
    assert (sent.file_name, sent.file_size) == ("result.parquet", size)
    assert stage.server.content(sent.document) == content


async def _send(stage: Stage, named: Any) -> None:
    from telethon.tl import functions, types

    stage.server.send_text(stage.ada, stage.account, "hi")
    await stage.client.get_dialogs()
    media = types.InputMediaUploadedDocument(
        file=named,
        mime_type="application/octet-stream",
        attributes=[types.DocumentAttributeFilename(named.name)],
        force_file=True,
    )
    await stage.client(
        functions.messages.SendMediaRequest(
            peer=await stage.client.get_input_entity(stage.ada.id), media=media, message="", random_id=12345
        )
    )


def test_uploads_survive_floods_drops_and_silence(stage: Stage) -> None:
    content = _whole(Blocks(25 * MIB))
    (stage.folder / "result").write_bytes(content)
    stage.server.fault(Fault.flood("upload.saveBigFilePart", 1, skip=3))
    stage.server.fault(Fault(method="upload.saveBigFilePart", act=Act.SILENCE, skip=5))
    stage.server.fault(Fault(method="upload.saveBigFilePart", act=Act.CARRIED_OUT_DROP, skip=12))
    stage.server.fault(Fault(method="upload.saveBigFilePart", act=Act.DROP, skip=20))

    async def story(stage: Stage) -> None:
        await _send(stage, await stage.transfers.upload(stage.folder / "result", "result", lambda done: None))

    stage.run(story)
    assert stage.server.content(stage.server.messages(stage.account)[-1].document) == content


def test_uploads_and_downloads_go_side_by_side(stage: Stage) -> None:
    content = Blocks(12 * MIB)
    (stage.folder / "result").write_bytes(_whole(content))

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content)
        fetched, named = await asyncio.gather(
            stage.fetch(letter), stage.transfers.upload(stage.folder / "result", "result", lambda done: None)
        )
        assert fetched == _whole(content)
        await _send(stage, named)

    stage.run(story)


def test_an_empty_file_cant_be_sent(stage: Stage) -> None:
    (stage.folder / "empty").touch()

    async def story(stage: Stage) -> None:
        with pytest.raises(ValueError, match="empty"):
            await stage.transfers.upload(stage.folder / "empty", "empty", lambda done: None)

    stage.run(story)


@pytest.mark.parametrize(
    "manners",
    [{"part_bytes": 512 * 1024}, {"part_bytes": 300 * 1024}, {"part_limit": 512 * 1024}, {"part_limit": 64 * 1024}],
    ids=str,
)
def test_a_server_may_give_less_at_once(stage: Stage, manners: dict[str, int]) -> None:
    content = Blocks(5 * MIB + 12345)
    stage.server.set_manners(**manners)

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)
    assert stage.server.served() == (content.size, 0)


@pytest.mark.parametrize("act", [Act.SILENCE, Act.DROP])
def test_hashes_that_never_come_are_not_waited_for_twice(
    stage: Stage, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_adapter.download._HASHES_S", 0.2)
    stage.server.fault(Fault("upload.getFileHashes", act, times=1000))

    async def story(stage: Stage) -> None:
        for number in range(4):
            content = Blocks(1000 + number)
            assert await stage.fetch(await stage.letter(content), f"f{number}") == _whole(content)

    stage.run(story)
    assert len(stage.server.calls("upload.getFileHashes")) <= 4


def test_a_dc_that_nobody_knows_is_home(stage: Stage) -> None:
    content = Blocks(MIB + 1)

    async def story(stage: Stage) -> None:
        letter = await stage.letter(content)
        letter.document.dc_id = 9
        stage.client.spare = None
        assert await stage.fetch(letter) == _whole(content)

    stage.run(story)


@pytest.mark.parametrize("text", ["FILE_REFERENCE_3_EXPIRED", "FILEREF_UPGRADE_NEEDED"])
def test_references_expire_under_several_names(stage: Stage, text: str) -> None:
    content = Blocks(3 * MIB)
    stage.server.fault(Fault("upload.getFile", Act.ERROR, code=406 if "UP" in text else 400, text=text))

    async def story(stage: Stage) -> None:
        assert await stage.fetch(await stage.letter(content)) == _whole(content)

    stage.run(story)


def test_where_a_dc_is_may_be_configured(tmp_path: Path) -> None:
    content = Blocks(2 * MIB)
    with TelegramServer(dcs=(2, 4)) as server:
        server.set_manners(names_dcs=False)
        host, port = server.address(4)
        account, ada = server.add_account(), server.add_user("Ada")

        async def story() -> None:
            config = configured(server, tmp_path, dcs={"4": f"{host}:{port}"})
            async with logged_in(config, account) as client:
                transfers = Transfers(client, premium=True, patience=QUICK)
                number = server.send_document(ada, account, content, dc=4)
                await client.get_dialogs()
                letter = await client.get_messages(ada.id, ids=number)
                await transfers.fetch(letter, tmp_path / "x", lambda done: None)
                await transfers.close()

        asyncio.run(story())
        assert (tmp_path / "x").read_bytes() == _whole(content)
        assert {call.dc for call in server.calls("upload.getFile")} == {4}

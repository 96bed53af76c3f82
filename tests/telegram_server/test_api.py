"""What Telegram refuses, and how: the rules that a client has to keep."""

from __future__ import annotations

import random
from typing import Any

import pytest
from telethon import errors, functions
from telethon.tl import types

from tests.telegram_server import Blocks
from tests.telegram_server.conftest import Bench
from tests.telegram_server.content import MIB, digest

KIB = 1024


async def _letter(bench: Bench, client: Any, size: int = 3 * MIB) -> Any:
    number = bench.server.send_document(bench.ada, bench.account, Blocks(size))
    await client.get_dialogs()
    return await client.get_messages(bench.ada.id, ids=number)


def _location(letter: Any, **changes: Any) -> Any:
    one = letter.document
    parts = {"id": one.id, "access_hash": one.access_hash, "file_reference": one.file_reference, "thumb_size": ""}
    return types.InputDocumentFileLocation(**parts | changes)


@pytest.mark.parametrize(
    ("offset", "limit", "precise", "error"),
    [
        (0, MIB, False, None),
        (MIB, 512 * KIB, False, None),
        (4 * KIB, 4 * KIB, False, None),
        (KIB, KIB, True, None),
        (1024 * 3, 5 * KIB, True, None),
        (KIB, 4 * KIB, False, errors.OffsetInvalidError),
        (0, KIB, False, errors.LimitInvalidError),
        (0, 12 * KIB, False, errors.LimitInvalidError),
        (0, 2 * MIB, False, errors.LimitInvalidError),
        (512 * KIB, MIB, False, errors.LimitInvalidError),
        (MIB - KIB, 2 * KIB, True, errors.LimitInvalidError),
        (100, KIB, True, errors.OffsetInvalidError),
    ],
)
def test_parts_have_to_be_aligned(bench: Bench, offset: int, limit: int, precise: bool, error: Any) -> None:
    async def story(client: Any) -> None:
        request = functions.upload.GetFileRequest(_location(await _letter(bench, client)), offset, limit, precise)
        if error is None:
            assert (await client(request)).bytes == Blocks(3 * MIB).read(offset, limit)
        else:
            with pytest.raises(error):
                await client(request)

    bench.run(story)


def test_the_last_part_is_short_and_what_is_after_it_empty(bench: Bench) -> None:
    async def story(client: Any) -> None:
        location = _location(await _letter(bench, client, MIB + 5))
        assert len((await client(functions.upload.GetFileRequest(location, MIB, MIB))).bytes) == 5
        assert (await client(functions.upload.GetFileRequest(location, 2 * MIB, MIB))).bytes == b""

    bench.run(story)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"access_hash": 1}, errors.LocationInvalidError),
        ({"file_reference": b"old"}, errors.FileReferenceExpiredError),
        ({"file_reference": b""}, errors.FileReferenceEmptyError),
    ],
)
def test_a_file_is_for_those_who_have_its_message(bench: Bench, changes: dict[str, Any], error: Any) -> None:
    async def story(client: Any) -> None:
        location = _location(await _letter(bench, client), **changes)
        with pytest.raises(error):
            await client(functions.upload.GetFileRequest(location, 0, MIB))

    bench.run(story)


def test_a_reference_expires_and_the_message_has_a_new_one(bench: Bench) -> None:
    async def story(client: Any) -> None:
        letter = await _letter(bench, client)
        bench.server.expire_references()
        with pytest.raises(errors.FileReferenceExpiredError):
            await client(functions.upload.GetFileRequest(_location(letter), 0, MIB))
        again = await client.get_messages(bench.ada.id, ids=letter.id)
        assert await client(functions.upload.GetFileRequest(_location(again), 0, MIB))

    bench.run(story)


def test_a_file_of_another_dc_is_there(bench: Bench) -> None:
    async def story(client: Any) -> None:
        number = bench.server.send_document(bench.ada, bench.account, Blocks(MIB), dc=4)
        await client.get_dialogs()
        letter = await client.get_messages(bench.ada.id, ids=number)
        with pytest.raises(errors.FileMigrateError) as moved:
            await client(functions.upload.GetFileRequest(_location(letter), 0, MIB))
        assert moved.value.new_dc == 4
        assert await letter.download_media(bytes) == Blocks(MIB).read(0, MIB)

    bench.run(story)


def test_an_authorization_is_imported_once(bench: Bench) -> None:
    async def story(client: Any) -> None:
        exported = await client(functions.auth.ExportAuthorizationRequest(4))
        other = await client._borrow_exported_sender(4)
        await other.send(functions.auth.ImportAuthorizationRequest(exported.id, exported.bytes))
        with pytest.raises(errors.AuthBytesInvalidError):
            await other.send(functions.auth.ImportAuthorizationRequest(exported.id, exported.bytes))

    bench.run(story)


def test_hashes_cover_the_file(bench: Bench) -> None:
    async def story(client: Any) -> None:
        location = _location(await _letter(bench, client, MIB + 7))
        hashes = await client(functions.upload.GetFileHashesRequest(location, 0))
        hashes += await client(functions.upload.GetFileHashesRequest(location, MIB))
        assert sum(one.limit for one in hashes) == MIB + 7

    bench.run(story)


def _message(bench: Bench, random_id: int, text: str = "hello") -> Any:
    peer = types.InputPeerUser(bench.ada.id, bench.server.access_hash(bench.ada))
    return functions.messages.SendMessageRequest(peer=peer, message=text, random_id=random_id)


def test_a_random_id_is_good_once(bench: Bench) -> None:
    async def story(client: Any) -> None:
        random_id = random.getrandbits(62)
        await client(_message(bench, random_id))
        with pytest.raises(errors.RandomIdDuplicateError):
            await client(_message(bench, random_id, "again"))

    bench.run(story)
    assert [one.text for one in bench.server.messages(bench.account)] == ["hello"]


@pytest.mark.parametrize(("text", "error"), [("", errors.MessageEmptyError), ("x" * 4097, errors.MessageTooLongError)])
def test_texts_have_a_size(bench: Bench, text: str, error: Any) -> None:
    async def story(client: Any) -> None:
        with pytest.raises(error):
            await client(_message(bench, 7, text))

    bench.run(story)


def test_what_isnt_changed_isnt_modified(bench: Bench) -> None:
    async def story(client: Any) -> None:
        bench.server.send_text(bench.ada, bench.account, "hi")
        await client.get_dialogs()
        sent = await client.send_message(bench.ada.id, "hello")
        await sent.edit("better")
        with pytest.raises(errors.MessageNotModifiedError):
            await sent.edit("better")
        with pytest.raises(errors.MessageIdInvalidError):
            await client.edit_message(bench.ada.id, 999, "x")

    bench.run(story)
    assert bench.server.messages(bench.account)[-1].texts == ("hello", "better")


def test_who_forbids_writing_gets_nothing(bench: Bench) -> None:
    lab = bench.server.add_channel("Lab", [bench.account, bench.ada])

    async def story(client: Any) -> None:
        bench.server.send_text(bench.ada, lab, "hi")
        await client.get_dialogs()
        bench.server.forbid_writing(lab)
        with pytest.raises(errors.ChatWriteForbiddenError):
            await client.send_message(lab.id, "hello")

    bench.run(story)


@pytest.mark.parametrize(("start", "count"), [(0, 250), (100, 150), (250, 0)])
def test_history_from_a_message_on(bench: Bench, start: int, count: int) -> None:
    async def story(client: Any) -> None:
        for number in range(250):
            bench.server.send_text(bench.ada, bench.account, str(number), push=False)
        await client.get_dialogs()
        for reverse in (True, False):
            found = [one.id async for one in client.iter_messages(bench.ada.id, min_id=start, reverse=reverse)]
            assert sorted(found) == list(range(start + 1, start + count + 1))
            assert found == sorted(found, reverse=not reverse)

    bench.run(story)


def test_a_bot_sees_updates_and_no_history(bench: Bench) -> None:
    bot = bench.server.add_account(bot_token="123:abc", name="Bot")

    async def story(client: Any) -> None:
        assert (await client.get_me()).bot
        with pytest.raises(errors.BotMethodInvalidError):
            await client.get_dialogs()

    bench.run(story, account=bot)


def test_parts_that_are_missing_or_uneven_make_no_file(bench: Bench) -> None:
    async def story(client: Any) -> None:
        await client(functions.upload.SaveFilePartRequest(1, 1, b"x" * 1024))
        peer = types.InputPeerUser(bench.ada.id, bench.server.access_hash(bench.ada))
        media = types.InputMediaUploadedDocument(types.InputFile(1, 2, "x", ""), "text/plain", [])
        send = functions.messages.SendMediaRequest(peer=peer, media=media, message="", random_id=5)
        with pytest.raises(errors.FilePart0MissingError):
            await client(send)
        await client(functions.upload.SaveFilePartRequest(1, 0, b"x" * 1000))
        with pytest.raises(errors.FilePartSizeInvalidError):
            await client(send)
        await client(functions.upload.SaveFilePartRequest(1, 0, b"x" * 1024))
        await client(send)

    bench.run(story)


def test_generated_content_is_the_same_however_it_is_read() -> None:
    content = Blocks(3 * MIB + 77)
    whole = content.read(0, content.size)
    assert len(whole) == content.size
    for offset, length in [(0, 5), (7, 3), (MIB - 2, 5), (MIB, 8), (MIB + 3, 20), (content.size - 5, 100)]:
        assert content.read(offset, length) == whole[offset : offset + length]
    assert digest(content) == digest(Blocks(3 * MIB + 77))
    assert digest(content) != digest(Blocks(3 * MIB + 77, seed=1))

"""What people in chats can do, and what they are told: the real daemon, real Telethon, a server on 127.0.0.1."""

from __future__ import annotations

import io
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.telegram_house import House, house
from tests.integration.test_telegram_account import stampmill

CSV = b"id,name\n1,apple\n2,pear\n3,plum\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), parts_timeout_s=4.0, max_bytes=2_000_000) as built:
        yield built


def csv_of(*rows: str) -> bytes:
    return ("id,name\n" + "".join(f"{row}\n" for row in rows)).encode()


def zip_of(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return packed.getvalue()


def encrypted_zip(folder: Path, password: str, content: bytes) -> bytes:
    (folder / "secret.csv").write_bytes(content)
    subprocess.run(["7zz", "a", "-tzip", f"-p{password}", "s.zip", "secret.csv"], cwd=folder, check=True, stdout=-3)
    return (folder / "s.zip").read_bytes()


def test_an_upload_is_answered_with_its_table(home: House) -> None:
    message = home.send(home.anna, CSV, name="fruit.csv")
    final = home.final(home.anna, message)
    assert "fruit" in final.text and "3 rows" in final.text and "apple" in final.text
    assert not final.silent and "pre" in str(final.entities).lower()
    status = [one for one in home.said(home.anna) if one.silent and one.reply_to == message]
    assert len(status) == 1
    assert len(home.finals(home.anna, message)) == 1


def test_a_stranger_gets_nothing(home: House) -> None:
    home.send(home.stranger, CSV, name="fruit.csv")
    message = home.send(home.anna, csv_of("7,x"), name="after.csv")
    home.final(home.anna, message)
    assert not home.said(home.stranger)
    assert not home.rows(f"SELECT * FROM telegram_message WHERE sender = {home.stranger.id}")


def test_the_same_document_again_is_answered_without_a_download(home: House) -> None:
    content = csv_of("11,again")
    first = home.send(home.anna, content, name="again.csv")
    home.final(home.anna, first)
    seen = next(one for one in home.server.messages(home.account, home.anna) if one.id == first)
    served = home.server.served(seen.document)
    for sender in (home.anna, home.bob):
        second = home.send(sender, content, name="again.csv", again=seen.document)
        final = home.final(sender, second)
        assert "1 row" in final.text
    assert home.server.served(seen.document) == served


def test_volumes_become_one_job(home: House, tmp_path: Path) -> None:
    (tmp_path / "many.csv").write_bytes(csv_of(*(f"{n},{n * 7919 % 10007}" for n in range(3000))))
    subprocess.run(["7zz", "a", "-mx0", "-v10k", "v.7z", "many.csv"], cwd=tmp_path, check=True, stdout=-3)
    parts = sorted(tmp_path.glob("v.7z.*"), reverse=True)
    assert len(parts) > 2
    messages = [home.send(home.bob, part.read_bytes(), name=part.name) for part in parts]
    home.wait(lambda: any(home.finals(home.bob, message) for message in messages))
    finals = [final for message in messages for final in home.finals(home.bob, message)]
    assert len(finals) == 1 and "3,000 rows" in finals[0].text


def test_a_missing_volume_is_named(home: House, tmp_path: Path) -> None:
    (tmp_path / "many.csv").write_bytes(csv_of(*(f"{n},{n}" for n in range(2000))))
    subprocess.run(["7zz", "a", "-mx0", "-v8k", "lost.7z", "many.csv"], cwd=tmp_path, check=True, stdout=-3)
    first, third = tmp_path / "lost.7z.001", tmp_path / "lost.7z.003"
    message = home.send(home.carl, first.read_bytes(), name=first.name)
    home.send(home.carl, third.read_bytes(), name=third.name)
    assert "lost.7z.002" in home.final(home.carl, message).text


def test_an_album_becomes_one_job(home: House) -> None:
    group = 424242
    messages = [
        home.send(home.carl, csv_of(f"{n},album{n}"), name=f"{name}.csv", grouped_id=group)
        for n, name in enumerate(("north", "south", "west"))
    ]
    home.wait(lambda: any(home.finals(home.carl, message) for message in messages))
    finals = [final for message in messages for final in home.finals(home.carl, message)]
    assert len(finals) == 1
    assert all(word in finals[0].text for word in ("north", "south", "west"))


def test_a_caption_gives_the_password(home: House, tmp_path: Path) -> None:
    content = encrypted_zip(tmp_path, "open sesame", csv_of("1,gold"))
    message = home.send(home.anna, content, name="cave.zip", caption="here it is\npassword: open sesame")
    assert "1 row" in home.final(home.anna, message).text


def test_a_reply_gives_the_password(home: House, tmp_path: Path) -> None:
    content = encrypted_zip(tmp_path, "swordfish", csv_of("1,gold", "2,silver"))
    message = home.send(home.bob, content, name="locked.zip")
    refused = home.final(home.bob, message)
    assert "encrypted" in refused.text and "Reply" in refused.text
    home.server.send_text(home.bob, home.account, "swordfish", reply_to=refused.id)
    home.wait(lambda: len(home.finals(home.bob, message)) == 2)
    assert "2 rows" in home.finals(home.bob, message)[-1].text


def test_a_reply_to_another_answer_is_talk(home: House) -> None:
    message = home.send(home.bob, csv_of("5,talk"), name="talk.csv")
    final = home.final(home.bob, message)
    home.server.send_text(home.bob, home.account, "thanks!", reply_to=final.id)
    home.final(home.bob, home.send(home.bob, csv_of("6,talk"), name="more.csv"))
    assert len(home.finals(home.bob, message)) == 1


def test_bad_input_is_one_sentence_with_the_next_step(home: House) -> None:
    message = home.send(home.anna, b"PK\x03\x04 this is no archive at all", name="broken.zip")
    text = home.final(home.anna, message).text
    assert text.startswith("❌") and "broken.zip" in text and "end it again" in text


def test_a_file_over_the_limit_is_refused_without_a_download(home: House) -> None:
    message = home.send(home.anna, b"x" * 2_000_001, name="large.bin")
    text = home.final(home.anna, message).text
    assert text.startswith("❌") and "at most 1.9 MB" in text
    seen = next(one for one in home.server.messages(home.account, home.anna) if one.id == message)
    assert home.server.served(seen.document) == (0, 0)


def test_a_table_is_called_as_the_caption_says(home: House) -> None:
    message = home.send(home.anna, csv_of("9,z"), name="x.csv", caption="table: harvest")
    assert "harvest" in home.final(home.anna, message).text


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b\\c.csv", "x" * 300 + ".csv", "\x00\x01.csv", "日本語 ☃.csv", " "]
)
def test_names_with_any_bytes(home: House, name: str) -> None:
    message = home.send(home.carl, csv_of(f"{len(name)},{abs(hash(name))}"), name=name)
    assert "1 row" in home.final(home.carl, message).text


def test_a_file_without_a_name(home: House) -> None:
    message = home.send(home.carl, csv_of("77,nameless"), name=None, mime="text/csv")
    assert "1 row" in home.final(home.carl, message).text


def replied(home: House, command: str, **more: int) -> str:
    message = home.server.send_text(home.anna, home.account, command, **more)
    found = home.wait(lambda: [one for one in home.said(home.anna) if one.reply_to == message])
    return found[0].text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/help", "Send me a file"),
        ("/status", "Since the start"),
        ("/queue", "under way"),
        ("/jobs", "Your last uploads"),
        ("/stats", "You sent"),
        ("/health", "All is well"),
        ("/cancel 99999", "no job 99999"),
        ("/retry 99999", "no job 99999"),
        ("/cancel", "Which one?"),
    ],
)
def test_commands(home: House, command: str, words: str) -> None:
    home.final(home.anna, home.send(home.anna, csv_of(f"{hash(command)},c"), name="before.csv"))
    assert words in replied(home, command)


def test_another_chats_jobs_are_nobodys_business(home: House) -> None:
    message = home.send(home.bob, csv_of("31,bob"), name="private-bob.csv")
    final = home.final(home.bob, message)
    job = final.text.rsplit("Job ", 1)[1].split()[0]
    assert f"no job {job}" in replied(home, f"/retry {job}")
    assert "private-bob" not in replied(home, "/jobs")


def test_retry_runs_it_again(home: House) -> None:
    message = home.send(home.anna, csv_of("41,again and again"), name="encore.csv")
    job = home.final(home.anna, message).text.rsplit("Job ", 1)[1].split()[0]
    home.server.send_text(home.anna, home.account, f"/retry {job}")
    home.wait(lambda: len(home.finals(home.anna, message)) == 2)
    assert "1 row" in home.finals(home.anna, message)[-1].text


def test_cancel_by_a_reply_to_the_upload(home: House) -> None:
    part = home.send(home.anna, b"7z\xbc\xaf\x27\x1c" + bytes(6) + struct.pack("<QQ", 10**6, 7), name="stop.7z.001")
    status = home.wait(lambda: [one for one in home.said(home.anna) if one.reply_to == part])[0]
    assert "stop.7z is cancelled" in replied(home, "/cancel", reply_to=part)
    home.wait(lambda: [one for one in home.said(home.anna) if one.id == status.id and "Cancelled" in one.text])
    assert not home.finals(home.anna, part)


def test_a_deleted_upload_is_withdrawn(home: House) -> None:
    part = home.send(home.anna, b"7z\xbc\xaf\x27\x1c" + bytes(6) + struct.pack("<QQ", 10**6, 100), name="gone.7z.001")
    home.wait(lambda: [one for one in home.said(home.anna) if one.reply_to == part])
    home.server.delete_message(home.account, part)
    home.wait(lambda: home.rows("SELECT 1 FROM telegram_upload WHERE state = 'withdrawn'"))
    home.final(home.anna, home.send(home.anna, csv_of("51,after"), name="after-gone.csv"))
    assert not home.finals(home.anna, part)


def test_an_upload_that_is_deleted_while_its_job_is_in_line_is_cancelled(home: House) -> None:
    head = b"7z\xbc\xaf\x27\x1c" + bytes(6) + struct.pack("<QQ", 10**6, 101)
    message = home.send(home.anna, head, name="line.7z.001")
    home.wait(lambda: home.rows(f"SELECT 1 FROM telegram_message WHERE message = {message} AND fetched = 1"))
    assert stampmill(home, "pause").returncode == 0
    try:  # the part that never comes is given up, and the job waits
        source = f"tg:{home.anna.id}:{message}"
        home.wait(lambda: home.rows(f"SELECT 1 FROM job WHERE source = '{source}'"))
        home.server.delete_message(home.account, message)
        home.wait(lambda: home.rows(f"SELECT 1 FROM job WHERE source = '{source}' AND state = 'cancelled'"))
    finally:
        stampmill(home, "resume")
    assert home.final(home.anna, message).text.startswith("⏹")


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
def test_tables_come_back_as_files(home: House, kind: str) -> None:
    content = csv_of(f"1,{kind}", "2,=1+1", "3,")
    message = home.send(home.bob, content, name=f"back-{kind}.csv", caption=f"format: {kind}")
    home.final(home.bob, message)
    sent = home.wait(lambda: [one for one in home.said(home.bob) if one.reply_to == message and one.file_name])
    assert [one.file_name for one in sent] == [f"back_{kind}.{kind}"]
    data = home.server.content(sent[0].document)
    assert read_table(data, kind) == [["1", kind], ["2", "=1+1"], ["3", None]]


def read_table(data: bytes, kind: str) -> list[list[str | None]]:
    import openpyxl
    import polars as pl

    if kind == "xlsx":
        sheet = openpyxl.load_workbook(io.BytesIO(data)).active
        rows = list(sheet.iter_rows(min_row=2, values_only=True))
    else:
        rows = (pl.read_csv(data) if kind == "csv" else pl.read_parquet(data)).rows()
    return [[None if value is None else str(value).removesuffix(".0") for value in row] for row in rows]


def wide(columns: int) -> bytes:
    header = ",".join(f"field{number}" for number in range(columns))
    return f"{header}\n{','.join(str(number) for number in range(columns))}\n".encode()


def test_a_wide_table_comes_with_a_picture(home: House) -> None:
    message = home.send(home.anna, wide(23), name="wide.csv")
    assert "23 columns" in home.final(home.anna, message).text
    pictures = home.wait(lambda: [one for one in home.said(home.anna) if one.reply_to == message and one.document])
    assert len(pictures) == 1 and pictures[0].silent and not pictures[0].text
    assert home.server.content(pictures[0].document).startswith(b"\x89PNG")


def test_a_report_can_be_had(home: House) -> None:
    message = home.send(home.anna, csv_of("1,melon", "2"), name="reported.csv")
    final = home.final(home.anna, message)
    asked = home.server.send_text(home.anna, home.account, "/report", reply_to=final.id)
    page = home.wait(lambda: [one for one in home.said(home.anna) if one.reply_to == asked])[0]
    assert page.file_name and page.file_name.endswith(".html")
    assert b"reported.csv" in home.server.content(page.document)
    number = page.file_name.removeprefix("job-").removesuffix(".html")
    asked = home.server.send_text(home.bob, home.account, f"/report_{number}")
    refused = home.wait(lambda: [one for one in home.said(home.bob) if one.reply_to == asked])[0]
    assert f"no job {number} of yours" in refused.text


def test_a_wish_for_a_tables_name_that_cant_be_met_is_told(home: House) -> None:
    message = home.send(home.anna, zip_of(a__csv=csv_of("1,kiwi")), name="bag.zip", caption="table: harvest9")
    text = home.final(home.anna, message).text
    assert "bag.zip" in text and "names the table of a single file" in text
    content = csv_of("1,papaya")
    home.final(home.anna, home.send(home.anna, content, name="first.csv"))
    second = home.send(home.anna, content, name="second.csv", caption="table: harvest9")
    assert "keeps the name it had" in home.final(home.anna, second).text

"""Logs, plain text, mails and chat exports."""

from __future__ import annotations

import datetime as dt
import json
from email.message import EmailMessage

import pytest

from pipeline.model import Code
from stages.convert import mailbox
from stages.convert.json_files import json_split
from stages.convert.text import log_lines
from tests.stages.convert.conftest import Bench

ACCESS = (
    '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326 "http://x/" "Mozilla (X)"\n'
    '10.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "POST /b HTTP/1.1" 404 - "-" "curl/8"\n'
)
APP = (
    "2024-01-02 03:04:05,678 INFO started\n"
    "2024-01-02 03:04:06,001 ERROR it broke\n"
    "Traceback (most recent call last):\n"
    '  File "x.py", line 1\n'
    "ValueError: no\n"
    "2024-01-02 03:04:07,000 INFO goes on\n"
)


def test_an_access_log(bench: Bench) -> None:
    done = bench.convert({"access.log": ACCESS.encode()})
    assert done.part.facts["format"] == "combined access log"
    frame = done.frame(done.part)
    assert frame["status"].to_list() == [200, 404]
    assert frame["path"].to_list() == ["/a.gif", "/b"]
    assert frame["line"].to_list() == [1, 2]


def test_a_stack_trace_belongs_to_its_entry(bench: Bench) -> None:
    done = bench.convert({"app.log": APP.encode()})
    frame = done.frame(done.part)
    assert frame["level"].to_list() == ["INFO", "ERROR", "INFO"]
    assert frame["line"].to_list() == [1, 2, 6]
    assert frame["message"][1].endswith("ValueError: no")


@pytest.mark.parametrize(
    "line",
    [
        "Jan  5 10:11:12 host sshd[123]: Accepted password",
        "<34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - 'su root' failed",
        "2024-01-02T03:04:05Z something happened",
        "INFO:root:hello",
        "2024-01-02 03:04:05 - app.core - WARNING - low",
    ],
)
def test_other_formats_are_known(bench: Bench, line: str) -> None:
    done = bench.convert({"a.log": f"{line}\n{line}\n".encode()})
    assert done.part.facts["format"] != "lines"
    assert done.part.rows == 2


def test_plain_text_is_lines_with_numbers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "CHUNK", 64)
    text = "A letter to someone\n\nDear reader,\n  this is it.\n" * 20 + "the end"
    done = bench.convert({"a.txt": text.encode()})
    assert done.part.facts["format"] == "lines"
    assert done.rows == [(i, line or None) for i, line in enumerate(text.split("\n"), 1)]


def test_a_table_in_a_text_file_is_a_table(bench: Bench) -> None:
    done = bench.convert({"a.txt": b"id\tname\n1\ta\n2\tb\n"})
    assert done.types == {"id": "BIGINT", "name": "VARCHAR"}


def mails(count: int) -> bytes:
    box = b""
    for number in range(count):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "a@x", "b@y", f"Größe {number}"
        mail["Date"] = "Tue, 02 Jan 2024 03:04:05 +0200"
        mail.set_content(f"Hello {number}\n>From the start\n")
        if number % 2:
            mail.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="x.bin")
        box += b"From a@x Tue Jan  2 03:04:05 2024\n" + mail.as_bytes() + b"\n"
    return box


@pytest.mark.parametrize("piece", [500, 1 << 20])
def test_a_mailbox(bench: Bench, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "_PIECE", piece)
    box = mails(25)
    done = bench.convert({"a.mbox": box})
    frame = done.frame(done.part)
    assert frame["subject"].to_list() == [f"Größe {number}" for number in range(25)]
    assert frame["date"][0] == dt.datetime(2024, 1, 2, 1, 4, 5, tzinfo=dt.UTC)
    assert frame["text"][3].startswith("Hello 3")
    assert frame["attachments"].to_list()[:2] == [None, '["x.bin"]']
    assert box[frame["byte"][7] :].startswith(b"From a@x")


def test_a_single_mail(bench: Bench) -> None:
    data = mails(1)
    done = bench.convert({"a.eml": data[data.find(b"\n") + 1 :]})
    assert done.frame(done.part)["subject"].to_list() == ["Größe 0"]


MESSAGES = [
    {
        "id": 1,
        "type": "message",
        "date": "2024-01-02T03:04:05",
        "date_unixtime": "1704164645",
        "from": "Ada",
        "text": "hi",
    },
    {
        "id": 2,
        "type": "message",
        "date": "2024-01-02T03:05:05",
        "date_unixtime": "1704164705",
        "from": "Ada",
        "text": ["see ", {"type": "link", "text": "https://x"}, "!"],
    },
]


@pytest.mark.parametrize("piece", [64, 1 << 20])
def test_a_chat(bench: Bench, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_split, "PIECE", piece)
    chat = {"name": "Chat", "type": "personal_chat", "id": 77, "messages": MESSAGES}
    done = bench.convert({"result.json": json.dumps(chat, indent=1).encode()})
    frame = done.frame(done.part)
    assert frame["text"].to_list() == ["hi", "see https://x!"]
    assert frame["chat_id"].to_list() == [77, 77]
    assert frame["date"][0] == dt.datetime(2024, 1, 2, 3, 4, 5)


def test_a_whole_account(bench: Bench) -> None:
    chats = [{"name": f"c{i}", "type": "private_group", "id": i, "messages": MESSAGES} for i in range(3)]
    export = {"about": "x", "chats": {"about": "y", "list": chats}, "left_chats": {"list": []}}
    done = bench.convert({"result.json": json.dumps(export).encode()})
    assert done.frame(done.part)["chat_name"].to_list() == ["c0", "c0", "c1", "c1", "c2", "c2"]
    cut = bench.convert({"result.json": json.dumps(export).encode()[:-30]})
    assert cut.member.reason is not None
    assert cut.member.reason.code in (Code.TRUNCATED, Code.CORRUPT)

"""The ledger's tables of uploads, messages and answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.adapter.ledger import AdapterLedger
from pipeline.adapter.model import Message, ReplyFacts, StatusFacts, UploadState, Wishes
from pipeline.machine.ledger import Ledger
from pipeline.model import JobState, Options, Upload

SECRET = "a-password-of-the-tests"


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[AdapterLedger, Ledger]]:
    ledger = Ledger(tmp_path / "ledger.sqlite", tmp_path)
    ours = AdapterLedger(tmp_path / "ledger.sqlite", tmp_path / "spool")
    yield ours, ledger
    ours.close()
    ledger.close()


@pytest.fixture
def ledger(both: tuple[AdapterLedger, Ledger]) -> AdapterLedger:
    return both[0]


def message(number: int = 1, **changes: object) -> Message:
    base: dict[str, object] = {
        "chat": 7,
        "message": number,
        "sender": 7,
        "at": 1.0,
        "document": number * 100,
        "size": 10,
        "name": "a.csv",
        "series": f"message:{number}",
    }
    return Message(**(base | changes))  # type: ignore[arg-type]


def arrive(ledger: AdapterLedger, *messages: Message) -> list[set[int]]:
    with ledger.turn():
        return [ledger.arrive(one) for one in messages]


def volume(number: int, part: int) -> Message:
    return message(number, series="volumes:7:a|cut", part=part)


def submit(ledger: Ledger, source: str = "tg:7:1") -> int:
    upload = Upload(path="/spool/a.csv", name="a.csv", size=1, mtime_ns=1, inode=1, device=1)
    return ledger.submit([(source, upload, Options())])[0]


def test_a_message_is_one_upload_however_often_it_is_told(ledger: AdapterLedger) -> None:
    assert arrive(ledger, message(), message()) == [{1}, set()]
    assert [upload.id for upload in ledger.open_uploads()] == [1]


def test_an_edit_counts_until_the_job_begins(both: tuple[AdapterLedger, Ledger]) -> None:
    ours, ledger = both
    edited = message(wishes=Wishes(table="b"))
    assert arrive(ours, message(), edited) == [{1}, {1}]
    job = submit(ledger)
    with ours.turn():
        ours.set_state(1, UploadState.JOB, job=job)
    assert arrive(ours, message()) == [set()]
    found = ours.upload(1)
    assert found is not None and found.messages[0].wishes.table == "b" and found.job == job


def test_another_file_in_the_same_message_is_another_upload(ledger: AdapterLedger) -> None:
    assert arrive(ledger, message(), message(document=5)) == [{1}, {1, 2}]
    first, second = ledger.upload(1), ledger.upload(2)
    assert first is not None and first.state is UploadState.WITHDRAWN
    assert second is not None and second.messages[0].document == 5


def test_volumes_gather_and_a_part_that_is_there_opens_another_upload(ledger: AdapterLedger) -> None:
    assert arrive(ledger, volume(1, 1), volume(2, 2), volume(3, 1), volume(4, 2)) == [{1}, {1}, {2}, {2}]
    found = ledger.upload(1)
    assert found is not None and [one.message for one in found.messages] == [1, 2]


def test_a_deleted_message_withdraws_its_upload_when_it_was_the_last(ledger: AdapterLedger) -> None:
    arrive(ledger, volume(1, 1), volume(2, 2))
    with ledger.turn():
        ledger.remove(7, 1, 1)
    assert ledger.open_uploads()
    with ledger.turn():
        ledger.remove(7, 2, 1)
    assert not ledger.open_uploads()


def test_a_deletion_without_a_chat_is_not_about_channels(ledger: AdapterLedger) -> None:
    channel = message(1, chat=-1_000_000_000_007)
    arrive(ledger, message(), channel)
    assert [row[0] for row in ledger.about(0, [1])] == [7]
    assert [row[0] for row in ledger.about(channel.chat, [1])] == [channel.chat]


def test_an_answer_is_put_into_the_outbox_once(ledger: AdapterLedger) -> None:
    with ledger.turn():
        assert ledger.say("final:1:0", 7, 1, 1, StatusFacts(name="a", size=1))
        assert not ledger.say("final:1:0", 7, 1, 1, StatusFacts(name="b", size=2))
    (say,) = ledger.unsaid()
    assert say.facts == StatusFacts(name="a", size=1) and say.random_id > 0
    with ledger.turn():
        ledger.set_sent(say.item, 55)
        ledger.set_undeliverable(say.item, "too late")
    assert not ledger.unsaid() and ledger.about_reply(7, 55) == 1 and ledger.undeliverable() == 0


def test_random_ids_last(ledger: AdapterLedger) -> None:
    with ledger.turn():
        ledger.say("reply:7:1", 7, 1, 0, ReplyFacts(command="help"))
    assert ledger.unsaid() == ledger.unsaid()


def test_how_far_a_chat_was_looked_at_never_goes_back(ledger: AdapterLedger) -> None:
    with ledger.turn():
        for seen in (5, 9, 7):
            ledger.set_looked(7, seen)
    assert ledger.looked() == {7: 9}


def test_a_turn_that_fails_leaves_nothing(ledger: AdapterLedger) -> None:
    def fail() -> None:
        with ledger.turn():
            ledger.arrive(message())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not ledger.open_uploads()


def test_a_password_is_wiped_from_the_file_when_the_upload_ends(ledger: AdapterLedger, tmp_path: Path) -> None:
    arrive(ledger, message(wishes=Wishes(password=SECRET)))
    with ledger.turn():
        ledger.try_again(1, SECRET)
    found = ledger.upload(1)
    assert found is not None and found.messages[0].wishes.password == SECRET
    with ledger.turn():
        ledger.end(1, UploadState.ANSWERED)
    assert ledger.wiped and ledger.empty_log() and not ledger.wiped
    assert not [file for file in tmp_path.iterdir() if file.is_file() and SECRET.encode() in file.read_bytes()]


def test_twins_have_the_same_document_and_wishes(both: tuple[AdapterLedger, Ledger]) -> None:
    ours, ledger = both
    arrive(ours, message(1, document=5), message(2, document=5, wishes=Wishes(types="text")), message(3, document=5))
    third = ours.upload(3)
    assert third is not None
    assert [twin.upload for twin in ours.twins(third.messages[0])] == [1]
    job = submit(ledger)
    with ours.turn():
        ours.set_state(1, UploadState.JOB, job=job)
        ours.set_state(3, UploadState.TWIN, twin=1)
    assert not ours.waiting_for_twins() and not ours.ended_jobs()
    ours.db.execute("UPDATE job SET state = 'done' WHERE id = ?", (job,))
    assert [(one.upload, one.job, one.state) for one in ours.ended_jobs()] == [(1, job, JobState.DONE)]
    with ours.turn():
        ours.end(1, UploadState.ANSWERED)
    assert ours.waiting_for_twins() == [(3, job, JobState.DONE)]


def test_a_job_of_another_chat_is_not_found(both: tuple[AdapterLedger, Ledger]) -> None:
    ours, ledger = both
    arrive(ours, message())
    job = submit(ledger)
    with ours.turn():
        ours.set_state(1, UploadState.JOB, job=job)
    assert (ours.of_job(7, job), ours.of_job(8, job)) == (1, 0)
    assert ours.job_at("tg:7:1") == job and ours.job_at("tg:7:2") == 0

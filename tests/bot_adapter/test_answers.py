"""The texts of the chat: short enough for Telegram, safe, and of use to whoever reads them on a phone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.extensions import html

from bot_adapter import answers, replies
from bot_adapter.answers import Over, Standing, Transfer, Waiting
from bot_adapter.preview import WIDTH, Preview, columns_wide, draw
from bot_adapter.words import count, ordinal, plain, size, span
from pipeline.adapter.model import (
    JobLine,
    JobProgress,
    Phase,
    RefusalFacts,
    ReplyFacts,
    ResultFacts,
    StatusFacts,
    TableFacts,
)
from pipeline.model import Code, JobState, MemberCounts, Reason

TELEGRAM_TAKES = 4096  # UTF-16 units
texts = st.text(max_size=300)
counts = st.integers(0, 10**12)
reasons = st.builds(Reason, code=st.sampled_from(Code), text=texts, next_step=texts)
tables = st.builds(
    TableFacts, name=texts, rows=counts, rejected=counts, columns=st.integers(0, 20_000), path=texts, source=texts
)
results = st.builds(
    ResultFacts,
    job=counts,
    name=texts,
    state=st.sampled_from([JobState.DONE, JobState.FAILED, JobState.CANCELLED]),
    reason=st.none() | reasons,
    tables=st.lists(tables, max_size=20).map(tuple),
    table_count=st.integers(0, 5000),
    rows=counts,
    rejected_records=counts,
    members=st.builds(MemberCounts, total=counts, converted=counts, kept=counts, rejected=counts),
    seconds=st.floats(0, 1e7),
    seen_before=st.booleans(),
)


@st.composite
def previews(draw_: st.DrawFn) -> Preview:
    width = draw_(st.integers(1, 12))
    row = st.lists(st.none() | texts, min_size=width, max_size=width).map(tuple)
    columns = draw_(st.lists(texts, min_size=width, max_size=width))
    numeric = draw_(st.lists(st.booleans(), min_size=width, max_size=width))
    return Preview(tuple(columns), tuple(draw_(st.lists(row, max_size=7))), tuple(numeric))


def units(text: str) -> int:
    words, _ = html.parse(text)
    return len(words.encode("utf-16-le")) // 2


def facts(**changes: object) -> ResultFacts:
    base: dict[str, object] = {
        "job": 17,
        "name": "shop.zip",
        "state": JobState.DONE,
        "reason": None,
        "tables": (TableFacts(name="orders", rows=5000, rejected=0, columns=8, path="p"),),
        "table_count": 1,
        "rows": 5000,
        "rejected_records": 0,
        "members": MemberCounts(total=1, converted=1),
        "seconds": 4.2,
    }
    return ResultFacts(**(base | changes))  # type: ignore[arg-type]


@given(results, st.none() | previews())
def test_any_result_is_a_message_that_telegram_takes(result: ResultFacts, preview: Preview | None) -> None:
    text = answers.result(result, preview)
    assert 0 < units(text) <= TELEGRAM_TAKES
    assert text == answers.result(result, preview)


@given(texts, reasons)
def test_a_refusal_is_a_message_that_telegram_takes(name: str, reason: Reason) -> None:
    assert 0 < units(answers.refusal(RefusalFacts(name=name, reason=reason))) <= TELEGRAM_TAKES


def test_one_table() -> None:
    preview = Preview(("id", "name"), (("1", "apple"), ("22", None)), (True, False))
    words, _ = html.parse(answers.result(facts(), preview))
    assert words == (
        "✅ shop.zip\nTable orders: 5,000 rows · 8 columns · 4.2 s\n\nid name\n── ─────\n 1 apple\n22 ∅\n\nJob 17"
    )


def test_several_tables_with_rejects() -> None:
    two = tuple(TableFacts(name=f"t{n}", rows=10 - n, rejected=n, columns=2, path="p") for n in range(2))
    reason = Reason(code=Code.ENCRYPTED, text="x.zip is encrypted", next_step="whatever")
    members = MemberCounts(total=4, converted=2, kept=1, rejected=1)
    words, _ = html.parse(
        answers.result(facts(tables=two, table_count=2, rows=19, rejected_records=1, members=members, reason=reason))
    )
    assert words == (
        "⚠️ shop.zip\n2 tables · 19 rows · 4.2 s\n\n• t0: 10 rows, 2 columns\n• t1: 9 rows, 2 columns, 1 reject\n\n"
        "1 record doesn't fit and is listed as rejects.\n"
        "1 of 4 files could not be taken. x.zip is encrypted. Reply to this message with the password.\n"
        "1 file without a table was kept as is.\nJob 17"
    )


def test_a_failure_is_a_sentence_and_the_next_step() -> None:
    reason = Reason(code=Code.CORRUPT, text="It is damaged: no end", next_step="Send it again")
    failed = facts(state=JobState.FAILED, tables=(), table_count=0, rows=0, reason=reason)
    words, _ = html.parse(answers.result(failed))
    assert words == "❌ shop.zip\nIt is damaged: no end. Send it again.\nJob 17 · /retry 17"


def test_names_cant_write_markup() -> None:
    text = answers.result(facts(name="<b>x</b>&\u202egpj.exe\n/cancel"))
    words, entities = html.parse(text)
    assert "<b>x</b>&" in words and "\u202e" not in words and "\n/cancel" not in words
    assert len(entities) == 2  # the name and the table, in bold


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (None, "Got it. Waiting for its turn to download."),
        (Transfer(512, 1024, 2048, 20), "▰▰▰▰▰▱▱▱▱▱ 50 % downloaded · 2.0 KB/s · 20 s left"),
        (Transfer(0, 0), "▰▰▰▰▰▰▰▰▰▰ 100 % downloaded"),
        (Waiting("Waiting for a.7z.002"), "⏳ Waiting for a.7z.002."),
        (JobProgress(upload=1, phase=Phase.QUEUED, place=1), "⏳ Downloaded, next in line."),
        (JobProgress(upload=1, phase=Phase.QUEUED, place=3), "⏳ Downloaded, 3rd in line."),
        (JobProgress(upload=1, phase=Phase.UNPACKING), "⚙️ Unpacking…"),
        (
            JobProgress(upload=1, phase=Phase.CONVERTING, share=0.25, batches=4, batches_done=1),
            "▰▰▱▱▱▱▱▱▱▱ 25 % · making tables, part 1 of 4",
        ),
        (Over("Answered below."), "Answered below."),
    ],
)
def test_the_status_message(standing: Standing, words: str) -> None:
    text, _ = html.parse(answers.status(StatusFacts(name="shop.zip", size=12_900_000), standing))
    assert text == f"📦 shop.zip · 12.3 MB\n{words}"


@given(previews())
def test_a_preview_is_as_narrow_as_a_phone(preview: Preview) -> None:
    drawn, hidden = draw(preview)
    assert all(columns_wide(line) <= WIDTH for line in drawn.splitlines())
    assert 0 <= hidden < len(preview.columns)
    assert len(drawn.split("\n")) <= 7


def test_a_preview_puts_numbers_to_the_right_and_counts_wide_letters() -> None:
    preview = Preview(("n", "名前", "note"), (("1", "東京", "x" * 40), ("200", "a", None)), (True, False, False))
    assert draw(preview) == ("  n 名前 note\n─── ──── ──────────────\n  1 東京 xxxxxxxxxxxxx…\n200 a    ∅", 0)


@pytest.mark.parametrize("command", [*replies.COMMANDS, "stranger", "nonsense"])
@given(
    words=st.lists(texts, max_size=3).map(tuple),
    lines=st.lists(st.builds(JobLine, job=counts, name=texts, words=texts, at=st.floats(0, 2e9)), max_size=10).map(
        tuple
    ),
    numbers=st.dictionaries(st.sampled_from(["running", "waiting", "own", "up_s", "free"]), st.floats(0, 1e12)),
)
def test_any_reply_is_a_message_that_telegram_takes(
    command: str, words: tuple[str, ...], lines: tuple[JobLine, ...], numbers: dict[str, float]
) -> None:
    if command == "stats":
        numbers = dict.fromkeys(("uploads", "bytes", "done", "failed", "open", "tables", "rows", "rejected"), 5.0)
    text = replies.reply(ReplyFacts(command=command, words=words, lines=lines, numbers=numbers), lambda: 2e9)
    assert units(text) <= TELEGRAM_TAKES
    assert text or command == "stranger"


def test_words() -> None:
    assert [size(n) for n in (0, 1023, 1536, 12_900_000, 5 * 2**30)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KB",
        "12.3 MB",
        "5.0 GB",
    ]
    assert [span(s) for s in (0.42, 12, 200, 7500, 300_000)] == ["0.4 s", "12 s", "3 min", "2 h 05 min", "3 days"]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 112)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "21st",
        "112th",
    ]
    assert (count(1, "row"), count(12345, "row")) == ("1 row", "12,345 rows")
    assert plain("a\u202eb\n\tc\x00") == "a b c"
    assert len(plain("x" * 500)) == 60

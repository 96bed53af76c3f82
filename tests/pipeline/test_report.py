"""The page about a job: everything is told, nothing is fetched, and nothing that an uploader wrote is taken for HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import cli
from pipeline.errors import UsageError
from pipeline.model import Code, Reason
from pipeline.results import report
from stages.handover import MemberResult, Results
from tests.stages.store.bench import Bench, converted

NASTY = "<img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """The page's tags, its links, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    part = bench.part("a.csv", {NASTY: pa.array([1, 2]), "t": pa.array([NASTY, "x"])}, rejects=[f"bad {NASTY}"])
    reason = Reason(code=Code.CORRUPT, text=f"It is damaged: {NASTY}", next_step="Send it again.")
    lost = MemberResult(number=2, path=f"b/{NASTY}", outcome="rejected", size=7, reason=reason)
    bench.run(bench.task(0, Results(members=(converted(1, "a.csv"), lost), tables=(part,))))
    return bench


def test_it_tells_of_files_tables_and_rejects(bench: Bench) -> None:
    page = Reader(report.page(report.gather(bench.library, 12)))
    for words in ("job 12", "2 rows", "1 rejected records", "It is damaged", "BIGINT", "b/"):
        assert words.lower() in page.words.lower()


def test_what_an_uploader_wrote_stays_words(bench: Bench) -> None:
    page = Reader(report.page(report.gather(bench.library, 12)))
    assert page.words.count(NASTY) >= 4
    assert page.links == []
    assert not page.tags & {"img", "script", "link", "iframe", "object"}


def test_a_job_that_failed_has_a_page_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fail(Reason(code=Code.BOMB, text="It grows.", next_step="Send another."))
    assert "It grows. Send another." in Reader(report.page(report.gather(bench.library, 12))).words


def test_a_part_that_cant_be_read_is_said(bench: Bench) -> None:
    next(bench.library.glob("*/*/*/part-*.parquet")).write_bytes(b"PAR1")
    assert "can't be read" in Reader(report.page(report.gather(bench.library, 12))).words


def test_the_verb_writes_it(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    target = bench.root / "it.html"
    assert cli.run(["report", "12", "--into", str(bench.library), "-o", str(target)]) == 0
    assert target.read_text().startswith("<!doctype html>")
    assert str(target) in capsys.readouterr().out.replace("\n", "")


def test_no_such_job(bench: Bench) -> None:
    with pytest.raises(UsageError, match="no job 99"):
        report.gather(bench.library, 99)

"""Names: typable, unique, safe, and the words they come from still to be seen."""

from __future__ import annotations

import duckdb
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.store import names
from tests.stages.store.bench import Bench

PATHS = st.text(max_size=200)


@pytest.mark.parametrize(
    ("path", "title", "name"),
    [
        ("outer.zip!/2024/Orders (final).csv", "", "orders_final"),
        ("orders.csv.gz", "", "orders"),
        ("books.zip!/", "", "books"),
        ("a.tar.gz!/a.tar!/b.csv", "", "b"),
        ("book.xlsx", "Sheet 1", "book_sheet_1"),
        ("2024.csv", "", "t_2024"),
        ("order.csv", "", "order_"),
        ("Группы.csv", "", "gruppy"),
        ("Äpfel & Größe.csv", "", "apfel_grosse"),
        ("数据.csv", "", "data"),
        ("kept.csv", "", "kept_2"),
        ("x" * 300 + ".csv", "", "x" * 60),
        (".csv", "", "csv"),
        ("", "", "data"),
    ],
)
def test_table_names(path: str, title: str, name: str) -> None:
    assert names.TableNames().take([path], title) == name


def test_equal_names_are_numbered() -> None:
    taken = names.TableNames()
    assert [taken.take([f"{year}/sales.csv"]) for year in range(3)] == ["sales", "sales_2", "sales_3"]
    assert taken.take(["sales_2.csv"]) == "sales_2_2"


@pytest.mark.parametrize(
    ("sources", "name", "source"),
    [
        (["z!/sales-2024-01.csv", "z!/sales-2024-02.csv"], "sales_2024", "z!/"),
        (["z.zip!/jan.csv", "z.zip!/feb.csv"], "z", "z.zip!/"),
        (["a/x.csv", "a/x.csv"], "x", "a/x.csv"),
        (["jan.csv", "feb.csv"], "feb", ""),
        (["q/1.csv", "q/2.csv"], "q", "q/"),
    ],
)
def test_several_sources(sources: list[str], name: str, source: str) -> None:
    assert names.TableNames().take(sources) == name
    assert names.common_source(sources) == source


@given(st.lists(st.tuples(PATHS, PATHS), max_size=20))
def test_table_names_are_typable_and_unique(sources: list[tuple[str, str]]) -> None:
    taken = names.TableNames()
    given_out = [taken.take([path], title) for path, title in sources]
    assert len(set(given_out)) == len(given_out)
    for name in given_out:
        assert len(name) <= 60
        assert name.isascii()
        assert name.replace("_", "a").isalnum()
        assert name[0].isalpha()
        assert name == name.lower()


def test_every_reserved_word_is_known() -> None:
    with duckdb.connect() as connection:
        words = connection.sql(
            "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
        ).fetchall()
        for (word,) in words:
            name = names.TableNames().take([f"{word}.csv"])
            connection.execute(f"create view {name} as select 1 as a")
            assert connection.sql(f"select {name}.a from {name} join {name} as b using (a)").fetchall() == [(1,)]


@given(st.integers(0, 10**7), PATHS)
def test_member_files_are_safe_names(number: int, path: str) -> None:
    name = names.member_file(number, path)
    assert "/" not in name
    assert "\0" not in name
    assert len(name.encode()) < 130
    assert name.startswith(f"{number:06}")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("z.zip!/a/photo.jpg", "000012-photo.jpg"),
        ("../../etc/passwd", "000012-passwd"),
        ("a\nb.txt", "000012-a_b.txt"),
        ("x" * 300 + ".tar", "000012-" + "x" * 96 + ".tar"),
        ("фото.jpg", "000012-фото.jpg"),
        ("...", "000012"),
        ("a.zip!/", "000012-a.zip"),
    ],
)
def test_member_files(path: str, name: str) -> None:
    assert names.member_file(12, path) == name


def test_job_folder(bench: Bench) -> None:
    """The month is that of arrival in UTC; a name of which nothing is left leaves one that recovery can find."""
    last_second = msgspec.structs.replace(bench.upload, name="数据.csv", arrived_at=1_772_323_199.9)
    assert names.job_folder(7, last_second) == "2026-02/7-upload"
    assert names.job_folder(7, bench.upload) == "2026-02/7-my-orders"

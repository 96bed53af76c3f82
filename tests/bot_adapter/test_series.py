"""What makes up an upload, when it's whole, and what it lacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot_adapter.series import ALBUM_QUIET_S, display_name, judge, series_of
from pipeline.adapter.model import Message, OpenUpload, UploadState
from pipeline.volume_sets import QUIET_S as VOLUMES_QUIET_S
from pipeline.volume_sets import Verdict, Whole


def upload(*names: str, album: int = 0, sizes: dict[str, int] | None = None) -> OpenUpload:
    messages = []
    for number, name in enumerate(names, 1):
        series, part = series_of(name, 7, number, album)
        size = (sizes or {}).get(name, 100)
        messages.append(
            Message(
                chat=7, message=number, sender=7, at=0, document=number, size=size, name=name, series=series, part=part
            )
        )
    return OpenUpload(id=1, chat=7, series=messages[0].series, state=UploadState.OPEN, messages=tuple(messages))


def verdict(one: OpenUpload, total: int | None = None, quiet_s: float = 0.0, waited_s: float = 0.0) -> Verdict:
    return judge(one, total, quiet_s, waited_s, timeout_s=600.0)


def test_the_volumes_of_one_sender_are_one_series() -> None:
    one, two = series_of("A.7z.001", 7, 1, 0), series_of("a.7z.002", 7, 2, 0)
    assert one[0] == two[0] and (one[1], two[1]) == (1, 2)
    assert series_of("a.7z.002", 8, 2, 0)[0] != one[0]
    assert series_of("a.part1.rar", 7, 1, 0)[0] != one[0]


def test_an_album_is_one_series_but_for_volumes_in_it() -> None:
    assert series_of("a.csv", 7, 1, 55)[0] == series_of("b.csv", 7, 2, 55)[0]
    assert series_of("a.7z.001", 7, 3, 55)[0] == series_of("a.7z.002", 7, 9, 0)[0]


@pytest.mark.parametrize("name", ["a.csv", "a.zip", "a.rar", "", "x.log.001", "📦"])
def test_a_single_file_is_whole_at_once(name: str) -> None:
    assert verdict(upload(name)).whole is Whole.YES


def test_a_set_is_whole_when_all_are_there_that_it_says_it_has() -> None:
    two = upload("a.7z.001", "a.7z.002")
    assert verdict(two, total=2).whole is Whole.YES
    assert verdict(two, total=3)[:2] == (Whole.NOT_YET, "a.7z.003")


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("a.7z.001", "a.7z.003"), "a.7z.002"),
        (("a.part2.rar",), "a.part1.rar"),
        (("a.z01", "a.z02"), "a.zip"),
    ],
)
def test_a_gap_is_named_and_given_up_after_a_time(names: tuple[str, ...], missing: str) -> None:
    assert verdict(upload(*names), quiet_s=1e6)[:2] == (Whole.NOT_YET, missing)
    assert verdict(upload(*names), waited_s=600.0)[:2] == (Whole.NEVER, missing)


def test_a_zip_that_says_it_is_the_last_of_several_waits_for_them() -> None:
    assert verdict(upload("a.zip"), total=3)[:2] == (Whole.NOT_YET, "a.z01")
    assert verdict(upload("a.zip", "a.z01", "a.z02"), total=3).whole is Whole.YES
    assert verdict(upload("a.rar"), total=2)[:2] == (Whole.NOT_YET, "a.r00")


def test_without_a_word_from_the_volumes_the_last_is_told_by_its_size_and_silence() -> None:
    ended = upload("a.tar.gz.001", "a.tar.gz.002", sizes={"a.tar.gz.002": 30})
    assert verdict(ended, quiet_s=1.0).whole is Whole.NOT_YET
    assert verdict(ended, quiet_s=VOLUMES_QUIET_S).whole is Whole.YES
    even = upload("a.tar.gz.001", "a.tar.gz.002")
    assert verdict(even, quiet_s=1e6).whole is Whole.NOT_YET
    assert verdict(even, waited_s=600.0) == (Whole.YES, "", 0.0)


def test_an_album_is_whole_when_it_is_quiet_or_full() -> None:
    assert verdict(upload("a.csv", "b.csv", album=5)).whole is Whole.NOT_YET
    assert verdict(upload("a.csv", "b.csv", album=5), quiet_s=ALBUM_QUIET_S).whole is Whole.YES
    assert verdict(upload(*(f"{n}.csv" for n in range(10)), album=5)).whole is Whole.YES


@given(st.permutations(["a.7z.001", "a.7z.002", "a.7z.003"]), st.floats(0, 1e5), st.floats(0, 1e5))
def test_the_order_in_which_parts_come_makes_no_difference(names: list[str], quiet_s: float, waited_s: float) -> None:
    assert verdict(upload(*names), 3, quiet_s, waited_s).whole is Whole.YES
    assert verdict(upload(*names[:2]), 3, quiet_s, waited_s).whole is not Whole.YES


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("a.7z.002", "a.7z.001"), "a.7z"),
        (("a.csv",), "a.csv"),
        (("a.csv", "b.csv", "c.csv"), "a.csv and 2 more"),
        (("",), "your file"),
        (("x.zip",), "x.zip"),
    ],
)
def test_what_people_call_it(names: tuple[str, ...], shown: str) -> None:
    assert display_name(upload(*names, album=9 if len(names) > 2 else 0).messages) == shown

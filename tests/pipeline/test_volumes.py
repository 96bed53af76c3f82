"""Names alone decide which files are one archive's parts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.volumes import Group, group, part_of


def grouped(*names: str) -> list[tuple[str, list[str], str]]:
    return [(one.name, [names[index] for index in one.files], one.missing) for one in group(names)]


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("a.rar", ["a.part1.rar", "a.part2.rar", "a.part3.rar"]),
        ("a.rar", [f"a.part{n:02}.rar" for n in range(1, 13)]),
        ("a.rar", [f"a.part{n}.rar" for n in range(1, 13)]),
        ("a.rar", ["a.rar", "a.r00", "a.r01"]),
        ("a.rar", ["a.rar", *(f"a.r{n:02}" for n in range(100)), "a.s00"]),
        ("a.7z", ["a.7z.001", "a.7z.002"]),
        ("a.zip", ["a.zip.001", "a.zip.002", "a.zip.003"]),
        ("a.tar.gz", ["a.tar.gz.001", "a.tar.gz.002"]),
        ("a.zip", ["a.zip", "a.z01", "a.z02"]),
    ],
)
def test_parts_become_one_archive_however_they_come(whole: str, parts: list[str]) -> None:
    shuffled = random.Random(len(parts)).sample(parts, len(parts))
    (one,) = grouped(*shuffled)
    assert one == (whole, parts, "")


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        (["a.part1.rar", "a.part3.rar"], "a.part2.rar"),
        (["a.part02.rar"], "a.part01.rar"),
        (["a.r00", "a.r01"], "a.rar"),
        (["a.rar", "a.r01"], "a.r00"),
        (["a.rar", *(f"a.r{n:02}" for n in range(100)), "a.s01"], "a.s00"),
        (["a.7z.002"], "a.7z.001"),
        (["a.7z.001", "a.7z.004"], "a.7z.002"),
        (["a.z01", "a.z02"], "a.zip"),
        (["a.zip", "a.z02"], "a.z01"),
    ],
)
def test_the_first_gap_is_named(present: list[str], missing: str) -> None:
    (one,) = grouped(*present)
    assert one[2] == missing


def test_what_only_looks_alike_stays_apart() -> None:
    names = ["a.rar", "b.zip", "app.log.001", "app.log.002", "a.part1.csv", "2024.001", ".rar", "a.7z.000", "x.z00"]
    assert grouped(*names) == [(name, [name], "") for name in names]


def test_sets_that_lie_together_stay_apart() -> None:
    assert grouped("b.7z.001", "a.rar", "A.7z.002", "c.csv", "a.7z.001", "b.7z.002", "a.r00") == [
        ("b.7z", ["b.7z.001", "b.7z.002"], ""),
        ("a.rar", ["a.rar", "a.r00"], ""),
        ("A.7z", ["a.7z.001", "A.7z.002"], ""),
        ("c.csv", ["c.csv"], ""),
    ]


def test_a_part_that_is_there_twice_is_two_archives() -> None:
    assert grouped("a.part1.rar", "A.part1.rar", "a.part2.rar") == [
        ("a.rar", ["a.part1.rar", "a.part2.rar"], ""),
        ("A.rar", ["A.part1.rar"], ""),
    ]


@given(st.lists(st.from_regex(r"[ab](\.(zip|rar|7z|csv))?(\.(part)?[0-9rz]{1,3})?(\.rar)?", fullmatch=True)))
def test_every_file_is_in_one_group(names: list[str]) -> None:
    found = group(names)
    assert sorted(index for one in found for index in one.files) == list(range(len(names)))
    assert all(isinstance(one, Group) and one.files for one in found)
    assert all(not one.missing or part_of(one.missing) for one in found)
    assert all(one.missing not in {names[index] for index in one.files} for one in found)

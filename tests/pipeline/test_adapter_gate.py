"""Which downloads may begin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapter.gate import SMALL_BYTES, Request, Room, decide, reserved

BIG = 4 * 1024**3


def room(**changes: object) -> Room:
    base: dict[str, object] = {
        "line": 0,
        "line_limit": 16,
        "free": 100 * BIG,
        "reserved": 0,
        "kept": 1000,
        "in_hand": 0,
        "small_in_hand": 0,
        "places": 4,
    }
    return Room(**(base | changes))  # type: ignore[arg-type]


def request(upload: int = 1, size: int = 1000, *, begun: bool = False, message: int = 0) -> Request:
    return Request(upload, message or upload, size, begun)


def words(*requests: Request, **changes: object) -> list[str]:
    return [answer.words for answer in decide(requests, room(**changes))]


def test_with_room_all_begin() -> None:
    assert words(request(1), request(2, BIG)) == ["", ""]


def test_none_begins_while_the_line_is_full_but_for_parts_of_what_has_begun() -> None:
    full, part = words(request(1), request(2, begun=True), line=16)
    assert "in line" in full and not part
    assert words(request(1, message=1), request(1, message=2), request(2), line=15)[:2] == ["", ""]
    assert "in line" in words(request(1, message=1), request(1, message=2), request(2), line=15)[2]


def test_the_disk_is_reserved_first() -> None:
    assert words(request(1, 600), request(2, 600), free=2000, kept=900) == [
        "",
        words(request(2, 600), free=1400, kept=900)[0],
    ]
    assert "disk" in words(request(1, 600, begun=True), free=1400, kept=900)[0]
    assert "disk" in words(request(1, 600), free=2000, kept=900, reserved=600)[0]


def test_a_small_file_never_stands_behind_large_ones() -> None:
    assert words(request(1, 1000), request(2, 1000), in_hand=4) == ["", "other files are being downloaded first"]
    assert words(request(1, SMALL_BYTES + 1), in_hand=4) == ["other files are being downloaded first"]
    assert words(request(1, 1000), in_hand=4, small_in_hand=1) == ["other files are being downloaded first"]


def test_a_held_pipeline_begins_nothing() -> None:
    assert words(request(1), request(2, begun=True), halted="paused") == ["paused", ""]


@given(
    st.lists(st.builds(Request, st.integers(1, 5), st.integers(1, 9), st.integers(0, 5000), st.booleans())),
    st.integers(0, 20),
    st.integers(0, 20_000),
    st.integers(0, 6),
)
def test_the_bounds_hold_whatever_is_asked_for(requests: list[Request], line: int, free: int, in_hand: int) -> None:
    start = room(line=line, free=free, in_hand=in_hand, kept=500)
    granted = [answer.request for answer in decide(requests, start) if not answer.words]
    assert sum(one.size for one in granted) <= max(0, free - 500)
    assert len(granted) <= max(0, 5 - in_hand)
    begun = {one.upload for one in requests if one.begun}
    assert len({one.upload for one in granted} - begun) <= max(0, 16 - line)


def test_what_is_reserved() -> None:
    assert reserved([(100, 30), (50, 80), (10, 0)]) == 80

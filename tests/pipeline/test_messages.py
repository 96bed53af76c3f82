"""What the supervisor and its workers say to each other arrives as it was sent, in datagrams that fit."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from pipeline.datagrams import MAX_DATAGRAM_BYTES, datagrams
from pipeline.model import (
    Closed,
    Code,
    Column,
    Done,
    MemberCounts,
    Options,
    Output,
    Published,
    Reason,
    Reject,
    Retry,
    StageName,
    TableInfo,
    Taken,
    Task,
    Upload,
)
from pipeline.processes.messages import (
    BatchClosed,
    DiskFailed,
    Dispatch,
    Drop,
    Finished,
    Grant,
    Ready,
    Stop,
    decode_orders,
    decode_reports,
)

numbers = st.integers(0, 2**63 - 1)
times = st.floats(0, 1e12)
texts = st.text(st.characters(codec="utf-8"), max_size=30)
blobs = st.binary(max_size=60)
outputs = st.builds(
    Output, payload=blobs, names=st.lists(texts, max_size=3).map(tuple), bytes=numbers, files=st.integers(0, 1000)
)
reasons = st.builds(Reason, code=st.sampled_from(Code), text=texts, next_step=texts)
uploads = st.builds(
    Upload,
    path=texts,
    name=texts,
    size=numbers,
    mtime_ns=numbers,
    inode=numbers,
    device=numbers,
    sha256=st.sampled_from(["", "ab" * 32]),
    arrived_at=times,
)
tasks = st.builds(
    Task,
    job=numbers,
    epoch=st.integers(0, 9),
    batch=numbers,
    seq=numbers,
    stage=st.sampled_from(StageName),
    attempt=numbers,
    payload=blobs,
    upload=uploads,
    options=st.builds(Options, password=st.none() | texts, types=st.sampled_from(["auto", "text"])),
    checkpoint=blobs,
    next_seq=numbers,
    publish=st.booleans(),
    failure=st.none() | reasons,
    crashed=st.lists(numbers, max_size=4).map(tuple),
    alone=st.booleans(),
)
tables = st.builds(
    TableInfo,
    name=texts,
    path=texts,
    source=texts,
    rows=numbers,
    rejected=numbers,
    columns=st.tuples(st.builds(Column, name=texts, type=texts)),
)
findings = st.one_of(
    st.builds(Taken, sha256=texts, size=numbers),
    st.builds(
        Published,
        path=texts,
        members=st.builds(MemberCounts, total=numbers, converted=numbers, kept=numbers, rejected=numbers),
        rejected_records=numbers,
        tables=st.lists(tables, max_size=2).map(tuple),
        tables_file=texts,
    ),
)
outcomes = st.one_of(
    st.builds(Done, output=st.none() | outputs, finding=st.none() | findings),
    st.builds(Retry, after_s=times, text=texts, needs_bytes=numbers),
    st.builds(Reject, reason=reasons),
)
orders = st.one_of(
    st.builds(Dispatch, task=tasks, granted=numbers),
    st.builds(Grant, batch=numbers, attempt=numbers, granted=numbers),
    st.builds(Drop, batch=numbers, attempt=numbers),
    st.builds(Stop),
)
reports = st.one_of(
    st.builds(Ready, pid=numbers, note=texts),
    st.builds(
        BatchClosed,
        batch=numbers,
        attempt=numbers,
        seq=numbers,
        closed=st.builds(Closed, output=outputs, checkpoint=blobs),
        busy_s=times,
    ),
    st.builds(
        Finished, batch=numbers, attempt=numbers, outcome=outcomes, started_at=times, busy_s=times, trouble=texts
    ),
    st.builds(DiskFailed, path=texts, detail=texts),
)


@given(st.lists(orders, max_size=8))
def test_orders_arrive_as_they_were_sent(sent: list[Dispatch | Grant | Drop | Stop]) -> None:
    (data,) = datagrams(sent)
    assert decode_orders(data) == sent


@given(st.lists(reports, max_size=8))
def test_reports_arrive_as_they_were_sent(sent: list[Ready | BatchClosed | Finished | DiskFailed]) -> None:
    (data,) = datagrams(sent)
    assert decode_reports(data) == sent


def report_of(size: int) -> DiskFailed:
    return DiskFailed("", "x" * size)


@given(st.lists(st.integers(0, MAX_DATAGRAM_BYTES - 100), max_size=12))
@example([MAX_DATAGRAM_BYTES - 100] * 5)
def test_what_doesnt_fit_one_datagram_takes_several_in_order(sizes: list[int]) -> None:
    sent = [report_of(size) for size in sizes]
    packed = list(datagrams(sent))
    assert all(len(data) <= MAX_DATAGRAM_BYTES for data in packed)
    assert [report for data in packed for report in decode_reports(data)] == sent


def test_a_datagram_may_be_full_to_the_last_byte() -> None:
    (data,) = datagrams([report_of(1000)])
    most = MAX_DATAGRAM_BYTES - (len(data) - 1000)
    (data,) = datagrams([report_of(most)])
    assert len(data) == MAX_DATAGRAM_BYTES
    with pytest.raises(ValueError, match="doesn't fit a datagram: DiskFailed"):
        list(datagrams([report_of(most + 1)]))


def test_one_that_never_fits_is_named_and_those_before_it_are_out() -> None:
    packed = datagrams([Ready(1, ""), report_of(2 * MAX_DATAGRAM_BYTES)])
    assert decode_reports(next(packed)) == [Ready(1, "")]
    with pytest.raises(ValueError, match="DiskFailed"):
        next(packed)

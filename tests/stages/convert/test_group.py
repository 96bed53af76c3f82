"""Small files of one header in one table: each row knows its file, and odd files are left out, not lost."""

from __future__ import annotations

from tests.stages.convert.conftest import Bench

HEAD = b"id,name,born\n"


def files(count: int) -> dict[str, bytes]:
    return {
        f"a.zip!/d/part{i}.csv": HEAD + b"".join(b"%d,n%d,2024-01-0%d\n" % (j, i, j + 1) for j in range(i % 4))
        for i in range(count)
    }


def test_files_of_one_header_are_one_table(bench: Bench) -> None:
    made = files(50)
    done = bench.convert(made)
    assert [member.outcome for member in done.results.members] == ["converted"] * 50
    part = done.part
    assert (part.source, part.title, part.rows) == ("a.zip!/d/", "part", sum(i % 4 for i in range(50)))
    rows = done.frame(part).select("_file", "id", "name").rows()
    assert rows == [(f"a.zip!/d/part{i}.csv", j, f"n{i}") for i in range(50) for j in range(i % 4)]
    assert done.types == {"id": "BIGINT", "name": "VARCHAR", "born": "DATE", "_file": "VARCHAR"}
    assert part.facts["group"] == ["delimited", "id", "name", "born"]


def test_rejects_name_their_file_line_and_byte(bench: Bench) -> None:
    made = files(8)
    made["a.zip!/d/part5.csv"] = HEAD + b"1,x,2024-01-01\n\n7,too,many,fields\n2,y,2024-01-02"
    done = bench.convert(made)
    (reject,) = done.rejects(done.part)
    assert reject["file"] == "a.zip!/d/part5.csv"
    assert reject["record"] == 2, "a blank line is none"
    assert (reject["line"], reject["byte"], reject["raw"]) == (4, len(HEAD) + 16, "7,too,many,fields")
    rows = done.frame(done.part).filter(_file="a.zip!/d/part5.csv")["name"].to_list()
    assert rows == ["x", "y"]
    assert done.part.facts["blank_lines"] == 1


def test_odd_files_leave_the_group(bench: Bench) -> None:
    made = files(12)
    made["a.zip!/d/quote.csv"] = HEAD + b'1,"open,2024-01-01\n2,b,2024-01-01\n'
    made["a.zip!/d/bom.csv"] = b"\xef\xbb\xbf" + HEAD + b"1,a,2024-01-01\n"
    made["a.zip!/d/latin.csv"] = HEAD + "1,Größe,2024-01-01\n".encode("latin-1")
    made["a.zip!/d/stray.csv"] = HEAD + b'1,a"b"c,2024-01-01\n'
    made["a.zip!/d/other.csv"] = b"x;y\n1;2\n"
    done = bench.convert(made)
    assert [member.outcome for member in done.results.members] == ["converted"] * 17
    sources = {part.source for part in done.results.tables}
    assert sources == {"a.zip!/d/", *(f"a.zip!/d/{name}.csv" for name in ("quote", "bom", "latin", "stray", "other"))}
    latin = next(part for part in done.results.tables if part.source.endswith("latin.csv"))
    assert done.frame(latin)["name"].to_list() == ["Größe"]


def test_files_without_headers_are_read_one_by_one(bench: Bench) -> None:
    done = bench.convert({"a.csv": b"1,2\n3,4\n", "b.csv": b"1,2\n5,6\n"})
    assert [part.rows for part in done.results.tables] == [2, 2]


def test_alone_takes_members_singly(bench: Bench) -> None:
    done = bench.convert({"a.csv": HEAD + b"1,a,2024-01-01\n", "b.csv": HEAD + b"2,b,2024-01-01\n"}, alone=True)
    assert [part.source for part in done.results.tables] == ["a.csv", "b.csv"]

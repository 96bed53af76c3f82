"""XML with repeated records, and the tables of HTML pages; nothing is fetched or expanded."""

from __future__ import annotations

import datetime as dt

from pipeline.model import Code
from tests.stages.convert.conftest import Bench

XML = b"""<?xml version="1.0" encoding="utf-8"?>
<shop xmlns="urn:x"><title>Shop</title>
 <items>
  <item id="1"><name>L\xc3\xa4mp</name><price>1.50</price><day>2024-01-02</day></item>
  <item id="2"><name>Desk</name><price>2.25</price><day>2024-01-03</day><tag>a</tag><tag>b</tag></item>
  <item id="3"><name/><size unit="cm"><w>1</w><h>2</h></size></item>
 </items></shop>"""


def test_records_are_rows(bench: Bench) -> None:
    done = bench.convert({"a.xml": XML})
    assert done.types == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "price": "DOUBLE",
        "day": "DATE",
        "tag": "VARCHAR",
        "size": "VARCHAR",
    }
    assert done.rows == [
        (1, "Lämp", 1.5, dt.date(2024, 1, 2), None, None),
        (2, "Desk", 2.25, dt.date(2024, 1, 3), '["a","b"]', None),
        (3, None, None, None, None, '{"unit":"cm","w":"1","h":"2"}'),
    ]
    assert done.part.facts["record"] == "shop/items/item"


def test_broken_xml_is_rejected(bench: Bench) -> None:
    for data in (XML[:200], XML.replace(b"</items>", b"")):
        done = bench.convert({"a.xml": data})
        assert done.member.reason is not None
        assert done.member.reason.code == Code.CORRUPT


def test_entities_are_not_expanded(bench: Bench) -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "'
        + b"A" * 1000
        + b'">'
        + b"".join(b'<!ENTITY b%d "%s">' % (i, (b"&b%d;" % (i - 1) if i else b"&a;") * 10) for i in range(8))
        + b"]><x><r>&b7;</r><r>2</r></x>"
    )
    done = bench.convert({"a.xml": bomb})
    assert done.output.bytes < 100_000
    secret = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x><r>&f;</r><r>2</r></x>'
    done = bench.convert({"a.xml": secret})
    assert not any("root:" in str(done.rows) for _part in done.results.tables)


def test_xml_without_records_is_kept(bench: Bench) -> None:
    done = bench.convert({"a.xml": b"<a><b>1</b><c>2</c></a>"})
    assert done.member.outcome == "kept"


HTML = """<!doctype html><html><head><meta charset="utf-8"></head><body><table><tr><td>menu</td></tr></table>
<table><thead><tr><th>id</th><th colspan=2>Größe</th></tr></thead>
<tr><td>1</td><td>2.5</td><td>cm</td></tr><tr><td rowspan="2">2</td><td>3</td><td>m<br>x</td></tr>
<tr><td>4</td><td>m</td></tr></table></body></html>""".encode()


def test_tables_of_a_page(bench: Bench) -> None:
    done = bench.convert({"a.html": HTML})
    assert done.types == {"id": "BIGINT", "Größe": "DOUBLE", "Größe_2": "VARCHAR"}
    assert done.rows == [(1, 2.5, "cm"), (2, 3.0, "mx"), (2, 4.0, "m")]


def test_a_page_named_as_a_workbook(bench: Bench) -> None:
    done = bench.convert({"report.xls": HTML})
    assert done.member.outcome == "converted"


def test_a_page_without_tables_is_kept(bench: Bench) -> None:
    done = bench.convert({"a.html": b"<html><body><p>hello</p></body></html>"})
    assert done.member.outcome == "kept"

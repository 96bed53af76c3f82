"""Odd cells, each in a small sheet: kernels make of it what the engine does, or leave it alone."""

from __future__ import annotations

import html
import itertools

import pytest

from stages.convert.kernels import compiled
from tests.stages.convert.conftest import Bench
from tests.stages.convert.sheet_books import STRINGS, STYLES, book, styles_of, table, with_members
from tests.stages.convert.test_sheet_cells import Both


@pytest.fixture
def both(bench: Bench, made_kernels: compiled.Kernels, monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(bench, made_kernels, monkeypatch)


PLAIN = ["x1", "  x1 ", "\tx1\t", "\nx1\n", "x\ty", "x\ny", "a>b", "a]]>b", "_", "", "   ", "\t", "\n", "😀", "thirteen byte", "y" * 5000,
         "a_x000D_b", "a_x0041_b", "a_x000d_", "a_x005F_x0041_", "a_xD83D_b", "_xD83D__xDE00_", "_X0041_", "a_x0000_b", "_x00FF_", "_x0100_",
         "_xFFFF_", "_x41_", "_x0041", "a_x0041b", "_x0020_", " _x0020_a_x0020_ ", "_x000A_", "_x00G1_", "&amp;", "&lt;b&gt;", "&quot;&apos;", "&amp; x &lt;",
         "a&#65;b", "a&#x41;b", "a&#xe9;b", "a&#13;b", "a&#10;b", "a&#x1F600;b", "a&#0000000065;b", "&amp;#32;x", "x&amp;#32;", "y" * 20 + "&amp;" + "z" * 20,
         "a\0b", "a\x01b", "\x0bx\x0b", "\x0cx\x0c", "\x1cx\x1c", "\xa0x\xa0", "\x85x\x85", "\u2028x\u2028", "\u3000x\u3000", "\u2003x\u2003",
         "\u200bx\u200b", "\ufeffx\ufeff", "\u1680x", " \xa0 x \xa0 ", "\ufffex"]  # fmt: skip
ODD = ["x\ry", "x\r\ny", "a&#X41;b", "a&#0;b", "a&#1114112;b", "a&#55357;b", "a&#xD83D;b", "a&amp b", "a&foo;b", "a & b", "a&", "a&;b", "a&#;b", "a&#x;b",
       "a&#+65;b", "<![CDATA[a<b]]>", "x<![CDATA[a]]>y", "x<!--c-->y", "x<?a b?>y", "x<b/>y"]  # fmt: skip
EDGES = ["&#32;x", "x&#32;", "&#160;x&#160;", "&#x20;x&#x20;", "&#65;x&#66;"]  # one way only where blanks are kept
KEEP = ' xml:space="preserve"'
PLACES = {
    "inline": '<is><t>@</t></is>', "inline kept": f'<is><t{KEEP}>@</t></is>', "str": "<v>@</v>", "str kept": f"<v{KEEP}>@</v>",
    "shared": "<t>@</t>", "shared kept": f"<t{KEEP}>@</t>", "rich": "<r><t>@</t></r><r><t>q</t></r>", "rich kept": f"<r><t{KEEP}>@</t></r>",
    "with looks": '<r><rPr><b/><sz val="11"/></rPr><t>@</t></r><r><rPr/><t> tail</t></r>',
    "spoken": '<t>@</t><rPh sb="0" eb="1"><t>sp</t></rPh><phoneticPr fontId="1"/>',
}  # fmt: skip


def book_of(text: str | bytes, place: str) -> bytes:
    """A workbook with TEXT in a cell or a shared string, as PLACE says."""
    inner = PLACES[place].encode().replace(b"@", text if isinstance(text, bytes) else text.encode())
    if place.startswith(("inline", "str")):
        kind = b"inlineStr" if place.startswith("inline") else b"str"
        rows = table('<c t="str"><v>@</v></c>', '<c t="str"><v>zzz</v></c>').encode()
        return book(rows.replace(b't="str"><v>@</v>', b't="%s">%s' % (kind, inner)))
    rows = table('<c t="s"><v>1</v></c>', '<c t="s"><v>2</v></c>').encode()
    return book(rows, b"<si><t>first</t></si><si>%s</si><si><t>third</t></si>" % inner)


@pytest.mark.parametrize("place", PLACES)
def test_texts(both: Both, place: str) -> None:
    for text in PLAIN:
        assert both.same(book_of(text, place)), text
    for text in ODD:
        assert not both.same(book_of(text, place)), text
    for text in EDGES:
        assert both.same(book_of(text, place)) == ("kept" in place or place == "str"), text
    both.same(book_of("\rx", place))
    for raw in (b"a\xffb", b"\xc3", b"a\xed\xa0\x80b", b"a\xc0\x80", b"\xf4\x90\x80\x80"):
        assert not both.same(book_of(raw, place)), raw


def test_spaces_are_kept_by_one_word_alone(both: Both) -> None:
    for attributes, is_taken in {
        ' xml:space="preserve"': True, ' xml:space="default"': False, " xml:space='preserve'": False, ' xml:spaxe="preserve"': False,
        ' xml:space="preserved"': False, ' xml:space="preserve" x="y"': False, ' x="y" xml:space="preserve"': False,
        ' xml:space="preserve" xml:space="default"': False, ' xml:space="default" xml:space="preserve"': False, " ": False,
        ' xml:space="pres_rve"': False, ' xml:space_"preserve"': False,
    }.items():  # fmt: skip
        for cell in ('<c t="inlineStr"><is><t@> q </t></is></c>', '<c t="inlineStr"><is><t@/></is></c>'):
            data = book(table(cell.replace("@", attributes), '<c t="str"><v>zz</v></c>'))
            assert both.same(data) == is_taken, attributes


THREE = "<si><t>zero</t></si><si><t>one</t></si><si><t>two</t></si>"
ITEMS = {  # whether the kernels take such a second one of three
    "<si/>": True, "<si></si>": True, "<si><t/></si>": True, '<si><phoneticPr fontId="1"/></si>': True, "<si><r><t></t></r></si>": True,
    '<si><rPh sb="0" eb="1"><t>x</t></rPh></si>': True, "<si><t>b</t><t>x</t></si>": True, "<si><t>b</t><r><t>x</t></r></si>": True,
    "<si><r><t>x</t></r><t>b</t></si>": True, '<si><rPh sb="0" eb="1"><t>p</t></rPh><r><t>x</t></r></si>': True,
    '<si><r><t>x</t></r><rPh sb="0" eb="1"><t>p</t></rPh><r><t>y</t></r></si>': True, "<si><rPh><t>p</t></rPh><t>x</t></si>": True,
    '<si><rPh sb="0" eb="1"/><t>x</t></si>': False, '<si><r><t>x</t></r><rPhx sb="0"><t>p</t></rPh></si>': False,
    "<si><r></r><r><t>x</t></r></si>": False, "<si><r><rPr/></r></si>": False, "<si><r><t>x</t><rPr/></r></si>": False,
    '<si><r><rPr x="y"/><t>x</t></r></si>': True, '<si><r><rPr x="y"><b/></rPr><t>x</t></r></si>': True, "<si><r><rPr></rPr><t>x</t></r></si>": True,
    "<si><r><rPr><b></b></rPr><t>x</t></r></si>": False, "<si><r><rPr><b></rPr><t>x</t></r></si>": False, "<si><r><rPr>x</rPr><t>x</t></r></si>": False,
    "<si><r><rPr><t>q</t></rPr><t>x</t></r></si>": False, "<si><r><rPrx/><t>x</t></r></si>": False, "<si><r><rPr><b/></rPx><t>x</t></r></si>": False,
    "<si><r><rPr><!--<b/>--></rPr><t>x</t></r></si>": False, '<si x="y"><t>b</t></si>': False, "<si><si><t>b</t></si></si>": False,
    "<si><r><t>b</t></r><rPh><t><![CDATA[</rPh>]]></t></rPh></si>": False, '<si><t>b</t><phoneticPr fontId="1"></phoneticPr></si>': False,
    "<si><t>b</t><phoneticPr/></si>": True, "<si>b</si>": False, "<si><t>b</t>c</si>": False, "\n<si><t>b</t></si>": False, "<!--x--><si><t>b</t></si>": False,
    "<si><r><t>b</t></r><rPh><!--</rPh><r><t>x</t></r><rPh>--><t>p</t></rPh></si>": False, "<si><r><t>b</t></si>": False, "<si><t>b</x></si>": False, "<si><foo/></si>": False,
}  # fmt: skip


@pytest.mark.parametrize("item", ITEMS)
def test_shared_strings(both: Both, item: str) -> None:
    rows = table('<c t="s"><v>1</v></c>', '<c t="s"><v>2</v></c>', '<c t="s"><v>0</v></c>')
    assert both.same(book(rows, f"<si><t>a</t></si>{item}<si><t>c</t></si>")) == ITEMS[item]


def test_what_is_around_shared_strings(both: Both) -> None:
    rows = (
        table('<c t="s"><v>0</v></c>', "<c><v>1</v></c>")
        .replace("<v>0</v>", "<v>0</v>")
        .replace('<c r="A3"><v>1</v>', '<c r="A3" t="s"><v>0</v>')
    )
    good = book(rows, "<si><t>abc</t></si>")
    for text, is_taken in {
        "<sst><si><t>abc</t></si></sst>": True, '<?xml version="1.0" encoding="UTF-8"?>\n<sst count="1">\n<si><t>abc</t></si></sst>\n': True,
        "<sst><si><t>abc</t></si>": False, "<sst><si><t>abc</t></si><si><t": False, "<si><t>abc</t></si></sst>": False, "": False, "<sst/>": False,
        "<sst></sst>": False, "<sst></sst><si><t>abc</t></si>": False, "<sst><si><t>abc</t></si></sst><si><t>b</t></si></sst>": False,
        "<sst><si><t>abc</t></si></ssx>": False, "<!--<si>--><sst><si><t>abc</t></si></sst>": False, "<sst><si><t>abc</t></si>\n</sst>": False,
        "<sst><!--<si><t>z</t></si>--><si><t>abc</t></si></sst>": False, "<x:sst><x:si><x:t>abc</x:t></x:si></x:sst>": False,
        "<sst><!--<si><t>z</t></si></sst>--><si><t>abc</t></si></sst>": False, "<sst><si><t>abc</t></si><extLst/></sst>": False,
        '<!DOCTYPE sst [<!ENTITY amp "x">]><sst><si><t>abc</t></si></sst>': False, "<sst><si><t>abc</t></si></sst><": False,
    }.items():  # fmt: skip
        assert both.same(with_members(good, {STRINGS: text.encode()})) == is_taken, text


NUMBERS = ["1.", "1e5", "1E-5", "1e+5", "1E05", "-0", "-0.0", "0", "", "12345678901234567", "1.2345678901234567", "0.1234567890123456789",
           "9007199254740993", "9007199254740992", "9007199254740991", "123456789012345678901234567890", "1e999", "-1e999", "1e308",
           "1.7976931348623159e308", "5e-324", "1e-400", "2e-324", "9" * 400, "0." + "1" * 400, "1e0000000005", "0e0", "0e999", "-1.", "1e22", "1e23",
           "8.5e22", "4.35", "3.0000000000000004", "0.30000000000000004"]  # fmt: skip
NO_NUMBERS = ["+1", ".5", "-.5", "00", "01", "-01", "NaN", "nan", "inf", "-inf", "Infinity", "-", "+", "1e", "1e+", " 1", "1 ", "\t1", "1\n", "1_0",
              "0x10", "1,5", "1 2", "&#49;", "1&#48;", "1<!--c-->2", "<![CDATA[1]]>", "1d5", "1f5", "1e5.5", "--1", "1.5.5", "TRUE", "abc", "１"]  # fmt: skip


@pytest.mark.parametrize("attributes", ["", ' t="n"', ' s="0"', ' s="0" t="n"', ' s="99"'])
def test_numbers(both: Both, attributes: str) -> None:
    for value in NUMBERS:
        assert both.same(book(table(f"<c{attributes}><v>{value}</v></c>", "<c><v>2</v></c>"))), value
    for value in NO_NUMBERS:
        assert not both.same(book(table(f"<c{attributes}><v>{value}</v></c>", "<c><v>2</v></c>"))), value


CELLS = {  # whether the kernels take it
    '<c t="b"><v>0</v></c>': True, '<c t="b"><v>1</v></c>': True, '<c t="b"><v></v></c>': True, '<c t="b"><v>2</v></c>': False,
    '<c t="b"><v>true</v></c>': False, '<c t="b"><v>01</v></c>': False, '<c t="b"><v>/</v></c>': False, '<c t="b"><v>&#49;</v></c>': False,
    '<c t="d"><v>2024-02-29</v></c>': False, '<c t="z"><v>1</v></c>': False, '<c t=""><v>1</v></c>': False, '<c t="S"><v>1</v></c>': False,
    '<c t="strx"><v>1</v></c>': False, '<c t="inlinestr"><v>1</v></c>': False, '<c t="inlineStx"><is><t>q</t></is></c>': False,
    '<c t="s"><v>1</v></c>': True, '<c t="s"><v>01</v></c>': True, '<c t="s"><v></v></c>': True, '<c t="s"><v>000000002</v></c>': True,
    '<c t="s"><v>0000000002</v></c>': False, '<c t="s"><v>3</v></c>': False, '<c t="s"><v>9999999999</v></c>': False, '<c t="s"><v>4294967297</v></c>': False,
    '<c t="s"><v>18446744073709551617</v></c>': False, '<c t="s"><v>&#49;</v></c>': False, '<c t="s"><v>+1</v></c>': False, '<c t="s"><v>-1</v></c>': False,
    '<c t="s"><v>1.0</v></c>': False, '<c t="s"><v> 1</v></c>': False, '<c t="s"><v>a</v></c>': False,
    '<c t="e"><v>#DIV/0!</v></c>': True, '<c t="e"><v>#N/A</v></c>': True, '<c t="e"><f>1/0</f><v>#NAME?</v></c>': True, '<c t="e"><v>x</v></c>': False,
    '<c t="e"><v>0</v></c>': False, '<c t="e"><v>#n/a</v></c>': False, '<c t="e"><v> #N/A</v></c>': False, '<c t="e"><v>#N&#47;A</v></c>': False,
    '<c t="e"><v>#</v></c>': False, '<c t="e"><v></v></c>': False, '<c t="e"/>': False, '<c t="e"><f>1/0</f></c>': False, '<c t="e"><v>#1 1</v></c>': False,
    "<c t='s'><v>1</v></c>": False, '<c t = "s"><v>1</v></c>': False, '<c t="s" ><v>1</v></c>': False, '<c cm="1" vm="1" ph="1" t="s"><v>1</v></c>': True,
    '<c x="a>b" t="s"><v>1</v></c>': True, "<c x=\"a'b\" t=\"s\"><v>1</v></c>": True, "<c x='a\"b' t=\"s\"><v>1</v></c>": False, '<c x t="s"><v>1</v></c>': False,
    '<c xt="n" t="s"><v>1</v></c>': True, '<c x:t="n" t="s"><v>1</v></c>': True, '<c x="<" t="s"><v>1</v></c>': False, '<c t="s"\n><v>1</v></c>': False,
    '<c x\'y="1" t="s"><v>1</v></c>': False, '<c ="1" t="s"><v>1</v></c>': False, '<c x:y-1._A="1" t="s"><v>1</v></c>': True, '<c t="s" t="s"><v>1</v></c>': False, '<c t="e" t="e"><v>#N/A</v></c>': False, '<c s="1" s="1"><v>1</v></c>': False, '<c t=s><v>1</v></c>': False, '<c t="&#115;"><v>1</v></c>': False, '<c s="1"><v>45000</v></c>': True, '<c s="01"><v>45000</v></c>': False,
    '<c s="-1"><v>45000</v></c>': False, '<c s=""><v>45000</v></c>': False, '<c s="9999999"><v>45000</v></c>': True, '<c s="10000001"><v>1</v></c>': False,
    "<c s='1'><v>45000</v></c>": False, '<c s="1" t="s"><v>1</v></c>': True, '<c s="1" t="str"><v>45000</v></c>': True, '<c s="1x"><v>45000</v></c>': False,
    "<c/>": True, "<c></c>": True, '<c s="1"/>': True, "<c><v/></c>": True, '<c t="str"/>': True, '<c t="inlineStr"/>': True, '<c t="inlineStr"></c>': True,
    '<c><v xml:space="preserve">3</v></c>': True, "<c><v>1</v><v>2</v></c>": False, "<c><v>1</v><f>A1</f></c>": False, "<c><vx>1</v></c>": False,
    "<c><v>1</vx></c>": False, "<c><v>1</v></x>": False, "<c><v>1</c>": False, "<c>1</c>": False, "<c><v x>1</v></c>": False, "<cx><v>1</v></c>": False,
    "<c><f>A1+1</f><v>5</v></c>": True, "<c><f>A1+1</f></c>": True, '<c><f t="shared" si="0"/></c>': True, '<c><f t="shared" si="0"/><v>5</v></c>': True,
    '<c><f t="array" ref="A3:A4">SUM(A1&lt;2)</f><v>5</v></c>': True, '<c><f t="dataTable" ref="A3" r1="B1"/><v>5</v></c>': True, "<c><f></f><v>5</v></c>": True,
    "<c><f>A1</f><v/></c>": True, "<c><f>A1</f><v></v></c>": True, '<c t="str"><f>A1</f><v></v></c>': True, '<c t="str"><f>A1</f><v/></c>': True,
    '<c t="str"><f>A1</f></c>': True, '<c t="str"><f>A1</f><v>q</v></c>': True, '<c t="s"><f>A1</f></c>': True, '<c t="b"><f>A1</f></c>': True,
    "<c><f>A1>2</f><v>5</v></c>": True, "<c><f>f&gt;</f></c>": True, "<c><f>A1<b/></f><v>5</v></c>": False, "<c><f>A1</f><f>A2</f><v>5</v></c>": False,
    '<c t="inlineStr"><f>A1</f><is><t>q</t></is></c>': False, "<c><is><t>q</t></is></c>": False, '<c t="inlineStr"><v>q</v></c>': False,
    '<c t="inlineStr"><is><t>q</t></is><v>1</v></c>': False, '<c t="inlineStr"><is><r><t>q</t></r></is></c>': False, "<c><f x>A1</f><v>5</v></c>": False,
    '<c t="inlineStr"><is><t>q</t><t>r</t></is></c>': False, '<c t="inlineStr"><is/></c>': True, '<c t="inlineStr"><is><t/></is></c>': True,
    '<c t="inlineStr"><is></is></c>': True, '<c t="inlineStr"><is a="b"><t>q</t></is></c>': False, '<c t="inlineStr"><is><t>q</t></ix></c>': False,
    '<c t="str"><v>q</v><extLst><ext uri="x"/></extLst></c>': False, '<c t="inlineStr"><is><tx>q</t></is></c>': False, "<c><f>A1</fx><v>5</v></c>": False,
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_cells(both: Both, cell: str) -> None:
    """Alone in its column, so that no other kind is there: twice, since the first of a column might be another way."""
    empty = "<c/>"
    assert both.same(book(table(cell, empty, cell), THREE)) == CELLS[cell]
    assert both.same(book(table(empty, cell), THREE)) == CELLS[cell]


@pytest.mark.parametrize("error", ["#SPILL!", "#CALC!", "#BUSY!", "#GETTING_DATA", "#CONNECT!"])
@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("formula", ["", "<f>A1#</f>"])
def test_errors_that_the_engine_refuses_are_errors(bench: Bench, error: str, formula: str) -> None:
    """Newer programs have more of them. The engine would give up on the sheet."""
    done = bench.convert({"a.xlsx": book(table(f'<c t="e">{formula}<v>{error}</v></c>', "<c><v>2</v></c>"))})
    assert [row[0] for row in done.rows] == [None, 2]
    assert done.member.notes == ("error values, whose cells are NULL: 1 in data",)


@pytest.mark.usefixtures("either_way")
def test_a_text_that_speaks_of_an_error_is_none(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": book(table('<c t="str"><v>a t="e" b</v></c>', '<c t="str"><v>x</v></c>'))})
    assert done.rows[0][0] == 'a t="e" b' and not done.member.notes


def test_kinds_mixed_in_a_column(both: Both) -> None:
    kinds = ["<c><v>7</v></c>", '<c s="1"><v>45000</v></c>', '<c s="3"><v>0.5</v></c>', '<c s="3"><v>1.5</v></c>', '<c t="s"><v>1</v></c>',
             '<c t="str"><v>q</v></c>', '<c t="b"><v>1</v></c>', '<c t="e"><v>#N/A</v></c>', "<c/>"]  # fmt: skip
    for one, other in itertools.product(range(len(kinds)), repeat=2):
        data = book(table(kinds[one], kinds[other], kinds[one]), THREE)
        is_odd = {one, other} in ({1, 2}, {2, 3})  # times of day among times that have days
        assert both.same(data) == (not is_odd), (kinds[one], kinds[other])


DAYS = ["0", "0.25", "0.5", "0.9999999942", "0.999999999", "1", "1.5", "58.5", "59", "59.999999999", "60", "60.5", "61", "61.25", "45000", "45000.5", "45000.123456789",
        "45000.999999999", "2957003", "2957003.9999999", "2957004", "2958465", "2958465.9999999", "2958465.999999999999", "2958466", "-1", "-0.5", "1e9", "1e300", "1462"]  # fmt: skip


@pytest.mark.parametrize("is_1904", [False, True])
@pytest.mark.parametrize("code", [14, 22, 18, 45, 46, "yyyy-mm-dd", "hh:mm", "yyyy hh:mm:ss.000", "[h]:mm", "0.00"])
def test_days_at_the_edges(both: Both, code: int | str, is_1904: bool) -> None:
    taken = []
    for day, other in itertools.product(DAYS, ("0.75", "45001")):
        cells = table(f'<c s="1"><v>{day}</v></c>', f'<c s="1"><v>{other}</v></c>')
        taken.append(both.same(book(cells, styles=styles_of(code), is_1904=is_1904)))
    assert any(taken) == (code not in (46, "[h]:mm"))


CODES = {  # whether it's as the engine has it, by all that's known
    "General": True, "0.00": True, "#,##0;[Red]-#,##0": True, "yyyy": True, "[$-409]mmmm d, yyyy": True, "[$-F800]dddd\\, mmmm dd\\, yyyy": True, "h:mm AM/PM": True,
    "m/d/yyyy h:mm a/p": True, "[$-409]h:mm AM/PM;@": True, "[Red]0": True, "[Magenta]0": True, "\\d0": True, "_d0": True, '"d"0': True, "0;d": True, ";d": True,
    "[<1]0;d": True, "[$EUR]0": True, "[$-d]0": True, "0.00E+00": True, "@": True, "* #,##0": True, "*-0": True, 'yyyy"年"m"月"d"日"': True,
    "[$-411]yyyy/m/d": True, "General;[Red]-General": True, "[]0": True, "[DBNum1][$-804]yyyy": True, "s.000": True, "0%": True, "mm/dd": True, "[ h]0": True,
    "*d0": False, "[[h]]": False, "ggge": False, "aaaa": False, "ap": False, "GeneralS": False, "General/": False, "0n": False, "TT.MM.JJJJ": False, "[h": False, "b": False,
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_codes_of_formats(both: Both, code: str) -> None:
    values = ["0.25", "45000.25"]
    taken = []
    for value in values:
        cells = table(f'<c s="1"><v>{value}</v></c>', f'<c s="1"><v>{value}</v></c>')
        taken.append(both.same(book(cells, styles=styles_of(html.escape(code)))))
        assert both.same(book(table("<c><v>1</v></c>"), styles=styles_of(html.escape(code)))) == CODES[code]
    assert any(taken) == CODES[code]


@pytest.mark.parametrize("number", [*range(60), 81, 163, 200])
def test_formats_by_number(both: Both, number: int) -> None:
    """Of those in 27 to 58 only the engine knows that they show days, somewhere in the world."""
    for value in ("0.25", "45000.25"):
        cells = table(f'<c s="1"><v>{value}</v></c>', f'<c s="1"><v>{value}</v></c>')
        is_taken = both.same(book(cells, styles=styles_of(number)))
        is_day_with_a_part = value == "0.25" and number in (14, 15, 16, 17, 22)
        assert is_taken == (number not in (*range(27, 37), 46, *range(50, 59)) and not is_day_with_a_part)


def test_damaged_styles_are_the_engines(both: Both) -> None:
    good = book(table('<c s="1"><v>45000</v></c>', '<c s="1"><v>45001</v></c>'), styles=styles_of("yyyy"))
    text = styles_of("yyyy")
    for odd in (
        text.replace("yyyy", "yyyy>"),
        text.replace("numFmtId", "numumFmtId", 1),
        text.replace('numFmtId="170"', 'numFmtId="*70"'),
    ):
        assert not both.same(with_members(good, {STYLES: odd.encode()})), odd
    assert both.same(good)
    for bad in (
        text[:-5],
        text.replace("</cellXfs>", ""),
        text.replace("/>", ">", 1),
        text + "<",
        "",
        text.replace('"yyyy"', '"yyyy'),
    ):
        assert not both.same(with_members(good, {STYLES: bad.encode()})), bad

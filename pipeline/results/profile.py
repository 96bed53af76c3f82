"""What a table's columns hold: missing and distinct values, the least and the greatest, and how they are spread."""

from __future__ import annotations

import datetime as dt
import math
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.model import Column

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BINS: Final = 16
TOP: Final = 5
EXACT_ROWS: Final = 200_000
MAX_COLUMNS: Final = 200  # whose values are looked at; of the others only name and type are told
_SHOWN: Final = 60  # characters of a value
_MEMORY: Final = "512MB"
_NUMBERS: Final = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "FLOAT",
    "DOUBLE",
)
_MOMENTS: Final = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows have a value, or one in a range of them."""

    label: str
    rows: int


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A column. `distinct` is an estimate within some percent where there are more than EXACT_ROWS rows; `bins` are of equal width, `top` the most frequent
    values; a column has the one or the other, or neither."""

    name: str
    type: str
    rows: int
    nulls: int
    distinct: int
    least: str = ""
    greatest: str = ""
    bins: tuple[Share, ...] = ()
    top: tuple[Share, ...] = ()


def profile(files: Sequence[str], columns: Sequence[Column]) -> tuple[ColumnProfile, ...]:
    """The profiles of the first MAX_COLUMNS of COLUMNS of the table whose Parquet parts are FILES (full paths).

    Raises duckdb.Error where a part can't be read.
    """
    import duckdb

    chosen = columns[:MAX_COLUMNS]
    if not files or not chosen:
        return ()
    with tempfile.TemporaryDirectory(prefix="stampmill-profile-") as spill, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute(f"SET temp_directory = '{spill}'")
        connection.execute(f"CREATE VIEW it AS FROM read_parquet([{', '.join(_text(file) for file in files)}])")
        rows = int(connection.sql("SELECT count(*) FROM it").fetchall()[0][0])
        sums = _sums(connection, chosen, "count(DISTINCT {})" if rows <= EXACT_ROWS else "approx_count_distinct({})")
        return tuple(_column(connection, column, sums) for column in chosen)


def _sums(connection: DuckDBPyConnection, columns: Sequence[Column], distinct: str) -> dict[str, Any]:
    """All that one scan tells; DISTINCT is how distinct values are counted."""
    wanted = ["count(*) AS rows"]
    for number, column in enumerate(columns):
        name = _name(column.name)
        wanted += [f"count({name}) AS c{number}"]
        if _is_plain(column.type):
            wanted += [f"{distinct.format(name)} AS d{number}", f"min({name})::VARCHAR AS l{number}"]
            wanted += [f"max({name})::VARCHAR AS g{number}"]
    relation = connection.sql(f"SELECT {', '.join(wanted)} FROM it")
    found = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    return {
        "rows": found["rows"],
        **{c.name: tuple(found.get(f"{k}{n}") for k in "cdlg") for n, c in enumerate(columns)},
    }


def _column(connection: DuckDBPyConnection, column: Column, sums: dict[str, Any]) -> ColumnProfile:
    rows = int(sums["rows"])
    present, distinct, least, greatest = sums[column.name]
    distinct = min(distinct or 0, present)
    bins: tuple[Share, ...] = ()
    top: tuple[Share, ...] = ()
    if present and distinct > TOP and least != greatest and _is_number(column.type):
        bins = _number_bins(connection, column)
    elif present and distinct > TOP and least != greatest and column.type in _MOMENTS:
        bins = _moment_bins(connection, column)
    elif present and _is_plain(column.type) and distinct <= max(TOP, rows // 2):
        top = _top(connection, column)
    return ColumnProfile(
        name=column.name,
        type=column.type,
        rows=rows,
        nulls=rows - present,
        distinct=distinct,
        least=_short(least),
        greatest=_short(greatest),
        bins=bins,
        top=top,
    )


def _number_bins(connection: DuckDBPyConnection, column: Column) -> tuple[Share, ...]:
    """Bins of equal width over the finite values."""
    value = f"{_name(column.name)}::DOUBLE"
    least, greatest = connection.sql(
        f"SELECT min(v), max(v) FROM (SELECT {value} AS v FROM it) WHERE isfinite(v)"
    ).fetchall()[0]
    if least is None or least == greatest or not math.isfinite(greatest - least):
        return ()
    whole = column.type.endswith("INT") or column.type.endswith("INTEGER")
    bins = min(BINS, int(greatest - least) + 1) if whole else BINS
    width = (greatest - least + whole) / bins  # whole numbers each take the place up to the next one
    counts = _counted(connection, f"({value} - {least!r}) / {width!r}", f"isfinite({value})", bins)
    return tuple(Share(label=_range(least + at * width, width, whole), rows=counts.get(at, 0)) for at in range(bins))


def _range(least: float, width: float, whole: bool) -> str:
    if whole and width == 1:
        return f"{least:,.10g}"
    return f"from {least:,.10g} to {least + width:,.10g}"


def _moment_bins(connection: DuckDBPyConnection, column: Column) -> tuple[Share, ...]:
    value = f"epoch({_name(column.name)}::TIMESTAMP)"
    finite = f"isfinite({_name(column.name)})"
    least, greatest = connection.sql(f"SELECT min({value}), max({value}) FROM it WHERE {finite}").fetchall()[0]
    if least is None or least == greatest:
        return ()
    width = (greatest - least) / BINS
    counts = _counted(connection, f"({value} - {least!r}) / {width!r}", finite, BINS)
    return tuple(
        Share(label=f"from {_moment(least + at * width, width)}", rows=counts.get(at, 0)) for at in range(BINS)
    )


def _counted(connection: DuckDBPyConnection, place: str, where: str, bins: int) -> dict[int, int]:
    """How many rows have their PLACE in each of BINS; the greatest value belongs to the last one."""
    sql = f"SELECT least(floor({place}), {bins - 1})::INTEGER AS bin, count(*) FROM it WHERE {where} GROUP BY bin"
    return {int(at): int(rows) for at, rows in connection.sql(sql).fetchall()}


def _top(connection: DuckDBPyConnection, column: Column) -> tuple[Share, ...]:
    name = _name(column.name)
    sql = f"SELECT {name}::VARCHAR, count(*) AS n FROM it WHERE {name} IS NOT NULL GROUP BY ALL ORDER BY n DESC, 1 LIMIT {TOP}"
    return tuple(Share(label=_short(value), rows=int(rows)) for value, rows in connection.sql(sql).fetchall())


def _moment(seconds: float, width: float) -> str:
    try:
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds:.0f} s"
    return moment.strftime("%Y-%m-%d" if width >= 86400 else "%Y-%m-%d %H:%M:%S")


def _is_number(kind: str) -> bool:
    return kind in _NUMBERS or kind.startswith("DECIMAL")


def _is_plain(kind: str) -> bool:
    """Whether values of the type KIND can be compared and shown: nested ones and bytes are told of by their number alone."""
    return not (kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "BLOB")))


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

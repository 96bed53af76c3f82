"""Files of statistics programs: SAS, SPSS and Stata. They need pyreadstat, which is an extra."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from pipeline.model import Column
from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.source import Source
from stages.convert.values.header import unique_names

LARGEST = 256 * 1024 * 1024  # bytes of a file that fits into memory as columns
_READERS = {
    ".sas7bdat": "read_sas7bdat",
    ".xpt": "read_xport",
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".por": "read_por",
    ".dta": "read_dta",
}
_PIECE = 8 * 1024 * 1024
_EXTRA = "Whoever runs this service can add it with: pip install 'stampmill[stats]'. Or send the data as CSV."


class Statistics:
    """The family of statistics programs' files."""

    name = "statistics"

    def sniff(self, head: Head) -> float:
        """By its name."""
        return 0.9 if head.suffix in _READERS else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes one table; its labels are among the facts."""
        try:
            import pyreadstat
        except ImportError as error:
            raise Refused(reasons.unsupported("files of this kind need a part that isn't installed", _EXTRA)) from error
        if source.length > LARGEST:
            raise Refused(reasons.too_large("a file of statistics over 256 MB doesn't fit into memory", _EXTRA))
        with bench.scratch() as path:
            with path.open("wb") as copy:
                for at in range(0, source.length, _PIECE):
                    copy.write(source.read(at, _PIECE))
            try:
                columns, about = getattr(pyreadstat, _READERS[head.suffix])(str(path), output_format="dict")
            except (pyreadstat.ReadstatError, ValueError, OSError, UnicodeDecodeError) as error:
                raise Refused(reasons.corrupt(f"it can't be read ({error})")) from error
        _write(columns, about, bench)


def _write(columns: dict[str, Any], about: Any, bench: Bench) -> None:
    names = unique_names(list(columns))
    series = [_column(name, values) for name, values in zip(names, columns.values(), strict=True)]
    sheet = bench.sheet()
    sheet.write(pl.DataFrame([column for column, _kind in series]))
    sheet.facts = {
        "encoding": about.file_encoding,
        "labels": {name: label for name, label in zip(names, about.column_labels or (), strict=False) if label},
        "value_labels": {
            str(key): {str(k): str(v) for k, v in values.items()} for key, values in about.variable_value_labels.items()
        },
    }
    kinds = [Column(name=name, type=kind) for name, (_column, kind) in zip(names, series, strict=True)]
    counted = about.number_rows
    sheet.finish(sheet.rows if counted is None else counted, kinds)


def _column(name: str, values: Any) -> tuple[pl.Series, str]:
    from stages.convert.workbooks import cells

    plain = list(map(_plain, values))
    kind = cells.kind_of(plain, cells.NOTHING)
    return cells.column(name, plain, kind), kind or cells.TEXT


def _plain(value: Any) -> Any:
    """VALUE as Python's own; None for NaN and what else is no value."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value

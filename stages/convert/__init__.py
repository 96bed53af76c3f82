"""Convert: every file of a batch becomes typed tables, is kept as it is, or is rejected with a reason."""

from __future__ import annotations

import logging
from importlib.metadata import entry_points

from pipeline.config import Config
from pipeline.model import Stage
from stages.convert.columnar_files.columnar import Columnar
from stages.convert.family import Family
from stages.convert.html_tables import HtmlTables
from stages.convert.json_files.json_document import JsonDocument
from stages.convert.json_files.json_lines import JsonLines
from stages.convert.json_files.telegram_export import TelegramExport
from stages.convert.mailbox import Mailbox
from stages.convert.sqlite import Sqlite
from stages.convert.stage import Convert
from stages.convert.statistics import Statistics
from stages.convert.text.delimited import Delimited
from stages.convert.text.log_lines import LogLines
from stages.convert.workbooks.spreadsheet_ml import SpreadsheetMl
from stages.convert.workbooks.workbook import Workbook
from stages.convert.xml_records import XmlRecords

GROUP = "stampmill.convert"  # entry points of this name are families from elsewhere

# Of two that are equally sure of a file, the first reads it.
FAMILIES: tuple[Family, ...] = (
    Columnar(),
    Sqlite(),
    Statistics(),
    Workbook(),
    SpreadsheetMl(),
    HtmlTables(),
    XmlRecords(),
    TelegramExport(),
    JsonLines(),
    JsonDocument(),
    Mailbox(),
    Delimited(),
    LogLines(),
)


def build(config: Config) -> Stage:
    """The convert stage of one worker."""
    return Convert(config, (*_added(), *FAMILIES))


def _added() -> list[Family]:
    """The families that other packages bring: each entry point names a class without arguments."""
    families: list[Family] = []
    for point in entry_points(group=GROUP):
        try:
            families.append(point.load()())
        except Exception:
            logging.getLogger(__name__).exception("the table format %s can't be loaded and is left out", point.name)
    return families


__all__ = ["FAMILIES", "GROUP", "build"]

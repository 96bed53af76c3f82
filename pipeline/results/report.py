"""A job as a page of HTML: what came, what became of each file, what each table's columns hold, and what was rejected.

The page stands alone: no script, no link, nothing that a browser would fetch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline import __version__
from pipeline.errors import UsageError
from pipeline.model import Reason
from pipeline.results import library
from pipeline.results.profile import ColumnProfile, profile
from pipeline.settings.units import short_size

MAX_MEMBERS: Final = 500  # shown; those that were rejected come first
MAX_REJECTS: Final = 20  # of each table
MAX_TABLES: Final = 100  # that are looked into
_RAW: Final = 200  # characters of a rejected record
_TEMPLATE: Final = Path(__file__).parent / "templates" / "report.html"


class Reject(msgspec.Struct, frozen=True):
    """A rejected record, as its line in rejects.ndjson has it."""

    reason: str = ""
    raw: str = ""
    line: int = 0


class TableReport(msgspec.Struct, frozen=True, kw_only=True):
    """A table: its entry in the manifest, and what was found in it; `trouble` is why it couldn't be looked into."""

    entry: library.TableEntry
    columns: tuple[ColumnProfile, ...]
    rejects: tuple[Reject, ...]
    trouble: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page tells."""

    job: int
    upload: library.UploadEntry
    source: str
    state: str
    reason: Reason | None
    counts: library.Counts
    tables: tuple[TableReport, ...]
    members: tuple[library.MemberEntry, ...]
    software: str


def gather(root: Path, job: int, source: str = "") -> Report:
    """What there is to tell of JOB in the library ROOT, which came from SOURCE. Raises UsageError where it isn't there, OSError."""
    folder = next((folder for folder in library.jobs(root) if library.number(folder) == job), None)
    manifest = library.manifest(root, folder) if folder else None
    if folder is None or manifest is None:
        raise UsageError(problem=f"The library has no job {job}.")
    members = sorted(library.members(root, folder), key=lambda member: (member.outcome != "rejected", member.number))
    tables = manifest.tables[:MAX_TABLES]
    return Report(
        job=job,
        upload=manifest.upload,
        source=source,
        state=manifest.state,
        reason=manifest.reason,
        counts=manifest.counts,
        tables=tuple(_table(root, folder, table) for table in tables),
        members=tuple(members[:MAX_MEMBERS]),
        software=f"stampmill {__version__}",
    )


def _table(root: Path, folder: str, entry: library.TableEntry) -> TableReport:
    import duckdb

    columns: tuple[ColumnProfile, ...] = ()
    trouble = ""
    try:
        columns = profile(library.parts(root, f"{folder}/{entry.name}"), entry.columns)
    except duckdb.Error as error:
        trouble = f"Its parts can't be read: {error}"
    rejects = tuple(islice(_rejects(root / folder / entry.name / entry.rejects), MAX_REJECTS)) if entry.rejects else ()
    return TableReport(entry=entry, columns=columns, rejects=rejects, trouble=trouble)


def _rejects(path: Path) -> Iterator[Reject]:
    decoder = msgspec.json.Decoder(Reject)
    try:
        with path.open("rb") as file:
            for line in file:
                reject = decoder.decode(line)
                yield msgspec.structs.replace(reject, raw=reject.raw[:_RAW] + "…" * (len(reject.raw) > _RAW))
    except (OSError, msgspec.DecodeError):
        return  # `verify` is who tells of that


def page(report: Report) -> str:
    """REPORT as HTML."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.globals.update(number=_number, size=short_size, share=_share)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(report=report)


def _number(value: int) -> str:
    return f"{value:,}"


def _share(part: int, whole: int) -> str:
    """PART of WHOLE, for a reader: nothing where there's none, else the number and its percentage."""
    if not part:
        return ""
    percent: Any = 100 * part / whole
    return f"{part:,} ({'<1' if percent < 1 else f'{percent:.0f}'} %)"

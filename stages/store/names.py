"""Names in the library: short, readable, and safe whatever the uploader wrote."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pipeline.model import Upload

SLUG_LENGTH = 60
FILE_NAME_BYTES = 100

_PACKED = {".gz", ".bz2", ".xz", ".zst", ".lz4"}  # in `a.csv.gz` the name is `a`
_RESERVED_FOLDERS = {"kept", "rejected"}

# What DuckDB doesn't take as the name of a table without quotes (a test compares this with its own list).
_RESERVED_WORDS = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "and",
        "anti",
        "any",
        "array",
        "as",
        "asc",
        "asof",
        "asymmetric",
        "at",
        "authorization",
        "binary",
        "both",
        "by",
        "case",
        "cast",
        "check",
        "collate",
        "collation",
        "column",
        "concurrently",
        "constraint",
        "create",
        "cross",
        "default",
        "deferrable",
        "desc",
        "describe",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "glob",
        "group",
        "having",
        "ilike",
        "in",
        "initially",
        "inner",
        "intersect",
        "into",
        "is",
        "isnull",
        "join",
        "lambda",
        "lateral",
        "leading",
        "left",
        "like",
        "limit",
        "natural",
        "not",
        "notnull",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "outer",
        "overlaps",
        "pivot",
        "pivot_longer",
        "pivot_wider",
        "placing",
        "positional",
        "primary",
        "qualify",
        "references",
        "returning",
        "right",
        "select",
        "semi",
        "show",
        "similar",
        "some",
        "summarize",
        "symmetric",
        "table",
        "tablesample",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "unpack",
        "unpivot",
        "user",
        "using",
        "variadic",
        "verbose",
        "when",
        "where",
        "window",
        "with",
    ]
)

_LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґßøłæœ"
_LATIN = "a b v g d e e zh z i y k l m n o p r s t u f h ts ch sh sch - y - e yu ya i yi ye g ss o l ae oe"
_FOLD = {ord(letter): latin.strip("-") for letter, latin in zip(_LETTERS, _LATIN.split(), strict=True)}


def slug(text: str, joint: str = "_", length: int = SLUG_LENGTH) -> str:
    """TEXT in lower-case ASCII letters, digits and JOINT, at most LENGTH long; empty where nothing is left of it."""
    plain = text.lower()
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", plain).translate(_FOLD))
        plain = plain.encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", joint, plain).strip(joint)[:length].rstrip(joint)


def stem(path: str) -> str:
    """The bare name of the member at PATH: `orders` of `outer.zip!/2024/orders.csv.gz`, `outer` of `outer.zip!/`."""
    name = path.rstrip("!/").replace("!/", "/").rsplit("/", 1)[-1]
    bare, suffix = os.path.splitext(name)
    return os.path.splitext(bare)[0] if suffix.lower() in _PACKED else bare


def job_folder(job: int, upload: Upload) -> str:
    """The job's folder below the library's root: `2026-02/12-orders-2024`. The month is that of arrival, in UTC."""
    month = datetime.fromtimestamp(upload.arrived_at, UTC).strftime("%Y-%m")
    return f"{month}/{job}-{slug(stem(upload.name), '-') or 'upload'}"


def member_file(number: int, path: str) -> str:
    """A file name for the raw bytes of the member at PATH: `000012-photo.jpg`, at most about 110 bytes of UTF-8."""
    name = unicodedata.normalize("NFC", path.rstrip("!/").replace("!/", "/").rsplit("/", 1)[-1])
    name = re.sub(r"[^\w.-]", "_", name)
    bare, suffix = os.path.splitext(name)
    if len(suffix.encode()) > 16:
        bare, suffix = name, ""
    room = FILE_NAME_BYTES - len(suffix.encode())
    bare = bare.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    return f"{number:06}-{bare}{suffix}".rstrip(".-_ ")


def group_name(sources: Sequence[str]) -> str:
    """What a table of several SOURCES is called before it's a slug: what their names begin with, else their folder."""
    names = sorted({slug(stem(source)) for source in sources})
    if len(names) == 1:
        return names[0]
    common = _common(names[0], names[-1])
    common = common if names[0] == common else common.rpartition("_")[0]
    folder = slug(stem(common_source(sources)))
    return common if sum(c.isalpha() for c in common) >= 3 else folder or names[0]


def common_source(sources: Sequence[str]) -> str:
    """The source itself, or the folder or archive that holds all SOURCES (empty where they share none)."""
    if len(set(sources)) == 1:
        return sources[0]
    folder, slash, _ = _common(min(sources), max(sources)).rpartition("/")
    return folder + slash


def _common(one: str, two: str) -> str:
    """What both begin with."""
    length = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return one[:length]


class TableNames:
    """Gives each of a job's tables a name of its own that needs no quotes in SQL and makes a folder's name."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*_RESERVED_FOLDERS, *taken}
        self._last: dict[str, int] = {}

    def take(self, sources: Sequence[str], title: str = "") -> str:
        """The name of the table that came from SOURCES."""
        words = [word for word in (group_name(sources), slug(title)) if word]
        base = slug("_".join(words)) or "data"
        if base[0].isdigit():
            base = f"t_{base}"
        if base in _RESERVED_WORDS:
            base = f"{base}_"
        return self._free(base[:SLUG_LENGTH])

    def _free(self, base: str) -> str:
        name, count = base, self._last.get(base, 1)
        while name in self._taken:
            count += 1
            suffix = f"_{count}"
            name = base[: SLUG_LENGTH - len(suffix)] + suffix
        self._last[base] = count
        self._taken.add(name)
        return name

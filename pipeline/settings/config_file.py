"""Reads the configuration from a TOML file, and says of each mistake where it is and what is allowed."""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from pipeline.config import EXCLUSIVE, Config
from pipeline.errors import ConfigInvalid
from pipeline.settings import toml_lines, units

_Where = tuple[str | int, ...]
_TOML_LINE: Final = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")
_KINDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}
_HINTS: Final[dict[type[OSError], str]] = {
    FileNotFoundError: "; `stampmill init` makes one",
    PermissionError: "; call it as root (sudo), or as the service's user",
}
_NAMES: Final = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


class Problem(NamedTuple):
    """A mistake: the LINE it is on (0 where it's none's), the dotted KEY, and what is wrong, with what is allowed."""

    line: int
    key: str
    text: str

    def shown(self, path: Path) -> str:
        """The mistake as one line, `config.toml:12: extract.max_bytes: ...`."""
        line = f":{self.line}" if self.line else ""
        key = f"{self.key}: " if self.key else ""
        return f"{path}{line}: {key}{self.text}"


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the configuration is looked for when none is named: $STAMPMILL_CONFIG, else /etc/stampmill for root and
    where the user has none, else the user's own."""
    named = environment.get("STAMPMILL_CONFIG")
    if named:
        return Path(named)
    system = Path("/etc/stampmill/config.toml")
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    own = Path(home) / "stampmill" / "config.toml"
    if os.geteuid() == 0 or (system.exists() and not own.exists()):
        return system
    return own


def read(path: Path) -> Config:
    """The configuration in the file PATH. Raises ConfigInvalid, of the first mistake and how many more there are."""
    config, problems = examine(path)
    if config is None:
        first, *more = problems
        others = f" (and {len(more)} more: stampmill config check)" if more else ""
        where, _, problem = first.shown(path).partition(": ")
        raise ConfigInvalid(where=where, problem=problem + others)
    return config


def examine(path: Path) -> tuple[Config | None, list[Problem]]:
    """The configuration in the file PATH, None where it has mistakes, and all of these in the order of their lines."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return None, [Problem(0, "", f"it isn't text in UTF-8 (byte {error.start})")]
    except OSError as error:
        hint = _HINTS.get(type(error), "")
        return None, [Problem(0, "", f"can't be read: {error.strerror}{hint}")]
    return parse(text, path.absolute().parent)


def parse(text: str, folder: Path) -> tuple[Config | None, list[Problem]]:
    """The configuration in TEXT, whose relative paths start at FOLDER; None, and the mistakes, where there are any."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return None, [_broken(str(error), text)]
    except RecursionError:
        return None, [Problem(0, "", "it is nested too deeply to be a configuration")]
    reader = _Reader(toml_lines.locate(text), folder)
    converted = reader.struct((), inspect.type_info(Config), data)
    if not reader.problems:
        reader.check_together(converted)
    if reader.problems:
        return None, sorted(reader.problems)
    try:
        return msgspec.convert(converted, Config, str_keys=True), []
    except msgspec.ValidationError as error:
        return None, [Problem(0, "", str(error))]


def _broken(message: str, text: str) -> Problem:
    found = _TOML_LINE.search(message)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    what = _TOML_LINE.sub("", message)
    return Problem(line, "", f"this is no TOML: {what[:1].lower()}{what[1:]}")


class _Reader:
    """Walks the parsed file and the configuration's types side by side; collects problems and converts what people
    write into what the types hold."""

    def __init__(self, lines: Mapping[_Where, int], folder: Path) -> None:
        self._lines = lines
        self._folder = folder
        self.problems: list[Problem] = []

    def _note(self, where: _Where, text: str) -> None:
        self.problems.append(Problem(self._line(where), _dotted(where), text))

    def _line(self, where: _Where) -> int:
        while where and where not in self._lines:
            where = where[:-1]
        return self._lines.get(where, 0)

    def struct(self, where: _Where, kind: inspect.Type, data: dict[str, Any]) -> dict[str, Any]:
        """DATA, a table of the file, as the fields of KIND."""
        assert isinstance(kind, inspect.StructType)
        fields = {field.encode_name: field for field in kind.fields}
        found = {}
        for key, value in data.items():
            if key in fields:
                found[key] = self.value((*where, key), fields[key].type, value)
            else:
                self._note((*where, key), _unknown(where, key, fields))
        for key, field in fields.items():
            if field.required and key not in data:
                self._note(where, f"{key} is missing: {allowed(field.type)}")
        return found

    def value(self, where: _Where, kind: inspect.Type, data: Any) -> Any:
        """DATA as a value of KIND; a mistake is noted, and DATA returned as it is."""
        unit, kind = _unwrapped(kind)
        if isinstance(kind, inspect.StructType):
            if not isinstance(data, dict):
                return self._wrong(where, unit, kind, data)
            return self.struct(where, kind, data)
        if isinstance(kind, inspect.DictType):
            return self._table(where, kind, data)
        if isinstance(kind, inspect.VarTupleType | inspect.ListType):
            return self._list(where, kind, data)
        return self._plain(where, unit, kind, data)

    def _table(self, where: _Where, kind: inspect.DictType, data: Any) -> Any:
        if not isinstance(data, dict):
            return self._wrong(where, "", kind, data)
        numbered = isinstance(_unwrapped(kind.key_type)[1], inspect.IntType)
        for key in data:
            if numbered and not re.fullmatch(r"-?\d{1,18}", key, re.ASCII):
                self._note((*where, key), f"{_shown(key)} is no number; the keys here are whole numbers")
        return {key: self.value((*where, key), kind.value_type, value) for key, value in data.items()}

    def _list(self, where: _Where, kind: inspect.VarTupleType | inspect.ListType, data: Any) -> Any:
        if not isinstance(data, list):
            return self._wrong(where, "", kind, data)
        if len(data) < (kind.min_length or 0):
            self._note(where, f"there must be at least {kind.min_length} in the list")
        return [self.value((*where, index), kind.item_type, value) for index, value in enumerate(data)]

    def _plain(self, where: _Where, unit: str, kind: inspect.Type, data: Any) -> Any:
        parse = {"bytes": units.parse_size, "seconds": units.parse_duration}.get(unit)
        if parse and isinstance(data, str):
            try:
                data = parse(data)
            except (ValueError, OverflowError):
                return self._wrong(where, unit, kind, data)
        if not _fits(kind, data):
            return self._wrong(where, unit, kind, data)
        return self._path(data) if unit == "path" else data

    def _path(self, text: str) -> str:
        return str(self._folder / os.path.expanduser(text)) if text else ""

    def _wrong(self, where: _Where, unit: str, kind: inspect.Type, data: Any) -> Any:
        self._note(where, f"{_described(data)}; allowed: {_allowed(unit, kind)}")
        return data

    def check_together(self, data: dict[str, Any]) -> None:
        """Notes what is right by itself, but not beside the rest."""
        for one, other, why in EXCLUSIVE:
            if _given(data, one) and _given(data, other):
                first, second = sorted((one, other), key=lambda key: self._line(tuple(key.split("."))))
                beside = f"{first} (line {self._line(tuple(first.split('.')))})"
                self._note(tuple(second.split(".")), f"it can't be set beside {beside}: {why}")
        paths = {key: os.path.normpath(path) for key, path in data["paths"].items() if path}
        for key, path in paths.items():
            same = [other for other, its in paths.items() if its == path and other < key]
            if same:
                self._note(("paths", key), f"it is the same folder as paths.{same[0]}; each needs one of its own")
        for key in ("state", "library"):
            if key not in paths:
                self._note(("paths", key), "it is empty; allowed: a folder")
        if (state := paths.get("state")) is None:
            return
        for key in ("library", "inbox"):
            inside = os.path.join(state, "")
            if paths.get(key, "").startswith((f"{inside}work/", f"{inside}spool/", f"{inside}locks/", f"{inside}run/")):
                self._note(("paths", key), f"it lies in a folder that stampmill keeps for itself in {state}")


def _given(data: dict[str, Any], key: str) -> bool:
    found: Any = data
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return True


def _unwrapped(kind: inspect.Type) -> tuple[str, inspect.Type]:
    """The unit of KIND, if it has one, and what is behind annotations and `| None`, which TOML can't say."""
    unit = ""
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            unit = str((kind.extra or {}).get("unit", unit))
            kind = kind.type
        else:
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    return unit, kind


def _fits(kind: inspect.Type, data: Any) -> bool:
    if isinstance(kind, inspect.BoolType):
        return isinstance(data, bool)
    if isinstance(data, bool):
        return False
    if isinstance(kind, inspect.IntType):
        return isinstance(data, int) and abs(data) < 2**63 and _in_range(kind, data)
    if isinstance(kind, inspect.FloatType):
        return isinstance(data, int | float) and math.isfinite(data) and _in_range(kind, data)
    if isinstance(kind, inspect.StrType):
        return isinstance(data, str) and _is_text(kind, data)
    if isinstance(kind, inspect.LiteralType):
        return data in kind.values
    return not isinstance(kind, inspect.EnumType) or data in [one.value for one in kind.cls]


def _is_text(kind: inspect.StrType, data: str) -> bool:
    if "\0" in data or len(data) < (kind.min_length or 0):
        return False
    return not kind.pattern or re.search(kind.pattern, data) is not None


def _in_range(kind: inspect.IntType | inspect.FloatType, data: float) -> bool:
    return not (
        (kind.ge is not None and data < kind.ge)
        or (kind.gt is not None and data <= kind.gt)
        or (kind.le is not None and data > kind.le)
        or (kind.lt is not None and data >= kind.lt)
    )


# Words


def _dotted(where: _Where) -> str:
    key = ""
    for part in where:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            key += f"{'.' if key else ''}{part if re.fullmatch(r'[A-Za-z0-9_-]+', part) else _shown(part)}"
    return key


def _shown(data: Any) -> str:
    text = f'"{data}"' if isinstance(data, str) else str(data)
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _described(data: Any) -> str:
    if isinstance(data, list | dict):
        return f"this is {_NAMES[type(data)]}"
    if isinstance(data, bool):
        return f"this is {str(data).lower()}"
    return f"this is {_shown(data)}"


def _unknown(where: _Where, key: str, fields: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, fields, n=1, cutoff=0.6)
    if near:
        return f"there is no such key; did you mean {_dotted((*where, near[0]))}?"
    everywhere = dict(known_keys())
    elsewhere = [name for name in everywhere if name.rpartition(".")[2] == key]
    elsewhere = elsewhere or difflib.get_close_matches(_dotted((*where, key)), everywhere, n=1, cutoff=0.75)
    if elsewhere:
        return f"there is no such key here; did you mean {elsewhere[0]}?"
    return f"there is no such key; known here: {', '.join(sorted(fields))}"


def known_keys(kind: inspect.Type | None = None, prefix: str = "") -> Iterator[tuple[str, inspect.Type]]:
    """Every key that can be set, dotted, with its type; sections come before what is in them."""
    kind = kind or inspect.type_info(Config)
    assert isinstance(kind, inspect.StructType)
    for field in kind.fields:
        name = f"{prefix}{field.encode_name}"
        yield name, field.type
        inner = _unwrapped(field.type)[1]
        if isinstance(inner, inspect.StructType):
            yield from known_keys(inner, f"{name}.")


def allowed(kind: inspect.Type) -> str:
    """What a key of KIND may be, in words."""
    return _allowed(*_unwrapped(kind))


def _allowed(unit: str, kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _allowed_number(unit, kind)
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(f'"{value}"' for value in kind.values)
    if isinstance(kind, inspect.StructType):
        return f"a table with {', '.join(field.encode_name for field in kind.fields)}"
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return f"a list, each {allowed(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"a table, each value {allowed(kind.value_type)}"
    if isinstance(kind, inspect.BoolType):
        return _KINDS[bool]
    least = isinstance(kind, inspect.StrType) and kind.min_length
    return "a path in quotes" if unit == "path" else f"{_KINDS[str]}{', not empty' if least else ''}"


def _allowed_number(unit: str, kind: inspect.IntType | inspect.FloatType) -> str:
    shows: dict[str, Callable[[Any], str]] = {"bytes": units.show_size, "seconds": units.show_duration}
    show = shows.get(unit, "{:,}".format)
    bounds = [
        f"{word} {show(bound)}"
        for word, bound in (("at least", kind.ge), ("more than", kind.gt), ("at most", kind.le), ("below", kind.lt))
        if bound is not None and (unit != "bytes" or bound > 1)
    ]
    example = {
        "bytes": 'a size such as "64 MiB", or a number of bytes',
        "seconds": 'a duration such as "30 s", or a number of seconds',
    }
    what = example.get(unit) or _KINDS[int if isinstance(kind, inspect.IntType) else float]
    return ", ".join([what, *bounds])

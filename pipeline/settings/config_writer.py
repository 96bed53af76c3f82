"""Writes the configuration for people: the commented file that `init` makes, and the reference in docs/.

Both are made from the types in `config`, whose comments are their words, so that neither can say anything else.
"""

from __future__ import annotations

import ast
import inspect as source_inspect
import io
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import tomli_w
from msgspec import NODEFAULT, inspect

from pipeline import config as config_module
from pipeline.config import Config
from pipeline.settings import units
from pipeline.settings.config_file import allowed

_HEAD: Final = """\
# stampmill's configuration. What stands behind "# " and a key is what holds where nothing is set.
# `stampmill config check` says what is wrong in it; `systemctl reload stampmill` has a running daemon read it again.
"""


class Key(NamedTuple):
    """A key that can be set: its dotted name, its words, what it may be, and what it is by itself (None: it must be
    set, or isn't)."""

    name: str
    words: str
    allowed: str
    default: Any
    is_required: bool


class Section(NamedTuple):
    """A table of the file: its dotted name (empty for the top), its words, its keys."""

    name: str
    words: str
    keys: tuple[Key, ...]
    is_optional: bool  # it means something only where it is there


@cache
def _comments() -> dict[str, dict[str, str]]:
    """The comment on each field of each class in the configuration's source, and its docstring under ""."""
    source = source_inspect.getsource(config_module)
    on_line = {
        token.start[0]: (token.string.lstrip("# ").strip(), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
            words = {one.target.id: _words(one, on_line) for one in fields if isinstance(one.target, ast.Name)}
            found[node.name] = {"": " ".join((ast.get_docstring(node) or "").split()), **words}
    return found


def _words(field: ast.AnnAssign, on_line: Mapping[int, tuple[str, bool]]) -> str:
    """The comment at the end of FIELD's last line, else those on the lines above it."""
    own = on_line.get(field.end_lineno or field.lineno)
    if own is not None:
        return own[0]
    above: list[str] = []
    line = field.lineno - 1
    while line in on_line and on_line[line][1]:
        above.insert(0, on_line[line][0])
        line -= 1
    return " ".join(above)


def sections(kind: inspect.Type | None = None, name: str = "", *, is_optional: bool = False) -> Iterator[Section]:
    """Every table of the file, the top first."""
    kind = kind or inspect.type_info(Config)
    assert isinstance(kind, inspect.StructType)
    words = _comments()[kind.cls.__name__]
    keys, inner = [], []
    for field in kind.fields:
        dotted = f"{name}.{field.encode_name}" if name else field.encode_name
        table = _table(field.type)
        if table is None:
            default = field.default if field.default_factory is NODEFAULT else field.default_factory()
            required = field.required
            keys.append(Key(dotted, words[field.encode_name], allowed(field.type), default, required))
        else:
            inner.append((table, dotted, not isinstance(field.type, inspect.StructType)))
    yield Section(name, words[""], tuple(keys), is_optional)
    for table, dotted, optional in inner:
        yield from sections(table, dotted, is_optional=optional)


def _table(kind: inspect.Type) -> inspect.StructType | None:
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next((one for one in kinds if isinstance(one, inspect.StructType)), None)


def shown(key: Key) -> str:
    """KEY's default as the file would have it; empty where there is none."""
    if key.default is NODEFAULT or key.default is None:
        return ""
    return as_toml(_for_people(key, key.default))


def _for_people(key: Key, value: Any) -> Any:
    """VALUE in the units that people write."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if key.allowed.startswith("a size"):
        return units.show_size(int(value)) if value >= units.parse_size("1 KiB") else value
    return units.show_duration(value) if key.allowed.startswith("a duration") and value else value


def as_toml(value: Any) -> str:
    """VALUE on one line of TOML."""
    if isinstance(value, Mapping):
        pairs = (f"{as_toml(str(name))} = {as_toml(one)}" for name, one in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    return tomli_w.dumps({"key": value}).removeprefix("key = ").rstrip("\n")


def commented(values: Mapping[str, Any]) -> str:
    """A configuration file with VALUES (by dotted key) set, and every other key as a comment with its default."""
    lines = [_HEAD]
    for section in sections():
        set_here = [key for key in section.keys if key.name in values]
        on = not section.is_optional or bool(set_here)
        lines.append(_commented_section(section, values, on=on))
    return "\n".join(lines)


def _commented_section(section: Section, values: Mapping[str, Any], *, on: bool) -> str:
    lines = []
    if section.name:
        lines += [*_comment(section.words), f"{'' if on else '# '}[{section.name}]"]
    for key in section.keys:
        leaf = key.name.rpartition(".")[2]
        if key.words:
            lines += _comment(f"{key.words[:1].upper()}{key.words[1:]}")
        if key.name in values:
            lines.append(f"{leaf} = {as_toml(_for_people(key, values[key.name]))}")
        else:
            lines.append(f"# {leaf} = {shown(key) or '...'}")
    return "\n".join(lines) + "\n"


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words, 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def reference() -> str:
    """The reference of all keys, as Markdown."""
    parts = [
        "# Configuration",
        "<!-- Made from pipeline/config.py: scripts/docs writes it, tests/pipeline/test_config_writer.py compares. -->",
        "One TOML file: `/etc/stampmill/config.toml`, else `~/.config/stampmill/config.toml`; `--config FILE` or"
        " `$STAMPMILL_CONFIG` names another. `stampmill init` writes one with every key in it.",
        'Sizes are numbers of bytes, or text such as `"64 GiB"` or `"1.5 GB"`; durations are numbers of seconds, or text'
        ' such as `"30 s"`, `"6 h"` or `"1 h 30 min"`. Relative paths start at the file\'s own folder; `~` is the user\'s'
        " home.",
        "`stampmill config check` names every mistake with its line and what is allowed. What of it a running daemon takes"
        " over at a reload, and what at its next start only, `stampmill reload` says.",
    ]
    for section in sections():
        if section.keys:
            parts += [_reference_section(section)]
    return "\n\n".join(parts) + "\n"


def _reference_section(section: Section) -> str:
    title = f"## `[{section.name}]`" if section.name else "## Before the first section"
    rows = ["| key | by itself | |", "|---|---|---|"]
    for key in section.keys:
        default = "must be set" if key.is_required else f"`{shown(key)}`" if shown(key) else ""
        words = f"{key.words[:1].upper()}{key.words[1:]}. " if key.words else ""
        meaning = f"{words}{key.allowed[:1].upper()}{key.allowed[1:]}.".replace("|", "\\|").replace("..", ".")
        rows.append(f"| `{key.name.rpartition('.')[2]}` | {default} | {meaning} |")
    head = [title, section.words] if section.name else [title]
    return "\n\n".join([*head, "\n".join(rows)])

"""Configuration files, right and wrong: every mistake is one line that names the file, the line, the key and what is
allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import tomli_w
from hypothesis import example, given, settings
from msgspec import inspect

from pipeline.config import GIB, MIB, Config
from pipeline.errors import ConfigInvalid, ExitCode
from pipeline.settings import config_file, toml_lines, units

PATHS = '[paths]\nstate = "/state"\nlibrary = "/library"\n'
FOLDER = Path("/etc/stampmill")
KEYS = dict(config_file.known_keys())


def mistakes(text: str) -> list[str]:
    config, problems = config_file.parse(text, FOLDER)
    assert (config is None) == bool(problems)
    return [problem.shown(Path("config.toml")) for problem in problems]


def good(text: str) -> Config:
    config, problems = config_file.parse(PATHS + text, FOLDER)
    assert config is not None, problems
    return config


# What is right


def test_what_isnt_set_is_as_it_is_by_itself() -> None:
    config = good("")
    assert config == Config(paths=config.paths)


def test_sizes_and_durations_as_people_write_them() -> None:
    config = good('[extract]\nmax_bytes = "1.5 GiB"\nmax_wall_s = "1 h 30 min"\nmax_member_bytes = 1024\nmax_cpu_s = 2')
    assert config.extract.max_bytes == 3 * GIB // 2
    assert config.extract.max_wall_s == 5400.0
    assert (config.extract.max_member_bytes, config.extract.max_cpu_s) == (1024, 2)


def test_a_command_with_numbers_for_keys() -> None:
    config = good('[convert.command]\nargv = ["/bin/x", "{input}"]\nexit_codes = { 0 = "done", 3 = "corrupt" }')
    assert config.convert.command is not None
    assert config.convert.command.argv == ("/bin/x", "{input}")
    assert config.convert.command.exit_codes == {0: "done", 3: "corrupt"}


def test_paths_start_at_the_files_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    config, _ = config_file.parse('[paths]\nstate = "state"\nlibrary = "~/tables"\ninbox = "/in"', FOLDER)
    assert config is not None
    assert (config.paths.state, config.paths.library, config.paths.inbox) == (
        "/etc/stampmill/state",
        "/home/ann/tables",
        "/in",
    )


# What is wrong


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PATHS + "[extract]\nmax_byte = 1", "config.toml:5: extract.max_byte: there is no such key; did you mean extract.max_bytes?"),
        (PATHS + "[extrakt]\n", "config.toml:4: extrakt: there is no such key; did you mean extract?"),
        (PATHS + "[queue]\nmax_members = 1", "config.toml:5: queue.max_members: there is no such key here; did you mean extract.max_members?"),
        (PATHS + "[queue]\nzzz = 1", "config.toml:5: queue.zzz: there is no such key; known here: batches, bytes"),
        (PATHS + "[queue]\nbatches = 0", "config.toml:5: queue.batches: this is 0; allowed: a whole number, at least 1"),
        (PATHS + "[queue]\nbatches = true", "config.toml:5: queue.batches: this is true; allowed: a whole number, at least 1"),
        (PATHS + '[queue]\nbatches = "many"', 'config.toml:5: queue.batches: this is "many"; allowed: a whole number, at least 1'),
        (PATHS + "[queue]\nbytes = 1.5", 'config.toml:5: queue.bytes: this is 1.5; allowed: a size such as "64 MiB", or a number of bytes'),
        (PATHS + '[queue]\nbytes = "3 apples"', 'config.toml:5: queue.bytes: this is "3 apples"; allowed: a size such as "64 MiB", or a number of bytes'),
        (PATHS + "[worker]\nwall_s = inf", 'config.toml:5: worker.wall_s: this is inf; allowed: a duration such as "30 s", or a number of seconds, more than 0 s'),
        (PATHS + "queue = 3", "config.toml:4: paths.queue: there is no such key here; did you mean queue?"),
        ("queue = 3\n" + PATHS, "config.toml:1: queue: this is 3; allowed: a table with batches, bytes"),
        (PATHS + '[convert]\non_reject = "drop"', 'config.toml:5: convert.on_reject: this is "drop"; allowed: "fail" or "keep"'),
        (PATHS + "[convert.command]\nargv = []", "config.toml:5: convert.command.argv: there must be at least 1 in the list"),
        (PATHS + '[convert.command]\nargv = [\n  "x",\n  3,\n]', "config.toml:7: convert.command.argv[1]: this is 3; allowed: text in quotes, not empty"),
        (PATHS + '[convert.command]\nargv = ["x"]\nexit_codes = {a = "x"}', 'config.toml:6: convert.command.exit_codes.a: "a" is no number; the keys here are whole numbers'),
        ('[paths]\nstate = "/s"', "config.toml:1: paths: library is missing: a path in quotes"),
        ("", "config.toml: paths is missing: a table with state, library, inbox"),
        ('[paths]\nstate = "/s"\nlibrary = "/s/./"', "config.toml:2: paths.state: it is the same folder as paths.library; each needs one of its own"),
        ('[paths]\nstate = "/s"\nlibrary = "/s/work/x"', "config.toml:3: paths.library: it lies in a folder that stampmill keeps for itself in /s"),
        (PATHS + "x = \n", "config.toml:4: this is no TOML: "),
        (PATHS + "[queue]\n[queue]\n", "config.toml:5: this is no TOML: "),
        (PATHS + '[convert]\ntypes = {a = "DATE"}\n[convert.command]\nargv = ["x"]', "config.toml:6: convert.command: it can't be set beside convert.types (line 5): it is for the built-in stage, which the command replaces"),
        (PATHS + '[convert]\n"\x1b[31m" = 1', r'config.toml:5: convert."\x1b[31m": there is no such key'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(text: str, says: str) -> None:
    if "\x1b" in text:
        text = text.replace("\x1b", "\\u001b")
    (found,) = mistakes(text)
    assert found.startswith(says)
    assert found.isprintable()


def test_all_mistakes_are_told_in_the_order_of_their_lines() -> None:
    found = mistakes("zzz = 1\n" + PATHS + "[queue]\nbatches = 0\nbyte = 1\n[disk]\nmin_free = -1")
    assert [line.split(":")[1] for line in found] == ["1", "6", "7", "9"]


def test_the_error_is_the_first_and_how_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(PATHS + "[queue]\nbatches = 0\nbyte = 1\n")
    with pytest.raises(ConfigInvalid) as caught:
        config_file.read(path)
    assert caught.value.exit_code is ExitCode.CONFIG_INVALID
    assert caught.value.message.startswith(f"{path}:5: queue.batches: this is 0;")
    assert caught.value.message.endswith("(and 1 more: stampmill config check)")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"a = [" * 5000, "folder"])
def test_a_file_that_cant_be_read_is_a_mistake_too(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "config.toml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(ConfigInvalid, match=r"config\.toml"):
        config_file.read(path)


# Any mistake whatever

_SCALARS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.booleans(),
    st.text(max_size=20),
    st.dates(),
    st.sampled_from(["64 GiB", "3 parsecs", "30 s", "-1 s", "1e3", "keep", "text", "/x"]),
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
_DOCUMENT = tomli_w.dumps(
    {
        "paths": {"state": "/state", "library": "/library"},
        "queue": {"batches": 8, "bytes": "64 MiB"},
        "extract": {"max_bytes": "1 GiB", "max_depth": 3},
        "convert": {"on_reject": "keep", "types": {"a": "DATE"}},
        "worker": {"wall_s": "1 h"},
        "log": {"level": "info"},
    }
)


def put(data: dict[str, Any], key: str, value: object) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        inner = data.get(section)
        if not isinstance(inner, dict):
            inner = data[section] = {}
        data = inner
    data[leaf] = value


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A configuration with values that may be anything under keys that may be there or not."""
    data: dict[str, Any] = {"paths": {"state": "/state", "library": "/library"}}
    names = st.sampled_from(sorted(KEYS)) | st.text("abcxyz_", min_size=1, max_size=10)
    for key in draw(st.lists(names, min_size=1, max_size=4)):
        put(data, key, draw(_VALUES))
    return tomli_w.dumps(data)


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A right configuration with a few characters put in, taken out or exchanged."""
    text = _DOCUMENT
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text("abz_=[]{}\"'.,#\n 019\\\t", max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return text


@settings(max_examples=500)
@given(st.one_of(changed(), mangled(), st.text(max_size=60)))
@example("[" * 3000)
@example("a" + ".a" * 3000 + " = 1")
def test_whatever_is_in_it_gives_a_config_or_lines_that_say_where(text: str) -> None:
    lines = text.count("\n") + 1
    for line in mistakes(text):
        found = re.match(r"config\.toml(?::(\d+))?: ", line)
        assert found, line
        assert found[1] is None or 1 <= int(found[1]) <= lines
        assert line.isprintable()
        assert found[1] or "missing" in line or "deeply" in line, "only what isn't there has no line"


@settings(max_examples=200)
@given(st.sampled_from([key for key, kind in KEYS.items() if not isinstance(kind, inspect.StructType)]), _SCALARS)
def test_a_wrong_value_is_told_at_its_own_line(key: str, value: object) -> None:
    data: dict[str, Any] = {"paths": {"state": "/state", "library": "/library"}}
    put(data, key, value)
    text = tomli_w.dumps(data)
    leaf = key.rpartition(".")[2]
    for line in mistakes(text):
        if f": {key}: " in line:
            number = int(line.split(":")[1])
            assert re.match(rf"\[?.*{leaf}", text.split("\n")[number - 1])


# Lines


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=5), _VALUES, max_size=4), st.booleans())
def test_every_key_is_found_on_the_line_it_stands_on(data: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(data, multiline_strings=multiline)
    found = toml_lines.locate(text)
    lines = text.split("\n")
    for path in _paths(data):
        named = [part for part in path if isinstance(part, str)]
        assert path in found, text
        if named and isinstance(path[-1], str):
            assert tomli_w.dumps({named[-1]: 0}).split(" = ")[0] in lines[found[path] - 1]


def _paths(data: object, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = []
    if isinstance(data, dict):
        for key, value in data.items():
            found += [(*prefix, key), *_paths(value, (*prefix, key))]
    return found


def test_arrays_of_tables_and_comments() -> None:
    text = '# c\n[[a]]\nb = 1 # [x]\n[a.c]\nd = """\n[no]\n"""\n[[a]]\n"b.c" = [ # y\n 1,\n 2]\n'
    found = toml_lines.locate(text)
    assert found["a", 0, "b"] == 3
    assert found["a", 0, "c", "d"] == 5
    assert found["a", 1] == 8
    assert found["a", 1, "b.c", 1] == 11


# Units


@given(st.integers(1, 2**62))
def test_a_size_is_read_as_it_is_shown(size: int) -> None:
    assert units.parse_size(units.show_size(size)) == size


@given(st.integers(1, 10**7))
def test_a_duration_is_read_as_it_is_shown(seconds: int) -> None:
    assert units.parse_duration(units.show_duration(float(seconds))) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 64 * MIB), ("2G", 2 * GIB), ("1 kB", 1000), ("1_000", 1000), ("0.5 MB", 500_000)]
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", " ", "GiB", "1 2", "-1", "1 lightyear", "１"])
def test_what_is_no_size_and_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        units.parse_size(text)
    if text != "1 2":
        with pytest.raises(ValueError, match="no duration"):
            units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (90000, "1 d 1 h")]
)
def test_rounded_durations(seconds: float, text: str) -> None:
    assert units.short_duration(seconds) == text

"""The README's own commands, run for real in a fresh clone, and its links, codes and limits held against the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from pipeline.config import GIB, MIB, Config, Paths
from pipeline.errors import ExitCode
from pipeline.model import Code
from tests.acceptance.contract import Report

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The commands of the README's shell blocks, in order, without their comments."""
    lines = [line.partition("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    target = tmp_path / "stampmill"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(target)], check=True)
    return target


def run(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        ["bash", "-c", command], cwd=clone, env=kept, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.timeout(300)  # it makes an environment
def test_every_command_works_in_a_fresh_clone(clone: Path) -> None:
    quickstart, test, *rest = commands()
    assert (quickstart, test) == ("scripts/quickstart", "scripts/test")  # the second is what runs this
    first = run(quickstart, clone)
    assert first.returncode == 0, first.stdout + first.stderr
    for word in ("$ stampmill process", "shop-2024.zip", "sensors_bad_rows", "$ stampmill query", "amount"):
        assert word in first.stdout
    library = clone / "quickstart-demo" / "library"
    parts = sorted(library.glob("????-??/*/*/part-*.parquet"))
    again = run(quickstart, clone)
    assert again.returncode == 0, again.stdout + again.stderr
    assert sorted(library.glob("????-??/*/*/part-*.parquet")) == parts
    assert again.stdout.partition("$ stampmill query")[2] == first.stdout.partition("$ stampmill query")[2]
    for command in rest:
        ended = run(command, clone)
        expected = {ExitCode.OK, ExitCode.PARTIAL} if " process " in command else {ExitCode.OK}
        assert ended.returncode in expected, f"{command}\n{ended.stdout}{ended.stderr}"
        if " process " in command and "--json" in command:
            assert msgspec.json.decode(ended.stdout, type=Report).jobs
    assert run("git status --porcelain", clone).stdout == ""


def test_the_first_thirty_lines_hold_what_a_newcomer_needs() -> None:
    first = "\n".join(README.splitlines()[:30])
    assert first.startswith("# stampmill\n")
    for word in ("scripts/quickstart", "scripts/test", "is not"):
        assert word in first
    promises = re.findall(r"^- \*\*.*?\]\((tests/[^)]+)\)", first, flags=re.MULTILINE | re.DOTALL)
    assert len(promises) == 3
    for path in promises:
        assert "def test_" in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text("utf-8"))
    assert not [target for target in targets if "://" not in target and not (ROOT / target).exists()]


def test_paths_in_the_architecture_are_there() -> None:
    named = re.findall(r"`((?:pipeline|stages|tests|scripts)/[\w./]+)`", (ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_codes_are_those_of_the_model() -> None:
    section = README.partition("| code | the input |")[2].partition("## ")[0]
    named = {code for row in section.splitlines() for code in re.findall(r"`(\w+)`", row.partition(" | ")[0])}
    assert named == {code.value for code in Code}


def test_the_exit_statuses_are_those_of_the_command() -> None:
    section = README.partition("## Exit status")[2].partition("## ")[0]
    named = {int(status) for status in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)}
    assert named == set(ExitCode)


def test_the_limits_are_those_of_the_config() -> None:
    config = Config(paths=Paths(state="s", library="l"))
    section = README.partition("## Limits")[2].partition("## ")[0]
    stated = dict(re.findall(r"^\| (`[\w.`, ]+`) \| ([\d,]+(?: [GM]iB| h)?)", section, flags=re.MULTILINE))
    units = {"GiB": GIB, "MiB": MIB, "h": 3600}
    for names, amount in stated.items():
        number, _, unit = amount.replace(",", "").partition(" ")
        for room, name in re.findall(r"`(\w+)\.(\w+)`", names):
            assert getattr(getattr(config, room), name) == int(number) * units.get(unit, 1), f"{room}.{name}"
    assert len(stated) >= 8
    assert f"{config.queue.batches} batches and {config.queue.bytes // MIB} MiB" in section
    assert f"{config.batch.bytes // MIB} MiB or {config.batch.files:,} files" in section


def test_the_example_of_the_json_is_within_the_contract() -> None:
    (example,) = blocks("json")
    assert msgspec.convert(json.loads(example), type=Report).jobs

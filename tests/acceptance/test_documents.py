"""The documents for operators, held against the code: links, exit statuses, commands, and the contract of --json."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from pipeline import cli
from pipeline.daemon.control_protocol import Request
from pipeline.machine.work import EventKind
from pipeline.results import story
from pipeline.results.summary import JobSummary
from pipeline.settings import config_file
from pipeline.snapshot import Snapshot
from pipeline.verbs.glance import LastKnown

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
JSON = (ROOT / "docs" / "json.md").read_text("utf-8")


class Check(msgspec.Struct, forbid_unknown_fields=True):
    ok: bool
    text: str


class Detail(msgspec.Struct, forbid_unknown_fields=True):
    job: story.JobLine
    places: story.JobPlaces
    batches: list[story.BatchLine]
    summary: JobSummary


EXAMPLES: list[Any] = [Snapshot, LastKnown, Check, list[story.JobLine], Detail, list[story.Event]]


def blocks() -> list[Any]:
    return [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", JSON, flags=re.MULTILINE | re.DOTALL)]


def test_the_examples_are_within_the_contract() -> None:
    assert len(blocks()) == len(EXAMPLES)
    for example, kind in zip(blocks(), EXAMPLES, strict=True):
        again = msgspec.to_builtins(msgspec.convert(example, kind))
        assert shape(example) == shape(again), f"{kind}: every key is described, and no other"


def shape(data: Any) -> Any:
    """The keys of DATA, all the way down."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items() if key != "jobs"}
    return [shape(data[0])] if isinstance(data, list | tuple) and data else None


def test_all_events_and_requests_are_named() -> None:
    said = JSON.partition("`what` is")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", said)) == {str(kind) for kind in EventKind}
    said = JSON.partition("`do` is")[2].partition(". An answer")[0]
    named = set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", said)))
    assert named == {kind.__struct_config__.tag for kind in Request.__args__}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8"))
    assert not [target for target in targets if "://" not in target and not (path.parent / target).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_keys_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    verbs = set(typer.main.get_command(cli.app).commands)
    named = set(re.findall(r"(?:`|^# |^\$ |sudo )stampmill ([a-z][a-z-]+)", text, flags=re.MULTILINE))
    assert named <= verbs, "a command that isn't one"
    if path.name != "json.md":
        sections = {key.partition(".")[0] for key, _ in config_file.known_keys()}
        keys = set(re.findall(rf"`((?:{'|'.join(sections)})\.\w+)`", text))
        assert keys <= {key for key, _ in config_file.known_keys()}


def test_the_backup_is_one_that_can_be_restored(tmp_path: Path) -> None:
    command = re.search(r'ledger\.sqlite "(VACUUM INTO .*)"', (ROOT / "docs" / "operate.md").read_text("utf-8"))
    assert command
    writer = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE job (id INTEGER)")
    writer.execute("INSERT INTO job VALUES (1)")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO job VALUES (2)")  # a daemon in the middle of its turn
    reader = sqlite3.connect(tmp_path / "ledger.sqlite")
    reader.execute(command[1].replace("/backup", str(tmp_path)).replace("ledger", "copy"))
    reader.close()
    writer.execute("COMMIT")
    writer.close()
    copy = sqlite3.connect(tmp_path / "copy.sqlite")
    assert copy.execute("SELECT id FROM job").fetchall() == [(1,)]
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()

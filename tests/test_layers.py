"""Who may import whom. `lint-imports` keeps the layers; here is what its contracts can't say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in ("pipeline", "stages", "bot_adapter")
    for path in sorted((ROOT / package).rglob("*.py"))
}
FOR_STAGES = {
    "stages.machine_code",
    "stages.parquet_footer",
    "pipeline.model",
    "pipeline.errors",
    "pipeline.config",
    "pipeline.volumes",
}
SCREENS = {
    "pipeline.cli",
    "pipeline.screen.status",
    "pipeline.results.catalogue",
    *(name for name in MODULES if ".verbs" in name),
}  # may load what only they need
ENGINES = {"polars", "duckdb", "pyarrow", "numpy", "isal", "lxml", "telethon", "rich", "typer"}


def imported(node: ast.AST) -> Iterator[str]:
    """The dotted names that NODE, an import statement, asks for."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(path: Path) -> set[str]:
    """All that a module imports, at its top or within a function."""
    return {name for node in ast.walk(ast.parse(path.read_text("utf-8"))) for name in imported(node)}


def loaded_by(statement: str) -> set[str]:
    """The top-level names of all modules that a fresh interpreter has loaded after STATEMENT."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=env, cwd="/", check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_every_room_stands_in_the_layers() -> None:
    layers = next(contract for contract in CONTRACTS if contract["id"] == "layers")["layers"]
    placed = {name.strip(" ()") for layer in layers for name in layer.replace(":", "|").split("|")}
    inside = [name.split(".") for name in MODULES if name.startswith("pipeline.") and not name.endswith("__init__")]
    rooms = {"pipeline.verbs" if parts[1] == "verbs" else ".".join(parts) for parts in inside}  # verbs are one room
    assert not rooms - placed, "give these a layer in pyproject.toml"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("stages.")])
def test_a_stage_sees_values_and_itself(name: str) -> None:
    ours = {used for used in imports_of(MODULES[name]) if used.split(".")[0] in {"pipeline", "stages", "bot_adapter"}}
    own = ".".join(name.split(".")[:2])
    allowed = (*FOR_STAGES, "stages.handover", own)
    strangers = {used for used in ours if not any(used == room or used.startswith(room + ".") for room in allowed)}
    assert not strangers - {"pipeline", "stages", "pipeline.__version__"}  # `from pipeline import errors` names both


def test_every_library_that_is_imported_is_declared() -> None:
    used = {name.partition(".")[0] for path in MODULES.values() for name in imports_of(path)}
    foreign = used - sys.stdlib_module_names - {"pipeline", "stages", "bot_adapter"}
    foreign -= {"compression"}  # of the standard library from 3.14 on
    project = PROJECT["project"]
    declared = [
        *project["dependencies"],
        *(
            line
            for extra in ("iceberg", "postgres", "s3", "stats", "telegram")
            for line in project["optional-dependencies"][extra]
        ),
    ]
    names = {re.split(r"[<>=!\[;. ]", line)[0].replace("-", "_") for line in declared}
    names = {"PIL" if name == "pillow" else name for name in names}  # the one that is imported by another name
    assert foreign <= names


@pytest.mark.parametrize("name", MODULES)
def test_only_the_adapter_talks_telegram(name: str) -> None:
    used = {module.partition(".")[0] for module in imports_of(MODULES[name])}
    assert name.startswith("bot_adapter") or not used & {"telethon", "cryptg"}


def test_the_console_script_starts_on_the_standard_library_alone() -> None:
    new = loaded_by("import pipeline.entry") - loaded_by("")
    assert new - sys.stdlib_module_names - {"pipeline"} == set()


def test_the_machine_loads_no_engine() -> None:
    rooms = [name for name in MODULES if name.startswith("pipeline.") and name not in SCREENS | {"pipeline.__init__"}]
    assert not loaded_by(f"import {', '.join(rooms)}") & ENGINES

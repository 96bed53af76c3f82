"""A place for store to work in: work/, the library, an upload, and batches made by hand."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.config import Config, Paths
from pipeline.model import Column, Done, Options, Outcome, Published, Reason, StageName, Task, Upload
from stages import store
from stages.handover import MemberResult, Place, Results, TablePart, pack

DUCKDB = {"int64": "BIGINT", "int32": "INTEGER", "int16": "SMALLINT", "string": "VARCHAR", "double": "DOUBLE"}
ARRIVED = 1_770_000_000.25  # 2026-02-02


class Bench:
    """One job's surroundings. `run` is what a worker does with a task."""

    def __init__(self, root: Path, upload: bytes = b"the upload's own bytes") -> None:
        self.root = root
        self.work = root / "work"
        self.library = root / "library"
        self.work.mkdir(parents=True)
        self.library.mkdir()
        self.spool = root / "My Orders.zip"
        self.spool.write_bytes(upload)
        os.utime(self.spool, ns=(5, 5))
        now = self.spool.stat()
        self.upload = Upload(
            path=str(self.spool),
            name=self.spool.name,
            size=now.st_size,
            mtime_ns=now.st_mtime_ns,
            inode=now.st_ino,
            device=now.st_dev,
            sha256=hashlib.sha256(upload).hexdigest(),
            arrived_at=ARRIVED,
        )
        self.stage = store.build(Config(paths=Paths(state=str(root), library=str(self.library))))
        self.seen: list[tuple[int, int]] = []
        self.attempts = 0

    def progress(self, member: int, done_bytes: int) -> None:
        self.seen.append((member, done_bytes))

    def start_tool(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def alone(self, program: Path) -> Any:
        raise NotImplementedError

    def file(self, name: str, data: bytes) -> str:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def part(
        self, source: str, columns: Mapping[str, pa.Array], *, rejects: Sequence[str] = (), **more: Any
    ) -> TablePart:
        """A part as convert would hand it over: COLUMNS in a Parquet file in work/, REJECTS beside it."""
        table = pa.table(dict(columns))
        name = f"c{len(list(self.work.iterdir()))}"
        parquet.write_table(table, self.work / f"{name}.parquet")
        types = [str(field.type) for field in table.schema]
        if rejects:
            self.file(f"{name}.ndjson", "".join(json.dumps({"text": text}) + "\n" for text in rejects).encode())
        return TablePart(
            source=source,
            file=f"{name}.parquet",
            rows=table.num_rows,
            read=table.num_rows + len(rejects),
            rejected=len(rejects),
            rejects_file=f"{name}.ndjson" if rejects else "",
            columns=tuple(
                Column(name=column, type=DUCKDB.get(kind, kind.upper().replace("128", "")))
                for column, kind in zip(table.column_names, types, strict=True)
            ),
            **more,
        )

    def task(self, seq: int, results: Results | None, *, publish: bool = True, **more: Any) -> Task:
        self.attempts += 1
        payload = pack(results, self.work, f"list-{seq}")[0] if results is not None else b""
        more.setdefault("upload", self.upload)
        return Task(
            job=12,
            epoch=0,
            stage=StageName.STORE,
            batch=100 + seq,
            seq=seq,
            attempt=self.attempts,
            payload=payload,
            options=Options(),
            publish=publish,
            **more,
        )

    def run(self, task: Task) -> Outcome:
        steps = self.stage.run(task, self)
        with pytest.raises(StopIteration) as end:
            next(steps)
        outcome: Outcome = end.value.value
        return outcome

    def publish(self, results: Results | None, seq: int = 0, **more: Any) -> Published:
        return finding_of(self.run(self.task(seq, results, **more)))

    def stage_batch(self, seq: int, results: Results) -> None:
        assert self.run(self.task(seq, results, publish=False)) == Done()

    def fail(self, reason: Reason) -> Published:
        return self.publish(None, failure=reason)

    def manifest(self, published: Published) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.library / published.path / "manifest.json").read_bytes())
        return loaded


def finding_of(outcome: Outcome) -> Published:
    assert isinstance(outcome, Done), outcome
    assert isinstance(outcome.finding, Published)
    return outcome.finding


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is below FOLDER: files with their bytes, folders with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def converted(number: int, path: str) -> MemberResult:
    return MemberResult(number=number, path=path, outcome="converted", size=10, sha256="ab")


def kept(number: int, path: str, place: Place) -> MemberResult:
    return MemberResult(number=number, path=path, outcome="kept", size=place.length, place=place)

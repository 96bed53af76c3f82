"""Files that were sent together are one job, as the adapter submits an album."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.cli import STAGES
from pipeline.machine.process import config_for, find_files, uploads_of
from pipeline.machine.supervisor import Supervisor
from pipeline.model import JobState, Options
from pipeline.results.summary import summarize
from tests.stages.extract.archives import make_zip
from tests.stages.extract.conftest import upload_of


@pytest.mark.parametrize("order", [1, -1])
def test_an_album_is_one_job(tmp_path: Path, order: int) -> None:
    drops = tmp_path / "drops"
    drops.mkdir()
    (drops / "a.csv").write_text("a,b\n1,2\n")
    (drops / "b.zip").write_bytes(make_zip([("in.csv", b"c,d\n1,2\n3,4\n")]))
    (drops / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    uploads = list(uploads_of(list(find_files([drops], tmp_path / "out")), tmp_path / "links"))[::order]
    first, *others = (Path(upload.path) for upload in uploads)
    album = msgspec.structs.replace(upload_of(first, *others), name="album", sha256="", arrived_at=1.0)
    config = config_for(tmp_path / "out")
    with Supervisor(config, STAGES) as supervisor:
        ids = supervisor.submit([("album:1", album, Options())])
        supervisor.run(until=lambda: supervisor.idle)
    (job,) = summarize(config.paths.ledger, ids).jobs
    assert job.state is JobState.DONE, job.reason
    assert (job.members.converted, job.members.kept) == (2, 1)
    assert sorted(table.source for table in job.tables) == ["a.csv", "b.zip!/in.csv"]
    (kept,) = (tmp_path / "out").glob("*/*/kept/*c.png")
    assert kept.read_bytes() == (drops / "c.png").read_bytes()

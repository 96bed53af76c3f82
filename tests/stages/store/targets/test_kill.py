"""Killed at any call to a target, store does the attempt again: never half a job there, never one twice, never one left."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import fsspec
import msgspec
import pyarrow as pa
import pytest
from adbc_driver_manager import dbapi
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Transaction

from pipeline.config import Config, Iceberg, Objects, Paths, Postgres, Targets
from pipeline.model import Done, Task
from stages import store
from stages.handover import Results
from stages.store.targets import iceberg
from stages.store.targets.iceberg import IcebergTarget
from tests.stages.store.bench import Bench, converted
from tests.stages.store.targets.conftest import PostgresServer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

TABLES = {"one": [1, 2, 3], "two": [4]}
Seen = dict[str, list[int]]  # the rows of each table, as somebody sees them who reads there


class Killed(BaseException):
    """kill -9: whatever was open is closed by the kernel, and nothing else happens."""


class Switch:
    """Counts calls, and ends the process at the one numbered AT, before or after it took effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.count = 0
        self.at, self.after = at, after

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count != self.at:
                return call(*args, **kwargs)
            if self.after:
                call(*args, **kwargs)
            raise Killed

        return wrapped


class Place(Protocol):
    """A target, as somebody sees it who reads there."""

    targets: Targets

    def watched(self, patch: pytest.MonkeyPatch, switch: Switch) -> None:
        """Has SWITCH see every call to it."""

    def seen(self) -> Seen: ...


class InPostgres:
    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server = server
        self._schema = "k_" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        uri = folder / "uri"
        uri.write_text(server.uri)
        self.targets = Targets(postgres=Postgres(uri_file=str(uri), schema=self._schema))

    def watched(self, patch: pytest.MonkeyPatch, switch: Switch) -> None:
        for kind, name in (
            (dbapi.Cursor, "execute"),
            (dbapi.Cursor, "adbc_ingest"),
            (dbapi.Connection, "commit"),
        ):
            patch.setattr(kind, name, switch.wrap(getattr(kind, name)))

    def seen(self) -> Seen:
        there = self._server.query(f"SELECT tablename FROM pg_tables WHERE schemaname = '{self._schema}' ORDER BY 1")
        if there == [[""]]:
            return {}
        names = [name for (name,) in there if not name.startswith("stampmill_")]
        found = {name: self._server.query(f'SELECT a FROM "{self._schema}"."{name}" ORDER BY a') for name in names}
        if len(there) > len(names):
            told = self._server.query(f'SELECT relation FROM "{self._schema}".stampmill_tables ORDER BY 1')
            assert [name for (name,) in told if name] == names, "what is there and what is told of it differ"
        return {name.partition("_")[2]: [int(value) for (value,) in rows] for name, rows in found.items()}


class WatchedStore:
    """A file system of fsspec's, each call to which SWITCH sees."""

    def __init__(self, store: Any, switch: Switch) -> None:
        self._store, self._switch = store, switch

    def __getattr__(self, name: str) -> Any:
        return self._switch.wrap(getattr(self._store, name))


def path_of(url: str) -> str:
    return url.removeprefix("s3://")


class InObjects:
    def __init__(self, store: Any, folder: Path) -> None:
        (folder / "options.json").write_text("{}")
        self._bucket = "k" + hashlib.sha256(str(folder).encode()).hexdigest()[:20]
        self._store = store
        self._store.mkdir(self._bucket)
        self.targets = Targets(
            objects=Objects(url=f"s3://{self._bucket}/data", options_file=str(folder / "options.json"))
        )

    def watched(self, patch: pytest.MonkeyPatch, switch: Switch) -> None:
        patch.setattr(fsspec.core, "url_to_fs", lambda url, **_: (WatchedStore(self._store, switch), path_of(url)))

    def seen(self) -> Seen:
        """Who reads there begins with the manifests."""
        found: Seen = {}
        keys = self._store.find(self._bucket)
        for key in keys:
            if key.endswith("/manifest.json"):
                for table in json.loads(self._store.cat_file(key))["tables"]:
                    parts = [f"{key.rpartition('/')[0]}/{table['name']}/{part['file']}" for part in table["parts"]]
                    assert set(parts) <= set(keys), "a manifest that names what isn't there"
                    found[table["name"]] = [
                        value
                        for part in parts
                        for value in pa.parquet.read_table(pa.BufferReader(self._store.cat_file(part)))["a"].to_pylist()
                    ]
        return found


class InIceberg:
    def __init__(self, folder: Path) -> None:
        self._warehouse = folder / "warehouse"
        self._warehouse.mkdir()
        self._uri = f"sqlite:///{folder}/catalog.db"
        (folder / "options.json").write_text(json.dumps({"uri": self._uri}))
        self.targets = Targets(
            iceberg=Iceberg(warehouse=f"file://{self._warehouse}", options_file=str(folder / "options.json"))
        )

    def watched(self, patch: pytest.MonkeyPatch, switch: Switch) -> None:
        for kind, name in (
            (iceberg, "_delete"),
            (iceberg, "_sync"),
            (IcebergTarget, "_there"),
            (IcebergTarget, "_name"),
            (InMemoryCatalog, "create_table"),
            (Transaction, "append"),
            (Transaction, "commit_transaction"),
        ):
            patch.setattr(kind, name, switch.wrap(getattr(kind, name)))

    def seen(self) -> Seen:
        if not Path(self._uri.removeprefix("sqlite:///")).exists():
            return {}
        catalog = SqlCatalog("stampmill", uri=self._uri)
        found: Seen = {}
        for name in catalog.list_tables("stampmill") if catalog.namespace_exists("stampmill") else ():
            table = catalog.load_table(name)
            found[name[-1].partition("_")[2]] = table.scan().to_arrow()["a"].to_pylist()
        catalog.close()
        return found


@pytest.fixture(params=["postgres", "objects", "iceberg"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Place]:
    """Makes a target for a folder: an empty one each time."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        return lambda folder: InPostgres(server, folder)
    if request.param == "iceberg":
        return InIceberg
    url = request.getfixturevalue("s3")
    # A connection takes half a second to set up, and one is as good as another.
    options = {"key": "test", "secret": "not-a-secret", "client_kwargs": {"endpoint_url": url}}
    store = fsspec.filesystem("s3", use_listings_cache=False, **options)
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **_: (store, path_of(url)))
    return lambda folder: InObjects(store, folder)


def work(bench: Bench) -> Task:
    parts = tuple(bench.part(f"{name}.csv", {"a": pa.array(values)}) for name, values in TABLES.items())
    members = tuple(converted(number, f"{name}.csv") for number, name in enumerate(TABLES, 1))
    return bench.task(0, Results(members=members, tables=parts))


def restart(bench: Bench, targets: Targets) -> None:
    """A new worker's stage."""
    config = Config(paths=Paths(state=str(bench.root), library=str(bench.library)), targets=targets)
    bench.stage = store.build(config)


def calls(place: Place, bench: Bench, task: Task) -> int:
    with pytest.MonkeyPatch.context() as patch:
        switch = Switch(0, after=False)
        place.watched(patch, switch)
        assert isinstance(bench.run(task), Done)
    return switch.count


def killed_everywhere(
    make: Callable[[Path], Place], folder: Path, prepare: Callable[[Bench, Place], Task]
) -> Iterator[tuple[Place, Callable[[], None], str]]:
    """For each call: a place where a worker was killed at it, and what does the attempt again."""
    (folder / "calm").mkdir()
    calm, bench = make(folder / "calm"), Bench(folder / "calm" / "bench")
    restart(bench, calm.targets)
    task = prepare(bench, calm)
    restart(bench, calm.targets)
    count = calls(calm, bench, task)
    assert count >= 3
    # After a call is before the next one: nothing that lasts happens between the two.
    for at, after in (*((at, False) for at in range(1, count + 1)), (count, True)):
        name = f"{at}-{after}"
        (folder / name).mkdir()
        place, bench = make(folder / name), Bench(folder / name / "bench")
        restart(bench, place.targets)
        task = prepare(bench, place)
        restart(bench, place.targets)
        with pytest.MonkeyPatch.context() as patch:
            place.watched(patch, Switch(at, after=after))
            with contextlib.suppress(Killed):
                bench.run(task)

        def again(bench: Bench = bench, place: Place = place, task: Task = task) -> None:
            restart(bench, place.targets)
            assert isinstance(bench.run(task), Done)

        yield place, again, f"call {at} of {count}, {'after' if after else 'before'}"


def test_a_job_arrives_whole_or_not_at_all(place: Callable[[Path], Place], tmp_path: Path) -> None:
    for where, again, words in killed_everywhere(place, tmp_path, lambda bench, _: work(bench)):
        assert where.seen() in ({}, TABLES), words
        again()
        assert where.seen() == TABLES, words


def test_a_job_is_forgotten_wholly(place: Callable[[Path], Place], tmp_path: Path) -> None:
    def published(bench: Bench, where: Place) -> Task:
        task = work(bench)
        assert isinstance(bench.run(task), Done)
        assert where.seen() == TABLES
        return msgspec.structs.replace(task, payload=b"", epoch=1, forget=True)

    for where, again, words in killed_everywhere(place, tmp_path, published):
        assert where.seen() in ({}, TABLES), words
        again()
        assert where.seen() == {}, words


def test_another_librarys_job_of_that_number_stays(place: Callable[[Path], Place], tmp_path: Path) -> None:
    where, bench, other = place(tmp_path), Bench(tmp_path / "one"), Bench(tmp_path / "other", upload=b"something else")
    restart(bench, where.targets)
    assert isinstance(bench.run(work(bench)), Done)
    restart(other, where.targets)
    renamed = msgspec.structs.replace(other.upload, name=bench.upload.name)
    task = msgspec.structs.replace(other.task(0, None), upload=renamed, payload=b"", forget=True)
    assert other.run(task) == Done()
    assert where.seen() == TABLES


def test_a_target_that_is_down_has_the_job_forgotten_later(place: Callable[[Path], Place], tmp_path: Path) -> None:
    where, bench = place(tmp_path), Bench(tmp_path / "bench")
    restart(bench, where.targets)
    task = work(bench)
    assert isinstance(bench.run(task), Done)
    forget = msgspec.structs.replace(task, payload=b"", epoch=1, forget=True)
    away = tmp_path / ("uri" if where.targets.postgres else "options.json")
    away.rename(tmp_path / "away")
    restart(bench, where.targets)
    waits = bench.run(forget)
    assert not isinstance(waits, Done)
    assert list(bench.library.glob("20*/*")), "the library keeps it until the targets have let go of it"
    (tmp_path / "away").rename(away)
    assert bench.run(forget) == Done()
    assert where.seen() == {}
    assert not list(bench.library.glob("20*/*"))

"""Jobs in a store that speaks S3: the manifest last, whole or not there, once however often they're delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.config import Objects
from stages.store.targets import PublishedJob, TargetDown, TargetRefuses
from stages.store.targets.objects import ObjectTarget
from tests.stages.store.bench import Bench
from tests.stages.store.targets.test_postgres import publish

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench")


@pytest.fixture
def options(s3: str, tmp_path: Path) -> dict[str, Any]:
    found = {"key": "test", "secret": "not-a-secret", "client_kwargs": {"endpoint_url": s3}}
    (tmp_path / "options.json").write_text(json.dumps(found))
    return found


@pytest.fixture
def bucket(options: dict[str, Any], tmp_path: Path) -> tuple[Any, str]:
    """The store as a reader sees it, and an empty bucket of its own."""
    store = fsspec.filesystem("s3", use_listings_cache=False, **options)
    name = "b" + str(abs(hash(str(tmp_path))))
    store.mkdir(name)
    return store, name


@pytest.fixture
def target(bucket: tuple[Any, str], tmp_path: Path) -> ObjectTarget:
    return ObjectTarget(Objects(url=f"s3://{bucket[1]}/data/", options_file=str(tmp_path / "options.json")))


def there(bucket: tuple[Any, str]) -> set[str]:
    store, name = bucket
    return {key.removeprefix(f"{name}/data/") for key in store.find(name)}


def files(job: PublishedJob) -> set[str]:
    return {f"{job.folder}/{path.relative_to(job.path)}" for path in job.path.rglob("*") if path.is_file()}


def test_the_folder_arrives_as_it_is(target: ObjectTarget, bench: Bench, bucket: tuple[Any, str]) -> None:
    job = publish(bench, x={"a": [1, 2]}, y={"b": ["é"]})
    target.deliver(job, lambda count: None)
    assert there(bucket) == files(job)
    store, name = bucket
    for path in files(job):
        assert store.cat_file(f"{name}/data/{path}") == (bench.library / path).read_bytes()


def test_a_large_file_goes_in_parts(target: ObjectTarget, bench: Bench, bucket: tuple[Any, str]) -> None:
    job = publish(bench, x={"a": [1]})
    large = job.path / "x" / "part-00000.parquet"
    large.write_bytes(bytes(range(256)) * 80_000)
    seen: list[int] = []
    target.deliver(job, seen.append)
    store, name = bucket
    assert store.cat_file(f"{name}/data/{job.folder}/x/part-00000.parquet") == large.read_bytes()
    assert sum(seen) >= large.stat().st_size


def test_the_manifest_comes_after_everything_else(target: ObjectTarget, bench: Bench, bucket: tuple[Any, str]) -> None:
    job = publish(bench, **{f"t{number}": {"a": [number]} for number in range(8)})
    before: list[set[str]] = []
    target.deliver(job, lambda count: before.append(there(bucket)))
    assert f"{job.folder}/manifest.json" not in set().union(*before)
    assert before[-1] | {f"{job.folder}/manifest.json"} == files(job)


class Killed(Exception):
    """The delivery dies here."""


def test_the_manifest_is_last_and_a_second_try_brings_the_rest(
    target: ObjectTarget, bench: Bench, bucket: tuple[Any, str]
) -> None:
    job = publish(bench, x={"a": [1]}, y={"a": [1]})

    def die(count: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        target.deliver(job, die)
    assert len(there(bucket)) == 1
    assert f"{job.folder}/manifest.json" not in there(bucket)
    target.deliver(job, lambda count: None)
    assert there(bucket) == files(job)


def test_a_job_that_was_run_again_replaces_what_it_left(
    target: ObjectTarget, bench: Bench, bucket: tuple[Any, str]
) -> None:
    target.deliver(publish(bench, x={"a": [1]}, y={"a": [1]}), lambda count: None)
    again = Bench(bench.root / "again")
    again.upload = bench.upload
    job = publish(again, x={"a": ["other"]})
    target.deliver(job, lambda count: None)
    assert there(bucket) == files(job)


def test_another_librarys_job_is_left_alone(target: ObjectTarget, bench: Bench) -> None:
    target.deliver(publish(bench, x={"a": [1]}), lambda count: None)
    other = Bench(bench.root / "other", upload=b"something else")
    other.upload = other.upload.__class__(**{**_fields(other.upload), "name": bench.upload.name})
    with pytest.raises(TargetRefuses, match="another library's"):
        target.deliver(publish(other, x={"a": [2]}), lambda count: None)


def _fields(upload: Any) -> dict[str, Any]:
    return {name: getattr(upload, name) for name in upload.__struct_fields__}


@pytest.mark.parametrize(
    ("url", "written", "says"),
    [
        ("s3://no-such-bucket-here/x", None, "no-such-bucket-here"),
        ("s3://b/x", "not json", "can't be read"),
        ("nonsense://b/x", None, "nonsense"),
    ],
)
def test_what_the_operator_can_mend_is_waited_for(
    bench: Bench, options: dict[str, Any], tmp_path: Path, url: str, written: str | None, says: str
) -> None:
    path = tmp_path / "options.json"
    if written is not None:
        path.write_text(written)
    with pytest.raises(TargetDown, match=says):
        ObjectTarget(Objects(url=url, options_file=str(path))).deliver(publish(bench, x={"a": [1]}), lambda count: None)


def test_a_missing_options_file_is_named(bench: Bench, tmp_path: Path) -> None:
    target = ObjectTarget(Objects(url="s3://b/x", options_file=str(tmp_path / "nowhere")))
    with pytest.raises(TargetDown, match="nowhere isn't there"):
        target.deliver(publish(bench, x={"a": [1]}), lambda count: None)

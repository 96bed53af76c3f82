"""Holds a run's record against that of an undisturbed run: lost, doubled, differing, wrongly quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.jobs import Upload
from tests.crash.record import FINAL, Folder, Job, Record


@dataclass(kw_only=True)
class Verdict:
    """What is wrong, a line each; all lists are empty after a good run."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    innocents: list[str] = field(default_factory=list)  # quarantined, though nothing is wrong with them
    spared: list[str] = field(default_factory=list)  # poison that was not quarantined
    other: list[str] = field(default_factory=list)
    poison: int = 0  # quarantined as it should be

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong."""
        return self.lost + self.doubled + self.differing + self.innocents + self.spared + self.other


def compare(uploads: Sequence[Upload], folder: Path, good: Record, run: Record) -> Verdict:
    """RUN held against GOOD, both of UPLOADS in FOLDER."""
    verdict = Verdict()
    verdict.differing.extend(run.problems)
    groups: dict[str, list[Upload]] = {}
    for upload in uploads:
        groups.setdefault(upload.copy_of or upload.name, []).append(upload)
    for group in groups.values():
        _compare_group(group, folder, good, run, verdict)
    _find_doubles(run, verdict)
    for upload in uploads:
        _judge_quarantine(upload, folder, run, verdict)
    return verdict


def _compare_group(group: list[Upload], folder: Path, good: Record, run: Record, verdict: Verdict) -> None:
    """Uploads with equal bytes: which of them is the original may differ from run to run, nothing else."""
    ends: list[list[Any]] = []
    for record in (good, run):
        found: list[tuple[Any, ...]] = []
        for upload in group:
            jobs = record.jobs.get(str(folder / upload.name), [])
            found.extend(_end(job, record, single=len(group) == 1) for job in jobs)
            if record is run:
                _count(upload, jobs, run, verdict)
        ends.append(sorted(found, key=repr))
    if ends[0] != ends[1] and not any(group[0].name in line for line in verdict.lost + verdict.doubled):
        verdict.differing.append(f"{group[0].name}: {_difference(ends[0], ends[1])}")


def _count(upload: Upload, jobs: list[Job], run: Record, verdict: Verdict) -> None:
    if len(jobs) > 1:
        verdict.doubled.append(f"{upload.name}: jobs {[job.id for job in jobs]}")
    if not jobs:
        verdict.lost.append(f"{upload.name}: not in the ledger")
    for job in jobs:
        if job.state not in FINAL:
            verdict.lost.append(f"{upload.name}: job {job.id} is still {job.state}")
        elif job.state in ("done", "failed") and job.result_path not in run.folders:
            verdict.lost.append(f"{upload.name}: job {job.id} is {job.state}, {job.result_path!r} isn't readable")


def _end(job: Job, record: Record, *, single: bool) -> tuple[Any, ...]:
    """How JOB ended, without what may differ."""
    published = record.folders.get(job.result_path)
    tables = tuple((name, rows, rejected) for name, _, rows, rejected in job.tables)
    if published is None:
        return (job.state, job.reason, job.members, job.rejected_records, tables)
    content: tuple[Any, ...] = tuple(sorted(published.digests.values()))
    if single:
        content = (published.manifest, published.digests, tables)
    return (job.state, job.reason, job.members, job.rejected_records, content)


def _difference(good: Any, run: Any) -> str:
    """The innermost place where the two differ, for a person."""
    if isinstance(good, dict) and isinstance(run, dict) and good.keys() == run.keys():
        return next(f"{key}: {_difference(good[key], run[key])}" for key in good if good[key] != run[key])
    if isinstance(good, list | tuple) and isinstance(run, list | tuple) and len(good) == len(run):
        return next(
            f"[{i}] {_difference(one, two)}" for i, (one, two) in enumerate(zip(good, run, strict=True)) if one != two
        )
    return f"undisturbed {good!r:.300}, this run {run!r:.300}"


def _find_doubles(run: Record, verdict: Verdict) -> None:
    named = {job.result_path: job for jobs in run.jobs.values() for job in jobs if job.result_path}
    for name, folder in run.folders.items():
        if name not in named or named[name].id != folder.job:
            verdict.doubled.append(f"{folder.upload}: {name} is in the library, and no job of the ledger's")
    per_upload = Counter(folder.upload for folder in run.folders.values())
    verdict.doubled.extend(f"{upload}: {count} folders" for upload, count in per_upload.items() if count > 1)


def _judge_quarantine(upload: Upload, folder: Path, run: Record, verdict: Verdict) -> None:
    crashed: set[str] = set()
    for job in run.jobs.get(str(folder / upload.name), []):
        published: Folder | None = run.folders.get(job.result_path)
        members = published.manifest["members"] if published else []
        if job.reason == "crashed" and not members:  # refused as a whole; else it's a member's reason
            crashed.add(upload.name)
        for member in members:
            if member["reason"] and member["reason"]["code"] == "crashed":
                crashed.add(member["path"].rsplit("/", 1)[-1])
    verdict.poison += len(crashed & set(upload.poison))
    verdict.innocents.extend(f"{upload.name}: {name} was quarantined" for name in sorted(crashed - set(upload.poison)))
    verdict.spared.extend(f"{upload.name}: {name} wasn't quarantined" for name in sorted(set(upload.poison) - crashed))


def acknowledgements(path: Path) -> Counter[str]:
    """How often each upload's end was told."""
    if not path.exists():
        return Counter()
    return Counter(line.split(" ", 2)[2] for line in path.read_text().splitlines())

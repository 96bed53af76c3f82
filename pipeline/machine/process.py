"""`stampmill process`: the whole pipeline on files that are there, until all their jobs have ended.

The same supervisor and workers as the daemon's, with their state in DIR/.stampmill.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from pipeline import volumes
from pipeline.config import Config, Paths
from pipeline.errors import NoSuchJob, UsageError
from pipeline.machine.scheduler import Ended
from pipeline.machine.steering import Halt
from pipeline.machine.supervisor import Observer, Supervisor
from pipeline.machine.work import Job
from pipeline.model import JobState, Options, StageName, Upload, Volume
from pipeline.results.summary import RunSummary, summarize

STATE_FOLDER: Final = ".stampmill"
LINKS_FOLDER: Final = "links"  # in the state directory: to files whose names aren't UTF-8


class Result(NamedTuple):
    """How a run ended; `interrupted` when a signal stopped it before all jobs had ended."""

    summary: RunSummary
    interrupted: bool


class Found(NamedTuple):
    """A file to process: `name` is what people call it."""

    path: Path
    name: str


def config_for(into: Path) -> Config:
    """The configuration of a `process` run into the folder INTO."""
    into = into.absolute()
    return Config(paths=Paths(state=str(into / STATE_FOLDER), library=str(into)))


def process(
    paths: Sequence[Path],
    config: Config,
    modules: Mapping[StageName, str],
    options: Options,
    *,
    observer: Observer | None = None,
    on_ended: Callable[[Ended], None] | None = None,
) -> Result:
    """Runs the files in PATHS (a folder means every file in it) and returns what became of them.

    Jobs that an earlier, interrupted run left are finished too, and reported.
    """
    ended: list[int] = []

    def note(job: Ended) -> None:
        ended.append(job.job.id)
        if on_ended:
            on_ended(job)

    places = [str(path.absolute()) for path in paths]
    with Supervisor(config, modules, observer, start_early=True, readable=places) as supervisor:
        supervisor.on_ended = note
        found = list(find_files(paths, but=Path(config.paths.library)))
        links = Path(config.paths.state) / LINKS_FOLDER
        wanted = _submit(supervisor, uploads_of(found, links), options)
        supervisor.run(until=lambda: supervisor.idle)
        interrupted = supervisor.stopping
        aliases = supervisor.aliases
    jobs = dict.fromkeys(aliases.get(job, job) for job in (*wanted, *sorted(ended)))
    return Result(summarize(config.paths.ledger, jobs), interrupted)


def forget(jobs: Sequence[int], config: Config, modules: Mapping[StageName, str]) -> None:
    """Takes JOBS, which have ended, out of a library that no daemon works on. What an interrupted run left stays as it is.

    Raises NoSuchJob, UsageError; then nothing is taken out.
    """
    left = set(jobs)
    with Supervisor(config, modules) as supervisor:
        supervisor.scheduler.halt = Halt.DRAINING
        for job, state, _ in [_found(supervisor, id) for id in left]:
            if not state.is_final and state is not JobState.FORGETTING:
                raise UsageError(
                    problem=f"Job {job.id} hasn't ended: it is {state}. Run the same `process` again first."
                )
            supervisor.scheduler.forget(job, time.time())
        supervisor.on_ended = lambda ended: left.discard(ended.job.id)
        supervisor.run(until=lambda: not left)


def _found(supervisor: Supervisor, id: int) -> tuple[Job, JobState, str | None]:
    found = supervisor.ledger.job(id)
    if found is None:
        raise NoSuchJob(job=id)
    return found


def find_files(paths: Sequence[Path], but: Path) -> Iterator[Found]:
    """The files behind PATHS, in order, folders walked by name; nothing below BUT, each file once.

    What can't be listed or isn't a file is yielded too: it becomes a job that intake refuses with the reason.
    """
    seen: set[str] = set()
    skipped = but.absolute().resolve()
    for path in paths:
        for found in _walk(path.absolute(), path.name or str(path), skipped):
            if str(found.path) not in seen:
                seen.add(str(found.path))
                yield found


def _walk(path: Path, name: str, skipped: Path) -> Iterator[Found]:
    if not os.path.isdir(path):  # Path.is_dir raises where a folder above may not be searched
        yield Found(path, name)
        return
    if path.resolve() == skipped:
        return
    try:
        entries = sorted(os.listdir(path))
    except OSError:
        yield Found(path, name)
        return
    for entry in entries:
        child = path / entry
        if os.path.isdir(child) and os.path.islink(child):
            continue  # a link to a folder may lead round in a circle, and its files are found where they are
        yield from _walk(child, f"{name}/{entry}", skipped)


def _submit(supervisor: Supervisor, uploads: Iterable[Upload], options: Options) -> list[int]:
    """Submits UPLOADS and returns their jobs, in order; an unfinished job of the same unchanged file and OPTIONS goes on
    instead."""
    jobs: list[int] = []
    fresh: list[tuple[str, Upload, Options]] = []
    places: list[int] = []
    for number, upload in enumerate(uploads):
        unfinished = supervisor.ledger.unfinished_at(upload.path, options)
        same = [job for job, size, mtime_ns in unfinished if (size, mtime_ns) == (upload.size, upload.mtime_ns)]
        jobs.append(same[0] if same else 0)
        if not same:
            places.append(number)
            fresh.append((f"file:{upload.path}#{time.time_ns()}.{number}", upload, options))
    for place, job in zip(places, supervisor.submit(fresh), strict=True):
        jobs[place] = job
    return jobs


def uploads_of(found: Sequence[Found], links: Path) -> Iterator[Upload]:
    """FOUND as uploads: the parts of a split archive that lie in one folder are one, also those that weren't named but lie
    beside the others. In LINKS there will be links to files whose names aren't UTF-8."""
    folders: dict[Path, list[int]] = {}
    for index, one in enumerate(found):
        folders.setdefault(one.path.parent, []).append(index)
    groups = [group for folder, indices in folders.items() for group in _groups(folder, found, indices)]
    for _, files, group in sorted(groups, key=lambda each: each[0]):
        yield _upload(files, group, links)


def _groups(
    folder: Path, found: Sequence[Found], indices: list[int]
) -> Iterator[tuple[int, list[Found], volumes.Group]]:
    """What lies in FOLDER and is among FOUND at INDICES, as archives and single files, each with its first index."""
    names = [found[index].path.name for index in indices]
    keys = {part.key for name in names if (part := volumes.part_of(name))}
    try:
        beside = sorted(set(os.listdir(folder)) - set(names)) if keys else []
    except OSError:
        beside = []
    more = [name for name in beside if (part := volumes.part_of(name)) and part.key in keys]
    for group in volumes.group([*names, *more]):
        given = [indices[file] for file in group.files if file < len(indices)]
        if given:
            prefix = found[given[0]].name.removesuffix(found[given[0]].path.name)
            files = [folder / (names[file] if file < len(names) else more[file - len(names)]) for file in group.files]
            yield min(given), [Found(path, prefix + path.name) for path in files], group


def _upload(files: Sequence[Found], group: volumes.Group, links: Path) -> Upload:
    """FILES as they are now; zeros where one can't be looked at, which intake then finds out again and explains."""
    if len(files) > 1:
        links /= hashlib.sha256(os.fsencode(files[0].path)).hexdigest()[:16]  # the names must stay those of parts
    seen = [_as_it_is(_utf8_path(one.path, links, keep_name=len(files) > 1)) for one in files]
    name = files[0].name if len(files) == 1 else files[0].name.removesuffix(files[0].path.name) + group.name
    return Upload.of(
        seen,
        name=os.fsencode(name).decode(errors="replace"),
        arrived_at=time.time(),
        missing=os.fsencode(group.missing).decode(errors="replace"),
    )


def _as_it_is(path: str) -> Volume:
    try:
        found = Volume.seen(path, status := os.stat(path))
    except OSError:
        return Volume(path=path, size=0, mtime_ns=0, inode=0, device=0)
    return found if stat.S_ISREG(status.st_mode) else msgspec.structs.replace(found, size=0)


def _utf8_path(path: Path, links: Path, *, keep_name: bool = False) -> str:
    """PATH where its bytes are UTF-8, else a link to it in LINKS: neither the ledger nor a message takes other text.
    With KEEP_NAME the link is called as much like it as can be."""
    raw = os.fsencode(path)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        name = os.fsencode(path.name).decode(errors="replace") if keep_name else hashlib.sha256(raw).hexdigest()
        link = links / name
        links.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(path)
        return str(link)

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

from pipeline.config import Config, Paths
from pipeline.model import Options, StageName, Upload
from pipeline.scheduler import Ended
from pipeline.summary import RunSummary, summarize
from pipeline.supervisor import Observer, Supervisor

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
        found = find_files(paths, but=Path(config.paths.library))
        links = Path(config.paths.state) / LINKS_FOLDER
        wanted = list(_submit(supervisor, (_upload(one, links) for one in found), options))
        supervisor.run(until=lambda: supervisor.idle)
        interrupted = supervisor.stopping
        aliases = supervisor.aliases
    jobs = dict.fromkeys(aliases.get(job, job) for job in (*wanted, *sorted(ended)))
    return Result(summarize(config.paths.ledger, jobs), interrupted)


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


def _submit(supervisor: Supervisor, uploads: Iterable[Upload], options: Options) -> Iterator[int]:
    """Submits UPLOADS; an unfinished job of the same unchanged file and OPTIONS goes on instead."""
    fresh: list[tuple[str, Upload, Options]] = []
    for number, upload in enumerate(uploads):
        unfinished = supervisor.ledger.unfinished_at(upload.path, options)
        same = [job for job, size, mtime_ns in unfinished if (size, mtime_ns) == (upload.size, upload.mtime_ns)]
        if same:
            yield same[0]
        else:
            fresh.append((f"file:{upload.path}#{time.time_ns()}.{number}", upload, options))
    yield from supervisor.submit(fresh)


def _upload(found: Found, links: Path) -> Upload:
    """The file as it is now; zeros where it can't be looked at, which intake then finds out again and explains."""
    try:
        status = found.path.stat()
    except OSError:
        size = mtime_ns = inode = device = 0
    else:
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        mtime_ns, inode, device = status.st_mtime_ns, status.st_ino, status.st_dev
    return Upload(
        path=_utf8_path(found.path, links),
        name=os.fsencode(found.name).decode(errors="replace"),
        size=size,
        mtime_ns=mtime_ns,
        inode=inode,
        device=device,
        arrived_at=time.time(),
    )


def _utf8_path(path: Path, links: Path) -> str:
    """PATH where its bytes are UTF-8, else a link to it in LINKS: neither the ledger nor a message takes other text."""
    raw = os.fsencode(path)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        link = links / hashlib.sha256(raw).hexdigest()
        links.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(path)
        return str(link)

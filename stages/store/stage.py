"""The stage itself: where a job's folder is, and the order of what makes it one."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Generator
from functools import partial
from typing import NamedTuple

import msgspec

from pipeline.config import Config, Targets
from pipeline.model import Closed, Code, Desk, Done, Outcome, Published, Reason, Reject, Retry, Task, Upload
from stages.handover import Results, unpack
from stages.store import files, manifest
from stages.store.incoming import Incoming, without_crashed
from stages.store.names import job_folder
from stages.store.syncer import Syncer
from stages.store.targets import ForgottenJob, PublishedJob, TargetDown, TargetRefuses, chosen
from stages.store.tree import Builder

INLINE_BYTES = 16 * 1024  # a longer list of tables goes by a file

_CHANGED = Reason(
    code=Code.CHANGED,
    text="The file changed, or went away, while it was being worked on.",
    next_step="Submit it again and leave it in place until its answer has come.",
)


def build(config: Config) -> Store:
    """The stage, as a worker asks for it."""
    return Store(config.targets)


class _Home(NamedTuple):
    """Where a job belongs, relative to the library's root, and the manifest of it that is there already."""

    folder: str
    found: manifest.Whole | None


class Store:
    """The last stage."""

    def __init__(self, targets: Targets) -> None:
        self._targets = chosen(targets)
        self._retry_s = targets.retry_s
        self._syncer = Syncer()
        self._durable: set[str] = set()  # the month folders whose own names are on disk for certain

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Done, with the finding Published where TASK asks to publish; a Reject `changed`; a Retry where a target is down.

        A TASK that asks to forget its job takes out what was published of it.
        """
        yield from ()
        try:
            if task.forget:
                self._forget(task, desk)
                return Done()
            if not task.publish:
                self._stage(task, desk)
                return Done()
            finding = self._publish(task, desk)
            if self._targets:
                finding = self._deliver(finding, desk)
            return Done(finding=_shortened(finding, task, desk))
        except TargetDown as error:
            return Retry(after_s=self._retry_s, text=str(error))
        except files.UploadChanged:
            return Reject(reason=_CHANGED)

    def _stage(self, task: Task, desk: Desk) -> None:
        work = files.Work(desk.work, task.upload)
        try:
            Incoming(str(desk.library), task.job).stage(task.seq, _results(task, desk), work, _Meter(desk).add)
        finally:
            work.close()

    def _publish(self, task: Task, desk: Desk) -> Published:
        library = str(desk.library)
        top = manifest.head(task, manifest.Counts())
        home = _find_home(library, task, top)
        incoming = Incoming(library, task.job)
        if home.found is not None and home.found.ends_like(top):  # an attempt died after the rename
            finding = manifest.finding(home.folder, home.found.counts, home.found.tables, home.found.reason)
        else:
            if home.found is not None:
                _take_back(f"{library}/{home.folder}", incoming)
            counts, tables, reason = self._build(task, desk, top, incoming)
            self._rename(incoming.tree, library, home.folder)
            finding = manifest.finding(home.folder, counts, tables, reason)
        self._sync_parents(library, home.folder, incoming)
        incoming.remove()
        return finding

    def _deliver(self, finding: Published, desk: Desk) -> Published:
        """Brings the published job to every target. Raises TargetDown; what a target refuses becomes the job's reason."""
        path = desk.library / finding.path
        whole = manifest.read(f"{path}/{manifest.NAME}")
        assert whole is not None
        digest = hashlib.sha256((path / manifest.NAME).read_bytes()).hexdigest()
        meter = _Meter(desk)
        for target in self._targets:
            try:
                target.deliver(
                    PublishedJob(desk.library, finding.path, whole, digest), lambda count: meter.add(0, count)
                )
            except TargetDown as error:
                raise TargetDown(f"{target.name} takes nothing now: {error}") from error
            except TargetRefuses as error:
                finding = _refused(finding, target.name, error)
        return finding

    def _forget(self, task: Task, desk: Desk) -> None:
        """Takes the job out of the targets, then of the library. Raises TargetDown."""
        library = str(desk.library)
        top = manifest.head(task, manifest.Counts())
        home = _find_home(library, task, top)
        for target in self._targets:
            try:
                target.forget(ForgottenJob(home.folder, task.job, top.upload))
            except TargetDown as error:
                raise TargetDown(f"{target.name} takes nothing now: {error}") from error
            except TargetRefuses:
                pass  # another library's job is there under this number: ours never was
        incoming = Incoming(library, task.job)
        if home.found is not None:
            _take_back(f"{library}/{home.folder}", incoming)
            files.sync(f"{library}/{home.folder.partition('/')[0]}")
        incoming.remove()

    def _build(
        self, task: Task, desk: Desk, top: manifest.Head, incoming: Incoming
    ) -> tuple[manifest.Counts, list[manifest.TableEntry], Reason | None]:
        """Makes the job's tree. The upload must still be what was hashed, unless the job fails anyway."""
        work = files.Work(desk.work, task.upload)
        try:
            builder = Builder(task, top, incoming, work, self._syncer, _Meter(desk).add)
            if task.failure is not None:
                return (*builder.build_failed(), task.failure)
            built = builder.build(_results(task, desk) if task.payload else None)
        finally:
            work.close()
        _check_unchanged(task.upload)
        return (*built, builder.first_reason)

    def _rename(self, tree: str, library: str, folder: str) -> None:
        try:
            os.rename(tree, f"{library}/{folder}")
        except FileNotFoundError:
            month = folder.partition("/")[0]
            files.make_folder(f"{library}/{month}")
            self._durable.discard(month)
            os.rename(tree, f"{library}/{folder}")

    def _sync_parents(self, library: str, folder: str, incoming: Incoming) -> None:
        """Makes the rename durable. The month's folder may be new, made by us or by an attempt that died since."""
        month = folder.partition("/")[0]
        parents = [f"{library}/{month}", incoming.parent] + [library] * (month not in self._durable)
        self._syncer.run(partial(files.sync, parent) for parent in parents)
        self._durable.add(month)


class _Meter:
    """Counts bytes for the desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._done = 0

    def add(self, member: int, count: int) -> None:
        """COUNT more bytes are done, of MEMBER."""
        self._done += count
        self._desk.progress(member, self._done)


def _results(task: Task, desk: Desk) -> Results:
    return without_crashed(unpack(task.payload, Results, desk.work), task.crashed)


def _check_unchanged(upload: Upload) -> None:
    for file in upload.files:
        try:
            now = os.stat(file.path)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise files.UploadChanged from error
        if (now.st_size, now.st_mtime_ns, now.st_ino, now.st_dev) != (
            file.size,
            file.mtime_ns,
            file.inode,
            file.device,
        ):
            raise files.UploadChanged


def _find_home(library: str, task: Task, top: manifest.Head) -> _Home:
    """The first folder that is free or the job's own. Another ledger may have numbered a job alike in this library."""
    base = job_folder(task.job, task.upload)
    for count in itertools.count(1):
        folder = base if count == 1 else f"{base}-{count}"
        path = f"{library}/{folder}"
        if not os.path.lexists(path):
            return _Home(folder, None)
        found = manifest.read(f"{path}/{manifest.NAME}")
        if found is not None and found.is_of(top):
            return _Home(folder, found)
    raise AssertionError("unreachable")


def _take_back(path: str, incoming: Incoming) -> None:
    """Takes the job's folder out of the library, at once as a reader sees it: it tells of another end than the ledger."""
    old = f"{incoming.folder}/old"
    shutil.rmtree(old, ignore_errors=True)
    os.rename(path, old)
    shutil.rmtree(old)


def _refused(finding: Published, name: str, error: TargetRefuses) -> Published:
    """FINDING with the reason why a target didn't take it, unless there is another one already."""
    reason = Reason(
        code=Code.UNSUPPORTED,
        text=f"It is whole in the library, but {name} doesn't take it: {error}.",
        next_step="Ask the operator whether it is needed there.",
    )
    return finding if finding.reason else msgspec.structs.replace(finding, reason=reason)


def _shortened(finding: Published, task: Task, desk: Desk) -> Published:
    """FINDING with its tables in a file where they are too many for a message."""
    data = msgspec.json.encode(finding.tables)
    if len(data) <= INLINE_BYTES:
        return finding
    name = f"{task.prefix}.tables"
    (desk.work / name).write_bytes(data)
    return msgspec.structs.replace(finding, tables=(), tables_file=name)

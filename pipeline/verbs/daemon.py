"""`run` and what is said to a running daemon: `submit`, `pause`, `resume`, `drain`, `reload`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.config import Config
from pipeline.daemon import control_protocol as protocol
from pipeline.daemon import spool
from pipeline.daemon.control_client import ControlClient
from pipeline.daemon.control_protocol import VERSION
from pipeline.errors import ExitCode, StateUnwritable, UsageError
from pipeline.model import JobState, StageName
from pipeline.verbs.common import ConfigOption, JsonOption, load, out, print_json, safe, say
from pipeline.volumes import group


def run_daemon(config: Path | None, modules: Mapping[StageName, str], prepare: Callable[[Path], None]) -> None:
    """Runs the daemon until a signal ends it. PREPARE begins to fill the folder for machine code. Raises StampmillError."""
    from pipeline.daemon.daemon import Daemon
    from pipeline.screen import bottleneck

    loaded, path = load(config)
    prepare(loaded.paths.code)
    Daemon(loaded, path, with_commands(loaded, modules), bottleneck.sentence).run()


def with_commands(config: Config, modules: Mapping[StageName, str]) -> dict[StageName, str]:
    """MODULES, with the stages that run a configured program in place of the built-in ones."""
    chosen = dict(modules)
    if config.extract.command:
        chosen[StageName.EXTRACT] = "stages.external.extract"
    if config.convert.command:
        chosen[StageName.CONVERT] = "stages.external.convert"
    return chosen


def submit(
    paths: Annotated[list[Path], typer.Argument(help="Files.", metavar="PATH...")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until they have ended, and say how.")] = False,
    types: Annotated[str, typer.Option("--types", help="auto, or text: every column as it was written.")] = "auto",
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="A file whose first line is the archives' password.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Hand files to the running daemon. They are copied into its spool, so the originals may go.

    The parts of a split archive are one job.

    Example: stampmill submit --wait ~/drops/shop.zip
    """
    from pipeline.verbs.files import password_in, types_of

    loaded, _ = load(config)
    wanted, password = types_of(types), password_in(password_file)
    _require_files(paths)
    groups = group([path.name for path in paths])  # the parts of a split archive are one job
    uploads = [[paths[index] for index in one.files] for one in groups]
    jobs: list[int] = []
    with ControlClient(loaded.paths.socket) as client:
        for files in uploads:
            request = protocol.Submit(v=VERSION, folders=(_spool(files, loaded),), types=wanted, password=password)
            jobs += client.ask(request)["jobs"]
        ended = client.ask(protocol.Wait(v=VERSION, jobs=tuple(jobs)), timeout_s=None) if wait else []
    states = {one["job"]: one["state"] for one in ended}
    _tell_submitted([one.name for one in groups], jobs, states, loaded, as_json=as_json)
    if any(state in (JobState.FAILED, JobState.CANCELLED) for state in states.values()):
        raise typer.Exit(ExitCode.PARTIAL)


def _tell_submitted(
    names: list[str], jobs: list[int], states: Mapping[int, str], config: Config, *, as_json: bool
) -> None:
    from pipeline.verbs.files import print_summary

    if states:
        from pipeline.results.summary import summarize

        summary = summarize(config.paths.ledger, jobs)
        if as_json:
            print_json(summary)
        else:
            print_summary(summary)
    elif as_json:
        print_json({"jobs": [{"job": job, "name": name} for job, name in zip(jobs, names, strict=True)]})
    else:
        for job, name in zip(jobs, names, strict=True):
            out().print(f"job {job}: {safe(name)}")


def _require_files(paths: list[Path]) -> None:
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise UsageError(problem=f"{path} can't be submitted: {error.strerror}.") from error
        if not stat.S_ISREG(mode):
            raise UsageError(problem=f"{path} is no regular file; submit files, or an archive of them.")


def _spool(paths: list[Path], config: Config) -> str:
    """Copies PATHS into one folder of the spool, owned by whoever owns the state directory; the folder's name. Raises
    StateUnwritable."""
    try:
        folder = spool.new_folder(config.paths.spool, "submit")
        owner = config.paths.spool.stat()
        if owner.st_uid != os.geteuid():
            os.chown(folder, owner.st_uid, owner.st_gid)
        for path in paths:
            _copy(path, folder, owner)
        for directory in (folder, config.paths.spool):
            spool.sync_folder(directory)
    except OSError as error:
        raise StateUnwritable(path=error.filename or config.paths.spool, detail=error.strerror) from error
    return folder.name


def _copy(path: Path, folder: Path, owner: os.stat_result) -> None:
    source, partial = os.open(path, os.O_RDONLY | os.O_CLOEXEC), folder / spool.PARTIAL
    try:
        spool.copy(source, partial)
    finally:
        os.close(source)
    if owner.st_uid != os.geteuid():
        os.chown(partial, owner.st_uid, owner.st_gid)
    os.rename(partial, folder / spool.safe_name(path.name))


def _tell_daemon(request: protocol.Request, config: Path | None, timeout_s: float | None = 30.0) -> Any:
    loaded, _ = load(config)
    with ControlClient(loaded.paths.socket) as client:
        return client.ask(request, timeout_s)


def pause(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Hand out no more batches; those that run finish. It holds until `resume`, restarts included.

    Example: stampmill pause
    """
    data = _tell_daemon(protocol.Pause(v=VERSION), config)
    print_json(data) if as_json else say("Paused: running batches finish. `stampmill resume` goes on.")


def resume(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Go on after `pause` or `drain`.

    Example: stampmill resume
    """
    data = _tell_daemon(protocol.Resume(v=VERSION), config)
    print_json(data) if as_json else say("Going on.")


def drain(
    wait: Annotated[bool, typer.Option("--wait", help="Return when all that had begun has ended.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Begin no more jobs, and let those that have begun end: before an upgrade or a restart of the host.

    Example: stampmill drain --wait && sudo systemctl restart stampmill && stampmill resume
    """
    data = _tell_daemon(protocol.Drain(v=VERSION, wait=wait), config, timeout_s=None if wait else 30.0)
    words = "Drained: all that had begun has ended." if wait else "Draining: no job is begun any more."
    print_json(data) if as_json else say(f"{words} `stampmill resume` goes on.")


def reload(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Have the daemon read its configuration again, as SIGHUP does; say what of it can only change at its next start.

    Example: stampmill reload
    """
    data = _tell_daemon(protocol.Reload(v=VERSION), config)
    if as_json:
        print_json(data)
        return
    say(f"Changed: {', '.join(data['now']) or 'nothing'}.")
    if data["at_next_start"]:
        say(f"These take effect at the next start: {', '.join(data['at_next_start'])}.")

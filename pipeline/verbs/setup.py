"""`doctor` and `config`: what is wrong here, and with the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.errors import ConfigInvalid, ExitCode
from pipeline.settings import config_file
from pipeline.verbs.common import ConfigOption, JsonOption, load, out, print_json, safe, say

if TYPE_CHECKING:
    from pipeline.doctor.checks import Check

config = typer.Typer(help="The configuration file.", no_args_is_help=True)


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake in the configuration, as `config check --json` prints it; line 0 where it is none's."""

    file: str
    line: int
    key: str
    text: str


@config.command("check")
def check(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Say every mistake in the configuration, with its line and what is allowed. Exit status 5 where there is one.

    Example: stampmill config check --config ./config.toml
    """
    path = config or config_file.default_path()
    _, problems = config_file.examine(path)
    if as_json:
        print_json([Mistake(file=str(path), line=one.line, key=one.key, text=one.text) for one in problems])
    else:
        for problem in problems:
            out().print(safe(problem.shown(path)))
        if not problems:
            say(f"{safe(path)}: no mistakes.")
    if problems:
        raise typer.Exit(ExitCode.CONFIG_INVALID)


def doctor(
    into: Annotated[Path | None, typer.Option("--into", help="The library whose `process` runs are meant.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Find what is wrong here, and the command that mends it. Exit status 1 when anything fails.

    Example: stampmill doctor
    """
    from pipeline.doctor import checks as examiner

    checks = _of_runs(into) if into is not None else _of_service(config)
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            style = {"pass": "green", "warn": "yellow", "fail": "red"}[check.level]
            out().print(f"[{style}]{check.level:4}[/{style}]  {safe(check.what)}: {safe(check.found)}")
            if check.mend:
                out().print(f"      {safe(check.mend)}")
    if any(check.level is examiner.Level.FAIL for check in checks):
        raise typer.Exit(ExitCode.FAILURE)


def _of_runs(into: Path) -> list[Check]:
    from pipeline.doctor import checks as examiner
    from pipeline.machine.process import config_for

    return examiner.examine(config_for(into))


def _of_service(path: Path | None) -> list[Check]:
    """The checks of the daemon; where its configuration can't be used, of that alone."""
    from pipeline.doctor import checks as examiner
    from pipeline.doctor import service as doctor_service

    try:
        loaded, file = load(path)
    except ConfigInvalid as error:
        mend = f"stampmill config check{f' --config {path}' if path else ''}"
        return [examiner.Check(what="configuration", level=examiner.Level.FAIL, found=error.message, mend=mend)]
    return [*examiner.examine(loaded), *doctor_service.examine(loaded, file)]

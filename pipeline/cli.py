"""The command line: the composition root, the only module that knows everyone. Data to stdout, words to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from typer.exceptions import TyperException

from pipeline import __version__
from pipeline.errors import ExitCode, StampmillError
from pipeline.model import Options, StageName
from pipeline.verbs import account, daemon, files, forget, jobs, library, service, setup
from pipeline.verbs.common import ConfigOption, JsonOption, err, out, safe
from stages import machine_code

STAGES: Final = {
    StageName.INTAKE: "stages.intake",
    StageName.EXTRACT: "stages.extract",
    StageName.CONVERT: "stages.convert",
    StageName.STORE: "stages.store",
}

app = typer.Typer(
    name="stampmill",
    help="Archives and data files in, typed Parquet tables out, and nothing lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str]) -> int:
    """Runs the command line ARGUMENTS; returns the exit status. Errors are one sentence on stderr."""
    try:
        status_code = typer.main.get_command(app).main(list(arguments), prog_name="stampmill", standalone_mode=False)
    except StampmillError as error:
        err().print(f"[red]error:[/red] {safe(error.message)}", soft_wrap=True)
        return error.exit_code
    except typer.Exit as leave:
        return leave.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    except TyperException as error:
        return _usage(error)
    return int(status_code or 0)


def _usage(error: TyperException) -> int:
    """Prints what typer has to say about a wrong call."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or code is None:
        raise error
    show(sys.stderr)
    return int(code)


def _version(wanted: bool) -> None:
    if wanted:
        out().print(f"stampmill {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version)] = False,
) -> None:
    pass


@app.command("process")
def process_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, or folders whose every file is meant.", metavar="PATH...")
    ],
    into: Annotated[Path, typer.Option("--into", help="The library: the folder that the tables go to.")],
    as_json: JsonOption = False,
    types: Annotated[str, typer.Option("--types", help="auto, or text: every column as it was written.")] = "auto",
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="A file whose first line is the archives' password.")
    ] = None,
) -> None:
    """Turn files into typed tables: the whole pipeline, until every job has ended.

    Interrupted and run again, it goes on where it was.

    Example: stampmill process ~/drops --into ~/tables
    """
    options = Options(password=files.password_in(password_file), types=files.types_of(types))
    files.run_process(paths, into, options, STAGES, machine_code.begin, as_json=as_json)


@app.command("run")
def run_command(config: ConfigOption = None) -> None:
    """Run the daemon: take files from the inbox, from `submit` and from Telegram until it is told to stop (SIGTERM).

    SIGHUP has it read its configuration again.

    Example: stampmill run --config ~/.config/stampmill/config.toml
    """
    daemon.run_daemon(config, STAGES, machine_code.begin)


@app.command("forget")
def forget_command(
    numbers: Annotated[list[int], typer.Argument(help="The jobs' numbers.", metavar="JOB...")],
    into: library.IntoOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    config: ConfigOption = None,
) -> None:
    """Take ended jobs out of the library and its targets, and delete their uploads. Other jobs stay as they are.

    What `process` read from your own folders stays there.

    Example: stampmill forget 17
    """
    forget.run_forget(numbers, into, config, STAGES, sure=yes)


for _verb in (
    library.tables,
    library.query,
    library.trace,
    library.verify,
    library.du,
    library.report,
    daemon.submit,
    jobs.status,
    jobs.list_jobs,
    jobs.show,
    jobs.logs,
    jobs.cancel,
    jobs.retry,
    daemon.pause,
    daemon.resume,
    daemon.drain,
    daemon.reload,
    setup.doctor,
    account.login,
    service.init,
    service.install_service,
    service.uninstall_service,
):
    app.command(_verb.__name__.removesuffix("_jobs").replace("_", "-"))(_verb)
app.add_typer(setup.config, name="config")

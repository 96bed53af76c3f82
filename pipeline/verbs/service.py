"""`init`, `install-service` and `uninstall-service`: from nothing to a running service, and back."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.config import Config
from pipeline.daemon import service
from pipeline.errors import StampmillError, StateUnwritable, UsageError
from pipeline.settings import config_file
from pipeline.verbs.common import ConfigOption, load, out, safe, say


class StepFailed(StampmillError):
    """{step} failed: {detail}"""


def init(
    library: Annotated[Path | None, typer.Option("--library", help="Where results go.")] = None,
    inbox: Annotated[Path | None, typer.Option("--inbox", help="A folder whose files are taken.")] = None,
    state: Annotated[Path | None, typer.Option("--state", help="Where stampmill keeps its own files.")] = None,
    api_id: Annotated[
        int | None, typer.Option("--api-id", help="Telegram's api_id, from https://my.telegram.org.", min=1)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write a configuration with every setting in it, commented. On a terminal it asks for what isn't given.

    Example: sudo stampmill init
    """
    path = (config or config_file.default_path()).absolute()
    if path.exists() and not force:
        raise UsageError(problem=f"{path} is there already. Change it, or replace it with --force.")
    given = {"library": library, "inbox": inbox, "state": state}
    folders = {
        key: str(_ask(key, value or _default_folders()[key], asked=value is None)) for key, value in given.items()
    }
    values: dict[str, Any] = {f"paths.{key}": folder for key, folder in folders.items()}
    secret = None
    if api_id is None and _on_terminal():
        api_id = typer.prompt("Telegram's api_id, from https://my.telegram.org (0: no Telegram)", default=0, err=True)
    if api_id:
        values["telegram.api_id"] = api_id
        secret = _secret(path)
        if os.geteuid() != 0:
            values["telegram.api_hash_file"] = str(path.with_name("api_hash"))
    _write_config(path, values, secret)
    _next_steps(path, with_telegram=bool(api_id))


def _default_folders() -> dict[str, Path]:
    if os.geteuid() == 0:
        home = Path(service.STATE_DIRECTORY)
        return {"library": home / "library", "inbox": home / "inbox", "state": home / "state"}
    share = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "stampmill"
    home = Path.home() / "stampmill"
    return {"library": home / "library", "inbox": home / "inbox", "state": share}


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(key: str, default: Path, *, asked: bool) -> Path:
    words = {
        "library": "Where results go",
        "inbox": "A folder whose files are taken",
        "state": "Where stampmill keeps its own files (a local disk)",
    }
    if asked and _on_terminal():
        default = Path(typer.prompt(words[key], default=str(default), err=True)).expanduser()
    return default.absolute()


def _secret(path: Path) -> str | None:
    """Telegram's api_hash, asked for on a terminal where no file has it yet."""
    if path.with_name("api_hash").exists() or not _on_terminal():
        return None
    return str(typer.prompt("Telegram's api_hash", hide_input=True, err=True))


def _write_config(path: Path, values: dict[str, Any], secret: str | None) -> None:
    from pipeline.settings import config_writer

    text = config_writer.commented(values)
    _, problems = config_file.parse(text, path.parent)
    if problems:
        raise UsageError(problem=problems[0].shown(path))
    try:
        path.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        _write(path, text, 0o640 if os.geteuid() == 0 else 0o600)
        if secret:
            _write(path.with_name("api_hash"), secret + "\n", 0o600)
    except OSError as error:
        raise StateUnwritable(path=error.filename or path, detail=error.strerror) from error


def _write(path: Path, text: str, mode: int) -> None:
    """Writes PATH whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _next_steps(path: Path, *, with_telegram: bool) -> None:
    out().print(safe(f"Wrote {path}."))
    is_default = path == config_file.default_path()
    option = "" if is_default else f" --config {path}"
    sudo, user = ("sudo ", "") if os.geteuid() == 0 else ("", " --user")
    say("Next:")
    if with_telegram:
        say(safe(f"  {sudo}stampmill login{option}"))
    say(safe(f"  {sudo}stampmill install-service{user}{option}    (or, in this terminal: stampmill run{option})"))


# The service


def install_service(
    user: Annotated[bool, typer.Option("--user", help="For this user alone, without root.")] = False,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it, too.")] = True,
    config: ConfigOption = None,
) -> None:
    """Install stampmill as a systemd service, and start it. Calling it again brings the service up to date.

    Example: sudo stampmill install-service
    """
    loaded, path = load(config)
    path = path.absolute()
    if user:
        _install_for_user(loaded, path, start=start)
        return
    if os.geteuid() != 0:
        raise UsageError(problem="A service of the whole system needs root: sudo stampmill install-service; or --user.")
    command = _command()
    barred = service.unreachable(command) or service.unreachable(Path(sys.executable))
    if barred:
        raise UsageError(
            problem=f"The command is below {barred}, where the service's user can't go."
            " Install stampmill where all users can read it, such as /opt/stampmill (docs/install.md)."
        )
    _make_user()
    _own_config(path)
    for folder in (loaded.paths.state, loaded.paths.library, loaded.paths.inbox):
        if folder:
            _make_folder(Path(folder), private=folder == loaded.paths.state)
    hand_over(loaded)
    hash_file = path.with_name("api_hash")
    place = service.Place(command, path, hash_file if _is_credential(loaded, hash_file) else None)
    _put_unit(Path("/etc/systemd/system") / service.NAME, service.system_unit(service.template(), place, loaded))
    _enable([], start=start)
    say("`systemctl status stampmill` and `stampmill status` show it; its log is in `journalctl -u stampmill`.")


def _is_credential(config: Config, hash_file: Path) -> bool:
    return config.telegram is not None and not config.telegram.api_hash_file and hash_file.exists()


def _install_for_user(config: Config, path: Path, *, start: bool) -> None:
    hash_file = path.with_name("api_hash")
    place = service.Place(_command(), path, hash_file if _is_credential(config, hash_file) else None)
    _put_unit(_user_units() / service.NAME, service.user_unit(service.template(), place, config))
    _enable(["--user"], start=start)
    say("It ends when you log out, unless: sudo loginctl enable-linger $USER")


def _user_units() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "systemd" / "user"


def _command() -> Path:
    """This installation's command: beside its Python."""
    beside = Path(sys.executable).parent / "stampmill"
    found = str(beside) if beside.exists() else shutil.which("stampmill")
    if found is None:
        raise UsageError(problem="The command stampmill isn't installed beside its Python; install it again.")
    return Path(found).absolute()


def _make_user() -> None:
    try:
        pwd.getpwnam(service.USER)
        return
    except KeyError:
        pass
    home = service.STATE_DIRECTORY
    argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home]
    _call([*argv, "--shell", "/usr/sbin/nologin", service.USER])
    out().print(f"Made the user {service.USER}.")


def _own_config(path: Path) -> None:
    """The service's user may read its configuration."""
    group = grp.getgrnam(service.USER).gr_gid
    os.chown(path, -1, group)
    path.chmod(path.stat().st_mode & 0o740 | 0o040)
    os.chown(path.parent, -1, group)
    path.parent.chmod(path.parent.stat().st_mode | 0o050)


def hand_over(config: Config) -> None:
    """Where root calls this, what root's login made in the state directory becomes the service's user's, if there is one
    yet; `install-service` sees to it else."""
    try:
        owner = pwd.getpwnam(service.USER)
    except KeyError:
        return
    if os.geteuid() != 0:
        return
    state = Path(config.paths.state)
    session = config.telegram.session_file(config.paths).parent if config.telegram else state / "telegram"
    for path in (state, session, *(session.iterdir() if session.is_dir() else ())):
        if path.exists() and path.stat().st_uid == 0:
            os.chown(path, owner.pw_uid, owner.pw_gid)


def _make_folder(folder: Path, *, private: bool) -> None:
    if folder.exists():
        return
    owner = pwd.getpwnam(service.USER)
    missing = [folder, *(one for one in folder.parents if not one.exists())]
    for one in reversed(missing):
        one.mkdir(mode=0o700 if private and one == folder else 0o750)
        os.chown(one, owner.pw_uid, owner.pw_gid)


def _put_unit(path: Path, text: str) -> None:
    if path.exists() and not service.is_ours(path.read_text(encoding="utf-8", errors="replace")):
        raise UsageError(problem=f"{path} is there, and somebody else wrote it. Move it away first.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text, 0o644)
    except OSError as error:
        raise StateUnwritable(path=error.filename or path, detail=error.strerror) from error
    out().print(safe(f"Wrote {path}."))


def _enable(options: list[str], *, start: bool) -> None:
    if not _systemd_runs(options):
        if not options:
            _call(["systemctl", "enable", service.NAME])
        say("systemd isn't running here: the service starts with the next boot.")
        return
    _call(["systemctl", *options, "daemon-reload"])
    _call(["systemctl", *options, "enable", service.NAME])
    if start:
        _call(["systemctl", *options, "restart", service.NAME])
        out().print("The service runs.")


def _systemd_runs(options: list[str]) -> bool:
    if options:
        argv = ["systemctl", *options, "show-environment"]
        probe = subprocess.run(argv, capture_output=True, check=False)
        return probe.returncode == 0
    return Path("/run/systemd/system").is_dir()


def _call(argv: list[str]) -> None:
    try:
        run = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise StepFailed(step=" ".join(argv), detail=error.strerror) from error
    if run.returncode:
        raise StepFailed(step=" ".join(argv), detail=" ".join((run.stderr or run.stdout).split()) or run.returncode)


def uninstall_service(
    user: Annotated[bool, typer.Option("--user", help="The one of this user alone.")] = False,
) -> None:
    """Stop the service and take its unit back. The configuration, the state and the library stay.

    Example: sudo stampmill uninstall-service
    """
    if not user and os.geteuid() != 0:
        raise UsageError(
            problem="A service of the whole system needs root: sudo stampmill uninstall-service; or --user."
        )
    options = ["--user"] if user else []
    path = (_user_units() if user else Path("/etc/systemd/system")) / service.NAME
    if not path.exists():
        raise UsageError(problem=f"There is no {path}.")
    if not service.is_ours(path.read_text(encoding="utf-8", errors="replace")):
        raise UsageError(problem=f"{path} was written by somebody else; it stays.")
    if _systemd_runs(options):
        _call(["systemctl", *options, "disable", "--now", service.NAME])
    elif not user:
        _call(["systemctl", "disable", service.NAME])
    path.unlink()
    if _systemd_runs(options):
        _call(["systemctl", *options, "daemon-reload"])
    out().print(safe(f"Removed {path}. The configuration, the state and the library are as they were."))

"""The doctor's checks of a service: its configuration's and secrets' modes, its clock, its unit, its way to Telegram."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.config import Config, Telegram
from pipeline.daemon import service
from pipeline.doctor.checks import Check, Level

_TELEGRAM: Final = ("149.154.167.51", 443)  # a data centre of Telegram's that every client begins with
_REACH_S: Final = 5.0
_SLACK_S: Final = 300.0  # that a clock may be behind what the ledger has seen

# Versions below which a tool has holes that an archive can use: 7-Zip CVE-2024-11477, unrar CVE-2022-30333.
_SOUND: Final = {"7zz": (24, 7), "unrar": (6, 12)}
_SOUND_TARFILE: Final = (3, 11, 12)  # tarfile's filters have holes before


def examine(config: Config, path: Path) -> list[Check]:
    """All checks of the service whose configuration CONFIG was read from the file PATH."""
    return [
        *_config_file(path),
        *_state_modes(config),
        *_inbox(config),
        *_clock(config),
        *_holes(),
        *_unit(config, path),
        *_telegram(config),
    ]


def _config_file(path: Path) -> Iterator[Check]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        mend = f"sudo chmod go-w {path}"
        yield Check(what="configuration", level=Level.FAIL, found=f"{path} can be changed by others", mend=mend)
    else:
        yield Check(what="configuration", level=Level.PASS, found=f"{path}: no mistakes")


def _state_modes(config: Config) -> Iterator[Check]:
    state = Path(config.paths.state)
    if not state.is_dir():
        return
    status = state.stat()
    if stat.S_IMODE(status.st_mode) & 0o077:
        mend = f"sudo chmod 700 {state}"
        yield Check(what="state directory", level=Level.FAIL, found=f"{state} can be entered by others", mend=mend)
    for name in ("ledger.sqlite", "spool", "work", "locks"):
        path = state / name
        with contextlib.suppress(OSError):
            if path.stat().st_uid != status.st_uid:
                mend = f"sudo chown -R --reference={state} {path}"
                found = f"{path} belongs to another user than its folder"
                yield Check(what="state directory", level=Level.FAIL, found=found, mend=mend)


def _inbox(config: Config) -> Iterator[Check]:
    if not config.paths.inbox:
        return
    inbox = Path(config.paths.inbox)
    if not inbox.is_dir():
        yield Check(what="inbox", level=Level.WARN, found=f"{inbox} isn't there yet; it is made at the first start")
    elif not os.access(inbox, os.R_OK | os.W_OK | os.X_OK):
        mend = f"sudo chown {service.USER}: {inbox}"
        found = f"{inbox} can't be read and written by this user"
        yield Check(what="inbox", level=Level.FAIL, found=found, mend=mend)
    else:
        yield Check(what="inbox", level=Level.PASS, found=str(inbox))


def _clock(config: Config) -> Iterator[Check]:
    """A clock that is behind the ledger went back; one that nobody sets will go wrong."""
    last = _last_seen(config.paths.ledger)
    if last > time.time() + _SLACK_S:
        found = f"{(last - time.time()) / 60:.0f} minutes behind what the ledger has seen"
        yield Check(what="clock", level=Level.FAIL, found=found, mend="sudo timedatectl set-ntp true")
        return
    synced = Path("/run/systemd/timesync/synchronized").exists() or _says_synchronized()
    if synced:
        yield Check(what="clock", level=Level.PASS, found="it is kept right by the network's time")
    else:
        mend = "sudo timedatectl set-ntp true   (Telegram refuses logins from a clock that is wrong)"
        yield Check(what="clock", level=Level.WARN, found="nothing here keeps it right", mend=mend)


def _says_synchronized() -> bool:
    run = _run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return run is not None and run.stdout.strip() == "yes"


def _last_seen(ledger: Path) -> float:
    """The last time in LEDGER; 0 where there is none, or it can't be read, which a check of its own says."""
    uri = f"{ledger.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=2.0)) as db:
            row = db.execute(
                "SELECT max(arrived_at, coalesce(ended_at, 0)) FROM job ORDER BY id DESC LIMIT 1"
            ).fetchone()
    except sqlite3.Error:
        return 0.0
    return float(row[0]) if row else 0.0


def _holes() -> Iterator[Check]:
    for tool, least in _SOUND.items():
        path = shutil.which(tool)
        found = _version_of(path) if path else None
        if found and found < least:
            known = ".".join(map(str, found))
            wanted = ".".join(map(str, least))
            mend = f"Install {tool} {wanted} or newer; extract's sandbox limits what they can do meanwhile."
            text = f"{path} is version {known}, which has known holes"
            yield Check(what=tool, level=Level.WARN, found=text, mend=mend)
    if sys.version_info[:3] < _SOUND_TARFILE:
        found_python = ".".join(map(str, sys.version_info[:3]))
        text = (
            f"{found_python}: its tarfile has known holes, which extract doesn't use (it writes no path of an archive)"
        )
        yield Check(what="Python", level=Level.PASS, found=text)


def _version_of(path: str) -> tuple[int, int] | None:
    run = _run(path)
    found = re.search(r"\b(\d+)\.(\d+)", run.stdout) if run else None
    return (int(found[1]), int(found[2])) if found else None


def _unit(config: Config, path: Path) -> Iterator[Check]:
    """Whether the service runs, and whether its unit is this version's."""
    unit = Path("/etc/systemd/system") / service.NAME
    if not unit.exists():
        mend = "sudo stampmill install-service"
        yield Check(what="service", level=Level.WARN, found="it isn't installed", mend=mend)
        return
    text = unit.read_text(encoding="utf-8", errors="replace")
    command = re.search(r"^ExecStart=\"?([^\" ]+)", text, flags=re.MULTILINE)
    hash_file = path.with_name("api_hash")
    has_hash = config.telegram is not None and not config.telegram.api_hash_file and hash_file.exists()
    place = service.Place(Path(command[1] if command else ""), path.absolute(), hash_file if has_hash else None)
    if text != service.system_unit(service.template(), place, config):
        mend = "sudo stampmill install-service   (it replaces the unit; your own changes belong into drop-ins)"
        yield Check(what="service", level=Level.WARN, found=f"{unit} isn't as this version makes it", mend=mend)
    run = _run("systemctl", "is-active", service.NAME)
    state = run.stdout.strip() if run else "unknown: there is no systemctl"
    if state == "active":
        yield Check(what="service", level=Level.PASS, found="it runs")
    else:
        mend = "sudo systemctl start stampmill; journalctl -u stampmill -n 50"
        yield Check(what="service", level=Level.WARN, found=f"it doesn't run ({state})", mend=mend)


def _telegram(config: Config) -> Iterator[Check]:
    if config.telegram is None:
        return
    yield from _secrets(config, config.telegram)
    host, port = _server(config.telegram)
    try:
        socket.create_connection((host, port), timeout=_REACH_S).close()
    except OSError as error:
        mend = f"Let connections to {host}:{port} out (firewall, proxy), and try again."
        found = f"it can't be reached: {error.strerror or error}"
        yield Check(what="Telegram", level=Level.FAIL, found=found, mend=mend)
    else:
        yield Check(what="Telegram", level=Level.PASS, found="it can be reached")


def _server(telegram: Telegram) -> tuple[str, int]:
    host, _, port = telegram.server.rpartition(":")
    return (host, int(port)) if host and port.isdigit() else _TELEGRAM


def _secrets(config: Config, telegram: Telegram) -> Iterator[Check]:
    session = telegram.session_file(config.paths)
    try:
        exists = session.exists()
    except OSError:
        exists = False
    if not exists and not telegram.bot_token_file:
        yield Check(what="session", level=Level.FAIL, found="nobody has logged in yet", mend="stampmill login")
    files = [("session", session), ("session's folder", session.parent)]
    files += [("api_hash", Path(telegram.api_hash_file))] if telegram.api_hash_file else []
    files += [("bot token", Path(telegram.bot_token_file))] if telegram.bot_token_file else []
    for what, path in files:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            if what in ("api_hash", "bot token"):
                yield Check(what=what, level=Level.FAIL, found=f"{path} isn't there", mend=f"Put it into {path}.")
            continue
        except OSError as error:
            yield Check(what=what, level=Level.WARN, found=f"{path} can't be looked at: {error.strerror}")
            continue
        if mode & 0o077:
            mend = f"sudo chmod go= {path}"
            yield Check(what=what, level=Level.FAIL, found=f"{path} can be read by others", mend=mend)
        elif what != "session's folder":
            yield Check(what=what, level=Level.PASS, found=f"{path}, its owner's alone")


def _run(*argv: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=10, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None

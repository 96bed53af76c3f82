"""Where the login lies: one file that only its owner can read, in a folder that only its owner can enter, and one
process at a time that has it."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.config import Config, Telegram
from pipeline.errors import ExitCode, StampmillError

_ENDING = ".session"  # Telethon adds it to what lacks it
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


class SessionInUse(StampmillError):
    """{path} is in use by process {pid}: one process at a time may be this account. Stop the daemon first
    (systemctl stop stampmill), or wait for the other `login` to end."""


class SessionExposed(StampmillError):
    """Others can get into {folder}, and whoever reads {path} is this account. Set telegram.session to a file in a folder of
    its own, which is made when it isn't there; or close this one, if nobody else needs it: chmod 700 {folder}"""

    exit_code = ExitCode.CONFIG_INVALID


class SessionUnreachable(StampmillError):
    """{path} can't be opened ({detail}). Give this user the right to write there, or set telegram.session to another
    place."""


def path_of(config: Config) -> Path:
    """The session's file."""
    path = (config.telegram or Telegram(api_id=0)).session_file(config.paths)
    return path if path.name.endswith(_ENDING) else path.with_name(path.name + _ENDING)


class SessionFile:
    """Holds the session's file for this process, as a context manager. Raises SessionInUse, SessionExposed,
    SessionUnreachable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    def __enter__(self) -> Self:
        try:
            self._prepare()
        except OSError as error:
            raise SessionUnreachable(path=self.path, detail=error.strerror) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets others have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _prepare(self) -> None:
        folder = self.path.parent
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            raise SessionExposed(folder=folder, path=self.path)
        self._take()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE)
        try:
            os.fchmod(descriptor, _PRIVATE_FILE)
        finally:
            os.close(descriptor)

    def _take(self) -> None:
        lock = self.path.with_name(self.path.name + ".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise SessionInUse(path=self.path, pid=owner or "unknown") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._lock = descriptor

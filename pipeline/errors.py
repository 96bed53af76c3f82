"""The errors that reach a person. A class's docstring is its message: what happened, and what to do.

Expected failures of an input are values (model.Reason), not exceptions.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What the command's exit status says."""

    OK = 0  # all is well
    FAILURE = 1  # the command itself failed
    USAGE = 2  # it was called wrongly
    PARTIAL = 3  # it ran, but a job failed or something was rejected
    LOGIN_NEEDED = 4  # Telegram wants a login first
    CONFIG_INVALID = 5  # the configuration can't be used
    UNREACHABLE = 6  # no daemon answers
    INTERRUPTED = 130  # Ctrl-C


class StampmillError(Exception):
    """Something went wrong."""

    exit_code = ExitCode.FAILURE

    def __init__(self, **details: object) -> None:
        self.details = details
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The class's docstring with this error's details filled in, on one line."""
        return " ".join((type(self).__doc__ or "").format(**self.details).split())


class AlreadyRunning(StampmillError):
    """{state} is in use by process {pid} ({command}). One stampmill works on a state directory at a time: wait for
    it to end, or stop it."""


class NetworkFilesystem(StampmillError):
    """{state} lies on {kind}, where locks can't be trusted. Put the state directory on a local disk."""


class LedgerDamaged(StampmillError):
    """The ledger {path} can't be read: {detail}. Nothing was changed. Restore it from a backup, or move it away to
    start with an empty one (results in the library stay)."""


class LedgerLocked(StampmillError):
    """The ledger {path} is locked by another program ({detail}). Close whatever has it open for writing (a database
    browser, a backup that isn't done) and start again; nothing is lost."""


class LedgerNewer(StampmillError):
    """The ledger {path} was written by a newer stampmill (schema {found}, this one knows up to {known}). Upgrade
    stampmill."""


class DiskFailing(StampmillError):
    """Writing to {path} failed ({detail}). The daemon stopped rather than trust that disk; check it before starting
    again. Nothing that was acknowledged is lost."""


class StageUnstable(StampmillError):
    """The {stage} worker died {deaths} times within {window_s:.0f} s without a batch to blame. Its last words: "{last_words}".
    More is in {log}."""


class StateUnwritable(StampmillError):
    """{path} can't be written ({detail}). Give this user the right to write there, or choose another folder."""


class ConfigInvalid(StampmillError):
    """{where}: {problem}"""

    exit_code = ExitCode.CONFIG_INVALID


class UsageError(StampmillError):
    """{problem}"""

    exit_code = ExitCode.USAGE


class Unreachable(StampmillError):
    """No daemon answers at {path} ({detail}). Start it with `stampmill run`, or `systemctl start stampmill`."""

    exit_code = ExitCode.UNREACHABLE


class RequestRefused(StampmillError):
    """{text}"""


class NoLedger(StampmillError):
    """There is no ledger at {path}: no daemon has ever run on this state directory. Start one with `stampmill run`."""


class NoSuchJob(StampmillError):
    """There is no job {job}. `stampmill list` shows those that there are."""


class PortTaken(StampmillError):
    """Metrics can't be served at {address} ({detail}). Choose another metrics.port, or 0 for none."""

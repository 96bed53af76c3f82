"""The systemd unit for this installation. Pure but for reading the template: what is to be written, and why it can't."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.config import GIB, MIB, Config
from pipeline.errors import UsageError

NAME: Final = "stampmill.service"
USER: Final = "stampmill"
STATE_DIRECTORY: Final = "/var/lib/stampmill"  # what StateDirectory= makes
_OURS: Final = "# stampmill's service."
_HOMES: Final = ("/home/", "/root/", "/run/user/")
_BESIDE_WORKERS: Final = GIB  # the supervisor and the Telegram adapter
_WORKERS: Final = 4

# What a user's own manager has no right to, or no need of.
_SYSTEM_ONLY: Final = (
    "User=", "Group=", "StateDirectory", "CapabilityBoundingSet=", "AmbientCapabilities=", "ProtectSystem=",
    "ProtectHome=", "PrivateTmp=", "PrivateDevices=", "DevicePolicy=", "PrivateUsers=", "PrivateIPC=", "PrivateMounts=",
    "ProtectClock=", "ProtectControlGroups=", "ProtectHostname=", "ProtectKernelLogs=", "ProtectKernelModules=",
    "ProtectKernelTunables=", "ProtectProc=", "KeyringMode=", "RemoveIPC=", "Wants=", "After=",
)  # fmt: skip


class Place(NamedTuple):
    """Where the unit is for: the COMMAND it starts, the CONFIG file, the API_HASH file if there is one."""

    command: Path
    config: Path
    api_hash: Path | None = None


def template() -> str:
    """The unit as it is shipped: beside this module in a wheel, in systemd/ of a clone."""
    here = Path(__file__).resolve().parents[1]
    for path in (here / NAME, here.parent / "systemd" / NAME):
        if path.exists():
            return path.read_text(encoding="utf-8")
    raise UsageError(problem=f"This installation has no {NAME}; install stampmill again.")


def is_ours(unit: str) -> bool:
    """Whether UNIT was written by us, so that it may be replaced or deleted."""
    return unit.startswith(_OURS)


def system_unit(unit: str, place: Place, config: Config) -> str:
    """UNIT, the template, for the whole system."""
    lines = _common(unit, place, config)
    folders = [config.paths.state, config.paths.library, *([config.paths.inbox] if config.paths.inbox else [])]
    outside = [folder for folder in folders if not _is_below(folder, STATE_DIRECTORY)]
    if len(outside) == len(folders):
        lines = [line for line in lines if not line.startswith("StateDirectory")]
    at_home = [folder for folder in outside if f"{folder}/".startswith(_HOMES)]
    elsewhere = [folder for folder in outside if folder not in at_home]
    if elsewhere:
        lines = _after(lines, "ProtectSystem=", f"ReadWritePaths={_paths(elsewhere)}")
    if at_home:
        lines = ["ProtectHome=tmpfs" if line == "ProtectHome=yes" else line for line in lines]
        lines = _after(lines, "ProtectHome=", f"BindPaths={_paths(at_home)}")
    return "\n".join(lines) + "\n"


def user_unit(unit: str, place: Place, config: Config) -> str:
    """UNIT, the template, for a user's own manager, which can keep less from it."""
    lines = [line for line in _common(unit, place, config) if not line.startswith(_SYSTEM_ONLY)]
    return "\n".join(lines).replace("WantedBy=multi-user.target", "WantedBy=default.target") + "\n"


def _common(unit: str, place: Place, config: Config) -> list[str]:
    memory = _WORKERS * config.worker.memory_bytes + _BESIDE_WORKERS
    changed = {
        "ExecStart=": f"ExecStart={_word(place.command)} run --config {_word(place.config)}",
        "ExecReload=": f"ExecReload={_word(place.command)} reload --config {_word(place.config)}",
        "MemoryMax=": f"MemoryMax={-(-memory // MIB)}M",
        "TimeoutStopSec=": f"TimeoutStopSec={int(config.stop_timeout_s) + 30}",
    }
    if place.api_hash:
        changed["#LoadCredential="] = f"LoadCredential=api_hash:{_word(place.api_hash)}"
    lines = unit.rstrip("\n").split("\n")
    for start, line in changed.items():
        lines = [line if one.startswith(start) else one for one in lines]
    return lines


def _after(lines: Sequence[str], start: str, new: str) -> list[str]:
    at = next(number for number, line in enumerate(lines) if line.startswith(start))
    return [*lines[: at + 1], new, *lines[at + 1 :]]


def _word(path: Path) -> str:
    """PATH as a word of a unit file."""
    text = str(path).replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if " " in text else text


def _paths(folders: Sequence[str]) -> str:
    return " ".join(
        f'"{folder}"' if " " in folder else folder for folder in (one.replace("%", "%%") for one in folders)
    )


def _is_below(folder: str, parent: str) -> bool:
    return f"{os.path.normpath(folder)}/".startswith(f"{parent}/")


def unreachable(path: Path) -> Path | None:
    """The folder above PATH that another user can't enter, if there is one: a service of its own user couldn't start
    it. The real path counts, links followed."""
    for start in (path, path.resolve()):
        for folder in reversed(start.parents):
            try:
                mode = folder.stat().st_mode
            except OSError:
                return folder
            if not mode & 0o001 or f"{folder}/".startswith(_HOMES):
                return folder
    return None

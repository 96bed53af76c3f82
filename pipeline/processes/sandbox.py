"""What a worker gives up before its stage is loaded: all of the file system but what the stage needs, the network, the rights
to change what it can't write.

An archive reader that is taken over by a hostile file can then reach neither the Telegram session nor the
configuration, the ledger, the library or the control socket. External tools inherit it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import resource
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.config import Command, Config
from pipeline.model import StageName, Upload
from pipeline.processes import landlock, process_tools, seccomp
from pipeline.processes.landlock import READ, RUN, WRITE, Access, Rule

_SYSTEM: Final = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store")
_SYSTEM_FILES: Final = (
    "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
    "/etc/localtime", "/etc/timezone", "/etc/locale.alias", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/mime.types", "/proc", "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm",
    "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip
_WRITABLE_FILES: Final = ("/dev/null", "/dev/full")
_MOST_CHILDREN: Final = 10_000  # of a folder that are looked at one by one, since something in it is kept out
_CODE: Final = (".py", ".so", ".pyd")
_CAPABILITIES: Final = 0x20080522  # the version of the structure below
_KEPT: Final = 0b110  # of root's: to read and write other users' files (where Landlock leaves that)

_libc = ctypes.CDLL(None, use_errno=True)


class Confinement(NamedTuple):
    """What is in force. `readable` are the uploads' own places, as they were given."""

    wanted: bool = False
    landlock: int = 0  # its ABI; 0: none
    seccomp: bool = False
    readable: frozenset[str] = frozenset()

    @property
    def lacking(self) -> str:
        """What of it this kernel can't give, in words; empty where all that is wanted is there."""
        if not self.wanted:
            return ""
        lacks = [] if self.landlock else ["Landlock (it can read and write what this user can)"]
        lacks += [] if self.seccomp else ["seccomp (it can open sockets)"]
        return " and ".join(lacks)

    def reaches(self, upload: Upload) -> bool:
        """Whether UPLOAD can be opened, or at least isn't kept from us by what we have given up ourselves."""
        if not self.landlock:
            return True
        return all(self._opens(path) for path in (upload.path, *(part.path for part in upload.parts)))

    def _opens(self, path: str) -> bool:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
        except PermissionError:
            return path in self.readable  # then it isn't the sandbox that forbids it
        except OSError:
            return True  # the stage says what is wrong with it
        return True


def is_wanted(stage: StageName, config: Config) -> bool:
    """Whether STAGE's worker is confined: extract and convert, but for a configured program that shall not be."""
    command = _command(stage, config)
    reads = stage in (StageName.EXTRACT, StageName.CONVERT)
    return reads and config.worker.sandbox and (command is None or command.sandbox)


def enter(stage: StageName, config: Config, module: str, readable: Sequence[str]) -> Confinement:
    """Confines this process, which must have one thread only. MODULE is still to be imported; READABLE are files and
    folders with uploads. Raises OSError where the kernel has Landlock and refuses."""
    if not is_wanted(stage, config):
        return Confinement()
    work = str(config.paths.work)
    os.environ["TMPDIR"] = tempfile.tempdir = work
    _limit(stage, config)
    _drop_capabilities()
    landlock.no_new_privileges()
    abi = landlock.restrict(dict.fromkeys(_rules(stage, config, module, readable)))
    return Confinement(True, abi, seccomp.restrict(), frozenset(readable))


def _limit(stage: StageName, config: Config) -> None:
    """No core dumps, which would hold what people sent; no file larger than an upload may unpack to."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if stage is StageName.EXTRACT:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = config.extract.max_bytes
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _drop_capabilities() -> None:
    """Where root runs this: it keeps no power over other processes, among it that to read their memory. A program that
    it starts can't get it back, new privileges being given up."""
    header, data = struct.pack("Ii", _CAPABILITIES, 0), ctypes.create_string_buffer(24)
    if _libc.capget(header, data):
        return
    kept = [word & (_KEPT if index < 2 else 0) for index, word in enumerate(struct.unpack("6I", data.raw))]
    _libc.capset(header, struct.pack("6I", *kept))


def _rules(stage: StageName, config: Config, module: str, readable: Sequence[str]) -> Iterator[Rule]:
    hidden = [os.path.realpath(path) for path in (config.paths.state, config.paths.library)]
    yield Rule(str(config.paths.work), WRITE)
    yield Rule(str(config.paths.spool), READ)
    for path in (*readable, *((config.paths.inbox,) if config.paths.inbox else ())):
        yield from (Rule(each, READ) for each in around(os.path.realpath(path), hidden))
    for path in (*_SYSTEM, *_python(), *os.environ.get("PATH", os.defpath).split(":")):
        yield from (Rule(each, RUN) for each in around(os.path.realpath(path), hidden) if os.path.isabs(path))
    for path in (*_code(module), str(config.paths.code), *_SYSTEM_FILES):
        yield Rule(path, READ)
    for path in _WRITABLE_FILES:
        yield Rule(path, READ | Access.WRITE_FILE)
    if command := _command(stage, config):
        yield from _program(command)


def around(path: str, hidden: Sequence[str]) -> Iterator[str]:
    """PATH, or where something HIDDEN lies in it, all that is in it now but that. Paths are absolute and real."""
    if any(path == one or path.startswith(one.rstrip("/") + "/") for one in hidden):
        return
    prefix = path.rstrip("/") + "/"
    inside = [one for one in hidden if one.startswith(prefix)]
    if not inside:
        yield path
        return
    try:
        names = os.listdir(path)[:_MOST_CHILDREN]
    except OSError:
        return
    for name in names:
        yield from around(prefix + name, inside)


def _python() -> Iterator[str]:
    """Where the interpreter and installed packages lie."""
    yield from {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    yield os.path.dirname(os.path.realpath(sys.executable))
    yield from (path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages"))


def _code(module: str) -> Iterator[str]:
    """Code that isn't installed: MODULE's own package, and the packages and modules of the other folders that Python
    looks in. Never such a folder itself, which may be somebody's home."""
    root = importlib.util.find_spec(module.partition(".")[0])
    yield from (root.submodule_search_locations or ()) if root else ()
    for folder in sys.path:
        if not os.path.isabs(folder) or folder.startswith((sys.base_prefix, sys.prefix)):
            continue
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.name.endswith(_CODE) or os.path.exists(f"{entry.path}/__init__.py"):
                yield entry.path


def _command(stage: StageName, config: Config) -> Command | None:
    if stage is StageName.EXTRACT:
        return config.extract.command
    return config.convert.command if stage is StageName.CONVERT else None


def _program(command: Command) -> Iterator[Rule]:
    """What a configured program needs beyond the rest: its own folder, every path in its argv, and its lock, which is
    made here since it can't be later."""
    import shutil

    program = shutil.which(command.argv[0])
    if program is not None:
        lock = process_tools.program_lock(Path(program))
        os.close(process_tools.open_shared_lock(lock))
        yield Rule(str(lock), READ)
        yield Rule(os.path.dirname(os.path.realpath(program)), RUN)
    yield from (Rule(word, RUN) for word in command.argv[1:] if os.path.isabs(word))

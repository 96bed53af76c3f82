"""Small Linux facts that supervisor and workers share: dying with the parent, locks, titles, orphans."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import hashlib
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_NETWORK_FILESYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "fuse.sshfs", "afs"})

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when the thread that started it ends; exits at once if PARENT is gone already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Makes this process the parent of its descendants' orphans, so that none escapes to init."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def tune_garbage_collection() -> None:
    """Leaves what is loaded out of collections, and collects seldom: the loops make no cycles to speak of."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def open_lock(path: Path) -> int:
    """A descriptor of the lock file PATH, made if it isn't there. Not locked, not inherited."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def open_shared_lock(path: Path) -> int:
    """A descriptor of the lock file PATH that any user of this host may lock. An existing one is opened for reading
    only, which is enough to lock it: the kernel refuses more for another's file in a sticky folder."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, 0o666)  # whatever the umask
        return descriptor


def try_lock(descriptor: int) -> bool:
    """Locks DESCRIPTOR for this process and whoever inherits it; False where somebody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(descriptor: int) -> None:
    """Locks DESCRIPTOR, waiting until whoever holds it ends."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def stage_mark(state: str, stage: str) -> str:
    """What a stage's tools carry in their environment, so that their descendants can be found."""
    return f"{Path(state).resolve()}:{stage}"


def program_lock(program: Path) -> Path:
    """The host-wide lock file of PROGRAM, named after its real path: in /run/lock, else the user's runtime folder."""
    real = program.resolve()
    name = f"stampmill-{real.name[:40]}-{hashlib.sha256(bytes(real)).hexdigest()[:16]}.lock"
    for folder in ("/run/lock", os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()):
        if folder and os.access(folder, os.W_OK):
            break
    return Path(folder) / name


def holders(path: Path) -> list[int]:
    """The processes, other than this one, that have the lock file PATH open."""
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return []
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        if _has_open(process, (wanted.st_dev, wanted.st_ino)):
            found.append(int(process.name))
    return found


def _has_open(process: Path, wanted: tuple[int, int]) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            status = descriptor.stat()
        except OSError:
            continue
        if (status.st_dev, status.st_ino) == wanted:
            return True
    return False


def descendants(pid: int) -> list[int]:
    """All live descendants of PID, by the kernel's own lists of children (a scan of /proc for them costs 100 times as
    much)."""
    found: list[int] = []
    pending = [pid]
    while pending:
        children = _children(pending.pop())
        found += children
        pending += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            children += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    except OSError:
        pass  # it ended meanwhile
    return children


def command_of(pid: int) -> str:
    """The command line of PID, shortened; empty when it's gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return ""
    return words.decode(errors="replace").strip()[:120]


def filesystem_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of file system that PATH lies on, as MOUNTS names it; empty where that doesn't list it."""
    best, kind = b"", b""
    resolved = bytes(path.resolve())
    for line in mounts.read_bytes().splitlines():
        _, mount, mount_kind, *_ = line.split(b" ")
        mount = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), mount)
        inside = resolved == mount or resolved.startswith(mount.rstrip(b"/") + b"/")
        if inside and len(mount) >= len(best):
            best, kind = mount, mount_kind
    return os.fsdecode(kind)


def is_network_filesystem(kind: str) -> bool:
    """Whether flock can't be trusted on a file system of KIND."""
    return kind in _NETWORK_FILESYSTEMS


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since the boot; 0 where it doesn't say."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def redirect_output(log: Path) -> None:
    """What libraries print in this process goes to LOG, never onto the operator's screen."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout.flush()


def set_title(title: str) -> None:
    """How this process is called in `ps` and `top`."""
    import setproctitle  # the console script does without

    setproctitle.setproctitle(f"stampmill: {title}")

"""The Linux facts that supervision rests on, tried with real processes. Deaths are awaited, never slept for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.processes import process_tools

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30


@contextlib.contextmanager
def running(script: str, *arguments: str | Path | int) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs SCRIPT, which prints a line when it's ready. It is killed at the end."""
    code = f"import os, subprocess, sys, time\nfrom pathlib import Path\nfrom pipeline.processes import process_tools\n{script}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_for_end(pid: int) -> None:
    """Waits until the process PID, whoever's child it is, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], WAIT_S)[0], f"{pid} lives on"
    finally:
        os.close(descriptor)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


STARTS_A_CHILD = """
child = subprocess.Popen(
    [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    preexec_fn=lambda parent=os.getpid(): process_tools.die_with_parent(parent),
)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_child_dies_with_its_parent() -> None:
    with running(STARTS_A_CHILD) as parent:
        child = int(line(parent))
        assert parent_of(child) == parent.pid
        parent.send_signal(signal.SIGKILL)
        wait_for_end(child)


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    with running("process_tools.die_with_parent(os.getppid() + 1)\nprint('alive')") as child:
        assert line(child) == ""
        assert child.wait(WAIT_S) == 1


def test_orphans_come_to_whoever_adopts_them() -> None:
    script = """
process_tools.adopt_orphans()
shell = subprocess.run(["sh", "-c", "sleep 600 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True)
print(shell.stdout.strip(), flush=True)
sys.stdin.read()
"""
    with running(script) as adopter:
        orphan = int(line(adopter))
        try:
            assert parent_of(orphan) == adopter.pid
        finally:
            os.kill(orphan, signal.SIGKILL)


HOLDS_A_LOCK = """
descriptor = process_tools.open_lock(Path(sys.argv[1]))
assert process_tools.try_lock(descriptor)
print("held", flush=True)
sys.stdin.read()
"""

HANDS_A_LOCK_ON = """
descriptor = process_tools.open_lock(Path(sys.argv[1]))
assert process_tools.try_lock(descriptor)
tool = subprocess.Popen(["sleep", "600"], pass_fds=[descriptor])
stranger = subprocess.Popen(["sleep", "600"])
print(tool.pid, stranger.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    descriptor = process_tools.open_lock(tmp_path / "lock")
    yield descriptor
    os.close(descriptor)


def test_one_process_at_a_time_holds_a_lock_and_death_frees_it(lock: int, tmp_path: Path) -> None:
    with running(HOLDS_A_LOCK, tmp_path / "lock") as holder:
        assert line(holder) == "held"
        assert not process_tools.try_lock(lock)
        holder.send_signal(signal.SIGKILL)
        process_tools.lock(lock)  # waits for it
        assert process_tools.try_lock(lock)


def test_a_tool_keeps_the_lock_that_it_was_handed(lock: int, tmp_path: Path) -> None:
    with running(HANDS_A_LOCK_ON, tmp_path / "lock") as worker:
        tool, stranger = map(int, line(worker).split())
        try:
            assert set(process_tools.holders(tmp_path / "lock")) == {worker.pid, tool}
            worker.kill()
            worker.wait()
            assert not process_tools.try_lock(lock)
            assert process_tools.holders(tmp_path / "lock") == [tool]
        finally:
            os.kill(tool, signal.SIGKILL)
            os.kill(stranger, signal.SIGKILL)
        process_tools.lock(lock)
        assert process_tools.holders(tmp_path / "lock") == []


def test_a_lock_is_private_and_not_inherited_by_chance(lock: int, tmp_path: Path) -> None:
    assert not os.get_inheritable(lock)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_nobody_holds_a_lock_that_isnt_there(tmp_path: Path) -> None:
    assert process_tools.holders(tmp_path / "none") == []


def test_all_descendants_are_found_and_nobody_else() -> None:
    script = """
for _ in range(2):
    subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"])
sys.stdin.read()
"""
    with running(script) as process:
        grandchildren = {int(line(process)) for _ in range(2)}
        found = process_tools.descendants(process.pid)
        try:
            assert grandchildren <= set(found)
            assert {parent_of(pid) for pid in set(found) - grandchildren} == {process.pid}
            assert len(found) == len(set(found)) == 4
        finally:
            for pid in found:
                os.kill(pid, signal.SIGKILL)
    assert process_tools.descendants(process.pid) == []


def test_a_process_is_named_by_its_command() -> None:
    assert "pytest" in process_tools.command_of(os.getpid()) or "python" in process_tools.command_of(os.getpid())
    assert process_tools.command_of(2**22 + 1) == ""


MOUNTS = b"""\
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /mnt nfs4 rw 0 0
/dev/vdb /mnt/disk xfs rw 0 0
server:/b /mnt/two\\040words cifs rw 0 0
server:/c /mnt/\xc3\xbcber nfs rw 0 0
/dev/vdc /mnt/\xc3\xbcber/lokal ext4 rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
server:/d /mnt/over nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/a", "ext4"),
        ("/mnt", "nfs4"),
        ("/mnt/state", "nfs4"),
        ("/mnt/disk/state", "xfs"),
        ("/mnt/diskette", "nfs4"),
        ("/mnt/two words/state", "cifs"),
        ("/mnt/über/state", "nfs"),
        ("/mnt/über/lokal/state", "ext4"),
        ("/mnt/over", "nfs"),
    ],
)
def test_a_path_lies_on_the_mount_nearest_to_it(path: str, kind: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_bytes(MOUNTS)
    assert process_tools.filesystem_of(Path(path), mounts) == kind


def test_this_machines_mounts_can_be_read(tmp_path: Path) -> None:
    assert process_tools.filesystem_of(Path("/proc/self")) == "proc"
    assert not process_tools.is_network_filesystem(process_tools.filesystem_of(tmp_path))


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs"])
def test_network_file_systems_are_known(kind: str) -> None:
    assert process_tools.is_network_filesystem(kind)


def test_a_program_has_one_lock_whatever_it_is_called_by(tmp_path: Path) -> None:
    program, other = tmp_path / "convert-it", tmp_path / "other" / "convert-it"
    other.parent.mkdir()
    program.touch()
    other.touch()
    (tmp_path / "alias").symlink_to(program)
    assert process_tools.program_lock(tmp_path / "alias") == process_tools.program_lock(program)
    assert process_tools.program_lock(program) != process_tools.program_lock(other)
    assert "convert-it" in process_tools.program_lock(program).name


def test_a_stages_mark_tells_state_directories_and_stages_apart(tmp_path: Path) -> None:
    marks = {process_tools.stage_mark(str(tmp_path / state), stage) for state in "ab" for stage in ("extract", "store")}
    assert len(marks) == 4


def test_the_boot_and_its_dead_are_known() -> None:
    assert len(process_tools.boot_id()) == 36
    assert process_tools.oom_kills() >= 0

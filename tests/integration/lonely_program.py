"""A program that can't bear a second copy of itself, run by the tests as an external extract or convert.

Usage: lonely_program.py DIARY INPUT OUTPUT. It notes itself in DIARY while it lives; if another copy is alive it leaves
`DIARY/evidence-<pid>` and exits 66. What it does is said by the first word of INPUT (a file, or the first file of a
folder): ok, slow, fork, hang, stubborn, flood, eat, die, exit:N.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    diary, source, output = map(Path, sys.argv[1:4])
    note = diary / f"alive-{os.getpid()}"
    note.touch()
    for other in diary.glob("alive-*"):
        pid = int(other.name.removeprefix("alive-"))
        if pid != os.getpid() and is_alive(pid, str(diary)):
            (diary / f"evidence-{os.getpid()}-met-{pid}").touch()
            sys.exit(66)
    first = min(source.iterdir()) if source.is_dir() else source
    obey(first.read_text().split()[0], output)
    for index, path in enumerate(sorted(source.iterdir()) if source.is_dir() else [source]):
        (output / f"{index}-made.csv").write_text("a,b\n1,2\n" + path.read_text().replace(" ", ","))
    note.unlink()


def is_alive(pid: int, diary: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state not in "ZX" and {b"lonely_program.py", diary.encode()} <= words(pid)
    except OSError:
        return False


def words(pid: int) -> set[bytes]:
    """The words of a process's command line, the paths of programs shortened to their names."""
    line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return {*line, *(word.rsplit(b"/", 1)[-1] for word in line)}


def slow(output: Path) -> None:
    time.sleep(0.05)


def fork(output: Path) -> None:
    if os.fork() == 0:
        os.setsid()
        os.closerange(3, 100)  # lets go of every lock, as daemons do
        time.sleep(600)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)


def hang(output: Path) -> None:
    time.sleep(600)


def stubborn(output: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def flood(output: Path) -> None:
    block = b"x" * 65536
    for _ in range(400):
        os.write(1, block)
        os.write(2, block)


def eat(output: Path) -> None:
    hoard = []
    while True:
        hoard.append(bytearray(b"\1") * (16 << 20))


def die(output: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def obey(word: str, output: Path) -> None:
    if word.startswith("exit:"):
        sys.stdout.write("I can't read this\n")
        sys.exit(int(word.removeprefix("exit:")))
    acts = {act.__name__: act for act in (slow, fork, hang, stubborn, flood, eat, die)}
    if word in acts:
        acts[word](output)


if __name__ == "__main__":
    main()

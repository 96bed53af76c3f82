"""A real PostgreSQL server and a real S3-compatible one, each for one test process."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []


class PostgresServer:
    """A server of its own in FOLDER, on a socket there. It refuses to run as root, so then it runs as nobody."""

    def __init__(self, folder: Path) -> None:
        self._bin = BINARIES[-1]
        self._data, self._sockets = folder / "data", folder
        self._user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(folder, self._user)
        self._run([self._bin / "initdb", "-D", self._data, "-U", "test", "-A", "trust", "--no-sync", "-E", "UTF8"])
        self.start()

    @property
    def uri(self) -> str:
        return f"postgresql://test@/postgres?host={self._sockets}"

    def _as_user(self, argv: Sequence[object]) -> list[str]:
        words = [str(word) for word in argv]
        return ["setpriv", f"--reuid={self._user}", "--clear-groups", *words] if os.getuid() == 0 else words

    def _run(self, argv: Sequence[object]) -> None:
        subprocess.run(self._as_user(argv), check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        argv = [self._bin / "pg_ctl", "-D", self._data, "-w", "-l", self._sockets / "log", "start"]
        self._run([*argv, "-o", f"-k {self._sockets} -h ''"])

    def kill(self) -> None:
        """Ends all of it at once, as a power cut would."""
        pids = [int((self._data / "postmaster.pid").read_text().split()[0])]
        children = subprocess.run(["pgrep", "-P", str(pids[0])], capture_output=True, text=True, check=False).stdout
        pids += [int(pid) for pid in children.split()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in pids):
            time.sleep(0.01)  # a process that isn't our child has no end that can be awaited
        for lock in (self._data / "postmaster.pid", self._sockets / ".s.PGSQL.5432.lock"):
            lock.unlink(missing_ok=True)  # where nobody reaps zombies, the next one would take ours for alive

    def stop(self) -> None:
        self._run([self._bin / "pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop"])

    @property
    def psql(self) -> Path:
        return self._bin / "psql"

    def query(self, sql: str) -> list[list[str]]:
        argv = [self.psql, self.uri, "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", sql]
        env = {**os.environ, "PGTZ": "UTC"}
        done = subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True, env=env)
        return [line.split("\t") for line in done.stdout.removesuffix("\n").split("\n")]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    if not BINARIES:
        pytest.skip("PostgreSQL isn't installed: sudo apt-get install postgresql")
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/pg-XXXXXX"], text=True).strip())
    folder.chmod(0o755)  # its path must be short for a socket, and reachable for the user it runs as
    server = PostgresServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of a server that speaks S3; it keeps its objects in memory."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if b"Running on" in line:
                break
        threading.Thread(
            target=server.stdout.read, daemon=True
        ).start()  # it tells of each request, and waits if it can't
        yield f"http://127.0.0.1:{port}"
        server.terminate()

"""The daemon as a process: what systemd hears of it, files in and answers out, and nothing lost by `kill -9`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.settings import config_file

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60


class Host:
    """A folder with a configuration, and a socket that systemd would listen at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.config = folder / "config.toml"
        self.configure()
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(str(folder / "notify"))
        self._systemd.settimeout(WAIT_S)
        self.said: list[str] = []
        self.daemons: list[subprocess.Popen[str]] = []

    def configure(self, more: str = "") -> None:
        self.config.write_text(
            f'[paths]\nstate="state"\nlibrary="library"\ninbox="inbox"\n[inbox]\nquiet_s=0.01\n{more}'
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "STAMPMILL_CONFIG": str(self.config), "NO_COLOR": "1"}

    def start(self, *, listen: bool = False, **more: str) -> subprocess.Popen[str]:
        """Starts a daemon, whose log goes to the file `log`, or, to LISTEN to it, into a pipe."""
        log = (self.folder / "log").open("a")
        daemon = subprocess.Popen(
            [sys.executable, "-m", "pipeline.entry", "run"],
            stderr=subprocess.PIPE if listen else log,
            text=True,
            env={**self.environment, "NOTIFY_SOCKET": str(self.folder / "notify"), **more},
        )
        log.close()
        self.daemons.append(daemon)
        return daemon

    def await_word(self, word: str) -> str:
        """Waits until systemd is told WORD."""
        while True:
            said = self._systemd.recv(4096).decode()
            self.said.append(said)
            if said.startswith(word):
                return said

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline.entry", *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=WAIT_S,
        )

    def json(self, *arguments: str | Path) -> object:
        ended = self.run(*arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def drop(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self.drop_file(self.folder / name)

    def drop_file(self, path: str | Path) -> None:
        os.rename(path, self.inbox / Path(path).name)

    def await_jobs(self, count: int) -> list[dict[str, object]]:
        """Waits until COUNT jobs have ended."""
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline.entry", "status", "--watch", "--json"],
            stdout=subprocess.PIPE,
            env=self.environment,
        ) as watch:
            assert watch.stdout is not None
            for line in watch.stdout:
                if len(json.loads(line)["recent"]) >= count:
                    break
            watch.kill()
        found = self.json("list", "--limit", "1000")
        assert isinstance(found, list)
        return found

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()
        self._systemd.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.close()


def test_the_life_of_a_service(host: Host) -> None:
    daemon = host.start(WATCHDOG_USEC="400000")
    host.await_word("READY=1")
    assert host.inbox.is_dir()
    host.await_word("WATCHDOG=1")
    csv = host.folder / "a.csv"
    csv.write_text("a,b\n1,2\n")
    ended = host.run("submit", "--wait", csv)
    assert ended.returncode == 0, ended.stderr
    assert "a.csv  job 1: done; 1 converted" in ended.stdout
    assert csv.exists(), "it was copied"
    assert host.run("status", "--check").stdout.startswith("OK")
    daemon.send_signal(signal.SIGTERM)
    host.await_word("STOPPING=1")
    assert daemon.wait(WAIT_S) == 0
    assert "<6>job=1 done: a.csv" in host.log()
    assert host.log().rstrip().endswith("stopped")


@pytest.mark.needs("7zz")
def test_the_parts_of_an_archive_are_submitted_as_one_job(host: Host) -> None:
    host.start()
    host.await_word("READY=1")
    (host.folder / "p.csv").write_bytes(
        b"a,b\n" + b"".join(b"%d,%s\n" % (n, os.urandom(9).hex().encode()) for n in range(8000))
    )
    subprocess.run(["7zz", "a", "-v20k", "p.7z", "p.csv"], cwd=host.folder, check=True, capture_output=True)
    parts = sorted(host.folder.glob("p.7z.*"))
    assert len(parts) > 2
    ended = host.run("submit", "--wait", *reversed(parts))
    assert ended.returncode == 0, ended.stderr
    assert "p.7z  job 1: done; 1 converted" in ended.stdout
    ended = host.run("submit", "--wait", parts[0], parts[2])
    assert ended.returncode == 3
    assert "p.7z.002" in ended.stdout + ended.stderr


def test_a_second_daemon_is_refused(host: Host) -> None:
    host.start()
    host.await_word("READY=1")
    ended = host.run("run")
    assert ended.returncode == 1
    assert "is in use by process" in ended.stderr
    assert host.run("status").returncode == 0, "the first one's socket is still there"


def test_files_in_the_inbox_are_taken(host: Host) -> None:
    host.start()
    host.await_word("READY=1")
    for number in range(3):
        host.drop(f"{number}.csv", f"a,b\n{number},2\n")
    jobs = host.await_jobs(3)
    assert sorted(str(job["name"]) for job in jobs) == ["0.csv", "1.csv", "2.csv"]
    assert {job["state"] for job in jobs} == {"done"}
    assert list(host.inbox.iterdir()) == []


@pytest.mark.needs("7zz")
def test_volumes_in_the_inbox_are_one_job(host: Host) -> None:
    made = host.folder / "made"
    made.mkdir()
    (made / "a.csv").write_text("a,b\n" + "".join(f"{n},{n * n * 7919 % 10007}\n" for n in range(5000)))
    subprocess.run(["7zz", "a", "-v8k", "x.7z", "a.csv"], cwd=made, check=True, stdout=subprocess.DEVNULL)
    volumes = sorted(made.glob("x.7z.*"))
    host.configure("parts_timeout_s=0.01\n")
    host.inbox.mkdir()
    for path in volumes:
        host.drop_file(path)
    host.start()
    host.await_word("READY=1")
    (job,) = host.await_jobs(1)
    assert (job["name"], job["state"]) == ("x.7z", "done")
    host.drop_file(shutil.copy(host.config, host.folder / "lost.7z.002"))
    missing = next(job for job in host.await_jobs(2) if job["name"] != "x.7z")
    assert (missing["state"], missing["reason"]["code"]) == ("failed", "missing_volume")
    assert "lost.7z.001" in missing["reason"]["text"]


def test_what_lies_in_the_spool_without_a_row_is_taken_up_once(host: Host) -> None:
    """A kill between the move and the ledger's row leaves just this."""
    folder = host.folder / "state" / "spool" / "inbox-18eaff66ab086c43-1873000"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "a.csv").write_text("a,b\n1,2\n")
    for _ in range(2):
        daemon = host.start()
        host.await_word("READY=1")
        (job,) = host.await_jobs(1)
        assert (job["name"], job["state"]) == ("a.csv", "done")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(WAIT_S) == 0


def test_killed_again_and_again_it_loses_and_doubles_nothing(host: Host) -> None:
    names = [f"{number:02}.csv" for number in range(18)]
    for turn in range(4):
        daemon = host.start(listen=True)
        host.await_word("READY=1")
        for name in names[4 * turn : 4 * turn + 4]:
            host.drop(name, f"a,b\n{name},2\n")
        assert daemon.stderr is not None
        arrived = 0
        while arrived <= turn:
            arrived += "arrived" in daemon.stderr.readline()
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()
    host.start()
    host.await_word("READY=1")
    for name in names[16:]:
        host.drop(name, f"a,b\n{name},2\n")
    host.await_jobs(len(names))
    jobs = host.json("list")
    assert isinstance(jobs, list)
    assert sorted(str(job["name"]) for job in jobs) == names
    assert {job["state"] for job in jobs} == {"done"}
    folders = [path for path in (host.folder / "library").glob("????-??/*") if path.is_dir()]
    assert len(folders) == len(names)


def test_held_by_the_operator_over_a_restart(host: Host) -> None:
    daemon = host.start()
    host.await_word("READY=1")
    assert host.json("pause") == {"halt": "paused"}
    csv = host.folder / "a.csv"
    csv.write_text("a,b\n1,2\n")
    host.json("submit", csv)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(WAIT_S) == 0
    host.start()
    host.await_word("READY=1")
    status = host.json("status")
    assert isinstance(status, dict)
    assert (status["halt"], status["done"]) == ("paused", 0)
    host.await_word("STATUS=Paused by the operator")
    assert host.run("cancel", "1").stdout == "job 1: cancelled\n"
    assert host.run("cancel", "1").returncode == ExitCode.FAILURE
    assert host.run("retry", "1").stdout == "job 1: runs again\n"
    assert host.run("drain").returncode == 0
    assert host.run("resume").returncode == 0
    (job,) = host.await_jobs(1)
    assert job["state"] == "done"
    assert "cancelled" in host.run("logs", "1").stdout
    assert host.run("retry", "1").returncode == 0, "a done one is done again, in place of what it was"
    host.run("submit", "--wait", csv)
    assert "result" in host.run("show", "1").stdout


def test_a_new_configuration(host: Host) -> None:
    daemon = host.start()
    host.await_word("READY=1")
    host.configure('[queue]\nbatches = 5\n[disk]\nmin_free = "1 MiB"\n[extract]\nmax_depth = 2\n')
    daemon.send_signal(signal.SIGHUP)
    host.await_word("RELOADING=1")
    host.await_word("READY=1")
    assert host.json("reload") == {"now": [], "at_next_start": ["extract.max_depth"]}
    host.await_word("READY=1")
    assert "changed: disk.min_free, queue.batches" in host.log()
    host.configure("[queue]\nbatches = -1\n")
    ended = host.run("reload")
    assert ended.returncode == ExitCode.CONFIG_INVALID, "the command itself reads it first"
    daemon.send_signal(signal.SIGHUP)
    host.await_word("RELOADING=1")
    host.await_word("READY=1")
    assert "the configuration stays as it was" in host.log()
    host.configure()
    assert host.run("status").returncode == 0


def test_uploads_are_deleted_when_their_time_is_over_and_what_nobody_answered_is_not(host: Host) -> None:
    host.configure("[retention]\nuploads_s = 0.001\n")
    spool = host.folder / "state" / "spool"
    lost = spool / "inbox-18eaff66ab086c43-1873001"
    daemon = host.start()
    host.await_word("READY=1")
    host.drop("a.csv", "a,b\n1,2\n")
    host.await_jobs(1)
    (taken,) = spool.iterdir()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(WAIT_S) == 0
    daemon = host.start()
    host.await_word("READY=1")
    host.await_word("STATUS=Nothing to do")  # its first chores are done
    assert not taken.exists()
    lost.mkdir()
    (lost / "b.csv").write_text("a,b\n1,3\n")
    daemon.kill()
    daemon.wait()
    host.start()
    host.await_word("READY=1")
    assert {job["name"] for job in host.await_jobs(2)} == {"a.csv", "b.csv"}


def test_a_forgotten_job_is_gone_and_the_others_are_not(host: Host) -> None:
    daemon = host.start()
    host.await_word("READY=1")
    for name in ("a", "b"):
        path = host.folder / f"{name}.csv"
        path.write_text(f"v\n{name}\n")
        assert host.run("submit", "--wait", path).returncode == 0
    assert host.run("forget", "1").returncode == ExitCode.USAGE, "nobody was asked, and nobody said --yes"
    ended = host.run("forget", "1", "7", "--yes")
    assert (ended.returncode, ended.stdout) == (ExitCode.FAILURE, "job 1: forgotten\n")
    assert "There is no job 7" in ended.stderr
    assert [path.name for path in (host.folder / "library").glob("20*/*")] == ["2-b"]
    assert [path.name for path in (host.folder / "state" / "spool").glob("*/*")] == ["b.csv"]
    states = {job["job"]: job["state"] for job in host.json("list")}
    assert states == {1: "forgotten", 2: "done"}
    assert host.run("retry", "1").returncode == ExitCode.FAILURE, "its upload is gone"
    again = host.run("submit", "--wait", host.folder / "a.csv")
    assert "job 3: done" in again.stdout, "nobody remembers that file"
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(WAIT_S) == 0


def test_without_a_daemon(host: Host) -> None:
    ended = host.run("status")
    assert ended.returncode == ExitCode.UNREACHABLE
    assert "No daemon answers" in ended.stderr
    assert host.run("status", "--check").stdout.startswith("DOWN")
    assert host.run("pause").returncode == ExitCode.UNREACHABLE
    assert host.run("list").returncode == ExitCode.FAILURE
    assert "no daemon has ever run" in host.run("list").stderr
    host.configure("nonsense")
    assert host.run("run").returncode == ExitCode.CONFIG_INVALID


def test_its_descriptors_and_lines_stay_its_own(host: Host) -> None:
    """No worker holds the control socket, so that nobody connects to a daemon that is gone."""
    daemon = host.start()
    host.await_word("READY=1")
    path = config_file.read(host.config).paths.socket
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(WAIT_S)
    end.connect(str(path))
    end.sendall(b'{"v": 1, "do": "status"}\n')
    assert end.recv(1)
    daemon.kill()
    daemon.wait()
    with end.makefile("rb") as rest:
        assert len(rest.readlines()) == 1
    end.close()
    assert host.run("status").returncode == ExitCode.UNREACHABLE

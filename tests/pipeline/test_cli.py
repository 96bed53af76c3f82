"""The command line as it is called: exit statuses, one sentence for what went wrong, data and words kept apart."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import __version__, cli
from pipeline.errors import DiskFailing, ExitCode, StampmillError, UsageError
from pipeline.machine import process
from pipeline.machine.process import Result
from pipeline.model import Code, Column, JobState, MemberCounts, Reason, TableInfo
from pipeline.results.summary import JobSummary, RunSummary, StageSeconds
from pipeline.verbs import files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    return path


def call(*arguments: object) -> int:
    return int(cli.run([str(one) for one in arguments]))


# Called wrongly


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["process"], "PATH"),
        (["process", "/etc/hostname"], "--into"),
        (["process", "--into", "x"], "PATH"),
        (["process", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"),
        (["query", "SELECT 1"], "--into"),
        (["query", "SELECT 1", "extra", "--into", "x"], "extra"),
    ],
)
def test_a_wrong_call_is_told_on_stderr(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert list(tmp_path.iterdir()) == [], "a wrong call makes nothing"


def test_types_may_only_be_what_they_can_be(drop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("process", drop, "--into", tmp_path / "out", "--types", "fancy") == ExitCode.USAGE
    assert capsys.readouterr().err == "error: --types is 'fancy'; it can be auto or text.\n"
    assert not (tmp_path / "out").exists()


def test_a_path_that_isnt_there_is_named(drop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("process", drop, tmp_path / "gone.zip", "--into", tmp_path / "out") == ExitCode.USAGE
    assert "gone.zip doesn't exist." in capsys.readouterr().err


def test_a_folder_is_not_read_and_written_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["process", str(tmp_path), "--into", f"{tmp_path}/."]) == ExitCode.USAGE
    assert "Choose another folder for --into." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dangling_link_is_a_job_and_no_wrong_call(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    files.require_present([tmp_path / "link"], tmp_path / "out")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_password_file_that_cant_be_read_is_a_wrong_call(
    content: bytes | None, drop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    code = call("process", drop, "--into", tmp_path / "out", "--password-file", tmp_path / "secret")
    assert code == ExitCode.USAGE
    assert "can't be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "password"),
    [("pass word \n", "pass word "), ("pässword\r\nsecond line\n", "pässword"), ("\n", None), ("", None)],
)
def test_the_password_is_the_files_first_line(content: str, password: str | None, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert files.password_in(tmp_path / "secret") == password


def test_no_password_file_is_no_password() -> None:
    assert files.password_in(None) is None


# What it says of itself


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == f"stampmill {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["process", "--help"], ["query", "-h"]])
def test_help_is_data(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*arguments) == 0
    out, err = capsys.readouterr()
    assert "Usage" in out
    assert err == ""


# What went wrong


def fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> Result:
        raise error

    monkeypatch.setattr(process, "process", fail)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DiskFailing(path="/data/[x]", detail="EIO"), ExitCode.FAILURE, "Writing to /data/[x] failed (EIO)."),
        (UsageError(problem="No."), ExitCode.USAGE, "No."),
        (StampmillError(), ExitCode.FAILURE, "Something went wrong."),
    ],
)
def test_an_error_is_one_sentence(
    error: StampmillError,
    code: ExitCode,
    says: str,
    drop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fails_with(error, monkeypatch)
    assert call("process", drop, "--into", tmp_path / "out") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {says}")
    assert err.count("\n") == 1


def test_ctrl_c_outside_the_loop(drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(KeyboardInterrupt(), monkeypatch)
    assert call("process", drop, "--into", tmp_path / "out") == 130


@pytest.mark.parametrize("make", ["file", "under a file"])
def test_a_library_that_cant_be_made_is_said_so(
    make: str, drop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = drop if make == "file" else drop / "library"
    assert call("process", drop, "--into", into) == ExitCode.FAILURE
    assert "can't be written" in capsys.readouterr().err


def test_a_bug_is_a_traceback(drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(ZeroDivisionError(), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        call("process", drop, "--into", tmp_path / "out")


# What came out


TABLE = TableInfo(
    name="or[b]ders", path="p", source="x.zip!/\x1b[31morders.csv", rows=12345, rejected=2,
    columns=(Column(name="id", type="BIGINT"),),
)  # fmt: skip


def job(number: int, state: JobState, **fields: object) -> JobSummary:
    standard = {
        "name": "x.zip",
        "sha256": "ab",
        "duplicate_of": None,
        "reason": None,
        "tables": (),
        "members": MemberCounts(),
        "seconds": StageSeconds(),
    }
    return JobSummary(job=number, state=state, **{**standard, **fields})  # type: ignore[arg-type]


SUMMARY = RunSummary(
    jobs=(
        job(1, JobState.DONE, tables=(TABLE,), members=MemberCounts(total=4, converted=1, kept=2, rejected=1)),
        job(2, JobState.FAILED, reason=Reason(code=Code.ENCRYPTED, text="Needs [a] password.", next_step="Send it.")),
        job(3, JobState.DUPLICATE, duplicate_of=1),
    )
)


def gives(summary: RunSummary, monkeypatch: pytest.MonkeyPatch, *, interrupted: bool = False) -> None:
    monkeypatch.setattr(process, "process", lambda *arguments, **options: Result(summary, interrupted))


def test_the_summary_tells_each_job(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gives(SUMMARY, monkeypatch)
    assert call("process", drop, "--into", tmp_path) == 3
    out, _ = capsys.readouterr()
    assert "x.zip  job 1: done; 1 converted, 2 kept, 1 rejected" in out
    assert re.search(r"or\[b\]ders +12,345 +2 +1 +\\x1b\[31morders.csv", out)
    assert "Needs [a] password. Send it. (encrypted)" in out
    assert "job 3: the same as job 1" in out
    assert "\x1b" not in out


def test_json_is_one_object_on_stdout_and_nothing_else(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gives(SUMMARY, monkeypatch)
    assert call("process", drop, "--into", tmp_path, "--json") == ExitCode.PARTIAL
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    assert [one["state"] for one in json.loads(out)["jobs"]] == ["done", "failed", "duplicate"]


def test_interrupted_says_how_to_go_on(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gives(RunSummary(jobs=()), monkeypatch, interrupted=True)
    assert call("process", drop, "--into", tmp_path) == ExitCode.INTERRUPTED
    out, err = capsys.readouterr()
    assert out == ""
    assert "the same command goes on where this one was" in err


# As a process of its own


def stampmill(*arguments: str | Path, **options: object) -> list[str | Path]:
    return [sys.executable, "-m", "pipeline.entry", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str, tmp_path: Path) -> None:
    run = subprocess.run(
        stampmill(),
        capture_output=True,
        text=True,
        env=environment(_STAMPMILL_COMPLETE=f"source_{shell}"),
        cwd=tmp_path,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "_STAMPMILL_COMPLETE" in run.stdout and "stampmill" in run.stdout


def test_verbs_and_values_are_completed(tmp_path: Path) -> None:
    for words, expected in (("stampmill un", ["uninstall-service"]), ("stampmill list --state du", ["duplicate"])):
        completing = environment(
            _STAMPMILL_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
        )
        run = subprocess.run(stampmill(), capture_output=True, text=True, env=completing, cwd=tmp_path)
        assert run.stdout.split() == expected


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(
        stampmill("--version"), stdout=write, stderr=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
    )
    os.close(write)
    assert "Traceback" not in run.stderr
    assert run.returncode in (0, 1)


def test_errors_are_plain_where_colour_is_unwanted_and_off_a_terminal(tmp_path: Path) -> None:
    run = subprocess.run(
        stampmill("process", "gone", "--into", "x"), capture_output=True, env=environment(), cwd=tmp_path
    )
    assert b"\x1b" not in run.stderr
    main, end = pty.openpty()
    run = subprocess.run(
        stampmill("process", "gone", "--into", "x"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=end,
        env=environment(NO_COLOR="1", TERM="xterm-256color"),
        cwd=tmp_path,
    )
    os.close(end)
    said = os.read(main, 10_000)
    os.close(main)
    assert run.returncode == 2
    assert b"gone doesn't exist." in said
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]m", said), "a colour"


def test_show_prints_the_first_rows_of_each_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("name,n\n" + "".join(f"row {n},{n}\n" for n in range(9)))
    library = tmp_path / "tables"
    assert cli.run(["process", str(tmp_path / "a.csv"), "--into", str(library)]) == 0
    capsys.readouterr()
    assert cli.run(["show", "1", "--into", str(library), "--rows", "2"]) == 0
    shown = capsys.readouterr().out
    assert "t1_a" in shown
    assert ("row 1" in shown, "row 2" in shown) == (True, False)


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, True), (b"y\n", 0, False)])
def test_forget_asks_first(tmp_path: Path, answer: bytes, code: int, left: bool) -> None:
    (tmp_path / "a.csv").write_text("n\n1\n")
    assert cli.run(["process", str(tmp_path / "a.csv"), "--into", str(tmp_path / "tables")]) == 0
    main, end = pty.openpty()
    os.write(main, answer)
    run = subprocess.run(
        stampmill("forget", "1", "--into", "tables"),
        stdin=end,
        stdout=subprocess.DEVNULL,
        stderr=end,
        env=environment(NO_COLOR="1"),
        cwd=tmp_path,
    )
    os.close(end)
    said = os.read(main, 10_000)
    os.close(main)
    assert run.returncode == code, said
    assert b"the upload of job 1" in said
    assert bool(list((tmp_path / "tables").glob("20*/1-a"))) == left

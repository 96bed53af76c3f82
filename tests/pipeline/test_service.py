"""The unit, the doctor of a service, the commented configuration and the documents made from the code."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sqlite3
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline import __version__, cli
from pipeline.config import GIB, Config, Paths, Telegram, Worker
from pipeline.daemon import service
from pipeline.doctor import service as doctor_service
from pipeline.doctor.checks import Check, Level
from pipeline.errors import ExitCode
from pipeline.settings import config_file, config_writer
from pipeline.verbs import manual
from pipeline.verbs import service as service_verbs

ROOT = Path(__file__).resolve().parents[2]
PLACE = service.Place(Path("/opt/stampmill/bin/stampmill"), Path("/etc/stampmill/config.toml"))
AT_HOME = "/home/ann/tables"


def config(
    state: str = "/var/lib/stampmill/state", library: str = "/var/lib/stampmill/library", **fields: Any
) -> Config:
    return Config(paths=Paths(state=state, library=library, inbox=fields.pop("inbox", "")), **fields)


def settings(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


# The unit


def test_the_shipped_unit_is_what_is_written_where_all_is_as_usual() -> None:
    unit = service.system_unit(service.template(), PLACE, config())
    assert unit == service.template()
    assert service.is_ours(unit)


def test_the_unit_follows_the_configuration() -> None:
    place = service.Place(Path("/srv/a b/stampmill"), Path("/etc/100%.toml"), Path("/etc/stampmill/api_hash"))
    changed = config(library="/srv/tables", inbox=AT_HOME, worker=Worker(memory_bytes=3 * GIB), stop_timeout_s=300.0)
    found = settings(service.system_unit(service.template(), place, changed))
    assert found["ExecStart"] == ['"/srv/a b/stampmill" run --config /etc/100%%.toml']
    assert found["LoadCredential"] == ["api_hash:/etc/stampmill/api_hash"]
    assert found["MemoryMax"] == [f"{13 * 1024}M"]
    assert found["TimeoutStopSec"] == ["330"]
    assert (found["ReadWritePaths"], found["BindPaths"]) == (["/srv/tables"], [AT_HOME])
    assert found["ProtectHome"] == ["tmpfs"]
    assert found["StateDirectory"] == ["stampmill"]


def test_without_anything_in_var_lib_there_is_no_state_directory() -> None:
    assert "StateDirectory" not in settings(service.system_unit(service.template(), PLACE, config("/srv/s", "/srv/l")))


def test_a_users_unit_asks_for_nothing_that_only_root_can_give() -> None:
    found = settings(service.user_unit(service.template(), PLACE, config()))
    assert found["WantedBy"] == ["default.target"]
    assert found["Type"] == ["notify"] and found["WatchdogSec"] and found["NoNewPrivileges"] == ["yes"]
    assert not found.keys() & {"User", "ProtectSystem", "CapabilityBoundingSet", "StateDirectory", "PrivateUsers"}


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_it_sound_and_hardly_exposed(tmp_path: Path) -> None:
    command = tmp_path / "stampmill"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    for made in (service.system_unit, service.user_unit):
        unit = tmp_path / service.NAME
        text = made(service.template(), PLACE._replace(command=command), config())
        unit.write_text(text.replace("Documentation=man:stampmill(1)\n", ""))
        verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
        assert (verified.returncode, verified.stderr) == (0, "")
    unit.write_text(service.template())
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=13", str(unit)], capture_output=True, text=True
    )
    assert judged.returncode == 0, judged.stdout.splitlines()[-1]


def test_a_command_that_another_user_cant_reach_is_found_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "stampmill").touch()
    assert service.unreachable(tmp_path / "stampmill") is not None
    assert service.unreachable(Path("/usr/bin/env")) is None


# The doctor


def checks(made: list[Check], what: str) -> list[tuple[Level, str]]:
    return [(check.level, check.found) for check in made if check.what == what]


@pytest.fixture
def place(tmp_path: Path) -> tuple[Config, Path]:
    for name in ("state", "library", "inbox"):
        (tmp_path / name).mkdir(mode=0o700)
    path = tmp_path / "config.toml"
    path.write_text('[paths]\nstate = "state"\nlibrary = "library"\ninbox = "inbox"\n')
    return config_file.read(path), path


def test_modes_that_let_others_in_fail_with_what_mends_them(place: tuple[Config, Path]) -> None:
    one, path = place
    assert checks(doctor_service.examine(one, path), "configuration") == [(Level.PASS, f"{path}: no mistakes")]
    path.chmod(0o666)
    Path(one.paths.state).chmod(0o755)
    found = doctor_service.examine(one, path)
    assert {check.what for check in found if check.level is Level.FAIL} >= {"configuration", "state directory"}
    assert all(check.mend for check in found if check.level is not Level.PASS)


def test_secrets_that_others_can_read_are_named_and_never_shown(tmp_path: Path, place: tuple[Config, Path]) -> None:
    one, path = place
    secret = tmp_path / "api_hash"
    secret.write_text("0123456789abcdef")
    secret.chmod(0o644)
    telegram = Telegram(api_id=1, api_hash_file=str(secret), server="127.0.0.1:1")
    found = doctor_service.examine(Config(paths=one.paths, telegram=telegram), path)
    assert checks(found, "api_hash") == [(Level.FAIL, f"{secret} can be read by others")]
    assert checks(found, "session") == [(Level.FAIL, "nobody has logged in yet")]
    assert checks(found, "Telegram")[0][0] is Level.FAIL
    assert "0123456789abcdef" not in str(found)
    secret.chmod(stat.S_IRUSR)
    found = doctor_service.examine(Config(paths=one.paths, telegram=telegram), path)
    assert checks(found, "api_hash")[0][0] is Level.PASS


def test_a_clock_that_went_back_is_noticed(place: tuple[Config, Path]) -> None:
    one, path = place
    with sqlite3.connect(one.paths.ledger) as db:
        db.execute("CREATE TABLE job (id INTEGER, arrived_at REAL, ended_at REAL)")
        db.execute("INSERT INTO job VALUES (1, ?, NULL)", (time.time() + 3600,))
    db.close()
    assert checks(doctor_service.examine(one, path), "clock") == [
        (Level.FAIL, "60 minutes behind what the ledger has seen")
    ]


def test_old_tools_with_holes_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: tuple[Config, Path]
) -> None:
    for name, version in (("7zz", "7-Zip (z) 22.01"), ("unrar", "UNRAR 6.21 freeware")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{version}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = doctor_service.examine(*place)
    assert checks(found, "7zz") == [(Level.WARN, f"{tmp_path}/7zz is version 22.1, which has known holes")]
    assert checks(found, "unrar") == []


def test_a_wrong_configuration_is_one_failed_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run(["doctor", "--config", str(tmp_path / "gone.toml")]) == ExitCode.FAILURE
    out = capsys.readouterr().out
    assert out.startswith("fail  configuration: ")
    assert "stampmill config check --config" in out


# What is written for people


def test_the_commented_file_is_the_configuration_itself() -> None:
    values = {"paths.state": "/s", "paths.library": "/l"}
    text = config_writer.commented(values)
    made, problems = config_file.parse(text, Path("/"))
    assert problems == []
    assert made == config("/s", "/l")
    named = set(re.findall(r"^(?:# )?(\w+) = ", text, flags=re.MULTILINE))
    assert named >= {name.rpartition(".")[2] for section in config_writer.sections() for name, *_ in section.keys}
    assert max(map(len, text.splitlines())) <= 120


def test_what_it_says_of_defaults_is_true() -> None:
    for section in config_writer.sections():
        head = f"[{section.name}]\n" if section.name else ""
        head += "".join(f"{leaf(key)} = {any_value(key)}\n" for key in section.keys if key.is_required)
        paths = "" if section.name == "paths" else 'paths.state = "/s"\npaths.library = "/l"\n'
        plain, problems = config_file.parse(f"{paths}{head}", Path("/"))
        assert problems == []
        for key in section.keys:
            default = config_writer.shown(key)
            if default and not key.is_required:
                made, problems = config_file.parse(f"{paths}{head}{leaf(key)} = {default}\n", Path("/"))
                assert (made, problems) == (plain, []), key.name


def leaf(key: config_writer.Key) -> str:
    return key.name.rpartition(".")[2]


def any_value(key: config_writer.Key) -> str:
    """Something that KEY, which must be set, may be."""
    if key.allowed.startswith("a list"):
        return '["x"]'
    return "1" if key.allowed.startswith("a whole number") else f'"/{leaf(key)}"'


def test_every_key_says_what_it_is() -> None:
    unsaid = [key.name for section in config_writer.sections() for key in section.keys if not key.words]
    assert unsaid == []


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("configuration.md", config_writer.reference),
        ("stampmill.1", lambda: manual.page(typer.main.get_command(cli.app), __version__)),
    ],
)
def test_documents_are_as_the_code_makes_them(name: str, made: Any) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == made(), "scripts/docs writes it anew"


def test_every_verb_has_an_example_and_every_option_its_words() -> None:
    def verbs(group: Any) -> Any:
        for name, command in group.commands.items():
            yield from verbs(command) if hasattr(command, "commands") else [(name, command)]

    for name, command in verbs(typer.main.get_command(cli.app)):
        assert "Example: stampmill " in command.help or "Example: sudo stampmill " in command.help, name
        assert all(parameter.help for parameter in command.params), name


@pytest.mark.needs("man")
def test_man_can_read_the_page() -> None:
    if shutil.which("groff") is None:
        pytest.skip("not installed: groff")
    shown = subprocess.run(
        ["man", "--warnings", "-l", str(ROOT / "docs" / "stampmill.1")], capture_output=True, text=True,
        env={**os.environ, "MANWIDTH": "80"},
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "submit PATH..." in shown.stdout


# init


def test_init_writes_a_configuration_and_says_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "etc" / "config.toml"
    call = ["init", "--config", str(path), "--library", "/l", "--inbox", "/i", "--state", "/s", "--api-id", "7"]
    assert cli.run(call) == 0
    out, err = capsys.readouterr()
    assert out == f"Wrote {path}.\n"
    assert "stampmill login" in err and "install-service" in err
    assert not stat.S_IMODE(path.stat().st_mode) & 0o027
    made = config_file.read(path)
    assert (made.paths.library, made.paths.inbox, made.paths.state) == ("/l", "/i", "/s")
    assert made.telegram is not None and made.telegram.api_id == 7
    assert cli.run(call) == ExitCode.USAGE, "it replaces nothing by itself"
    assert cli.run([*call, "--force"]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_roots_login_made_becomes_the_services(
    place: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Config(paths=place[0].paths, telegram=Telegram(api_id=1))
    assert one.telegram is not None
    session = one.telegram.session_file(one.paths)
    session.parent.mkdir(mode=0o700)
    session.touch(mode=0o600)
    with monkeypatch.context() as patch:
        patch.setattr(service, "USER", "nobody-of-this-name")
        service_verbs.hand_over(one)
        assert session.stat().st_uid == 0, "not before there is such a user"
    monkeypatch.setattr(service, "USER", "nobody")
    service_verbs.hand_over(one)
    owner = pwd.getpwnam("nobody").pw_uid
    assert {path.stat().st_uid for path in (session, session.parent, Path(one.paths.state))} == {owner}
    assert place[1].stat().st_uid == 0


def test_init_refuses_folders_that_cant_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    assert cli.run(["init", "--config", str(path), "--library", "/x", "--state", "/x"]) == ExitCode.USAGE
    assert "the same folder" in capsys.readouterr().err
    assert not path.exists()

"""The doctor says what a hostile file could reach."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.config import Command, Extract, Worker
from pipeline.doctor import checks as doctor
from pipeline.doctor.checks import Check, Level
from pipeline.machine.process import config_for
from pipeline.processes import landlock, seccomp


def checks(**settings: object) -> list[Check]:
    config = msgspec.structs.replace(config_for(Path("out")), **settings)
    return list(doctor._sandbox(config))


def test_a_kernel_that_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 4)
    monkeypatch.setattr(seccomp, "available", lambda: True)
    assert checks() == [Check(what="sandbox", level=Level.PASS, found="Landlock (version 4) and seccomp")]


def test_a_kernel_without_it_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    (one,) = checks()
    assert one.level is Level.WARN
    assert "lacks Landlock" in one.found
    assert "lsm=landlock" in one.mend


def test_what_is_configured_to_run_free_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 7)
    monkeypatch.setattr(seccomp, "available", lambda: True)
    free, _ = checks(worker=Worker(sandbox=False))
    assert free.level is Level.WARN
    assert free.found.startswith("unconfined: extract and convert,")
    free, _ = checks(extract=Extract(command=Command(argv=("x",))))
    assert free.found.startswith("unconfined: extract,")
    (one,) = checks(extract=Extract(command=Command(argv=("x",), sandbox=True)))
    assert one.level is Level.PASS

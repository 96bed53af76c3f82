"""What becomes of the account: ended logins stop the adapter and nothing else, and a new login is taken up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.telegram_house import ROOT, House, house
from tests.telegram_server import Act, Fault

CSV = b"id,name\n1,apple\n"


def stampmill(home: House, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.entry", *words, "--config", str(home.folder / "config.toml")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def status(home: House) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stampmill(home, "status", "--json").stdout.splitlines()[0])
    return found


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (406, "AUTH_KEY_DUPLICATED"),
        (401, "AUTH_KEY_UNREGISTERED"),
        (401, "SESSION_REVOKED"),
        (401, "USER_DEACTIVATED_BAN"),
    ],
)
def test_an_ended_login_stops_the_adapter_and_nothing_else(tmp_path: Path, code: int, text: str) -> None:
    with house(tmp_path, reconcile_s=1.0) as home:
        home.final(home.anna, home.send(home.anna, CSV, name="before.csv"))
        home.server.refuse_keys(home.account, code, text)
        home.server.drop_connections()
        home.wait(lambda: text in home.words() and not home.adapter_pid())
        calls = len(home.server.calls())
        drop = tmp_path / "later.csv"
        drop.write_bytes(b"id,name\n2,pear\n")
        submitted = stampmill(home, "submit", "--wait", str(drop))
        assert submitted.returncode == 0, submitted.stderr
        home.wait(lambda: "stampmill login" in status(home)["telegram_trouble"] or "anned" in status(home)["telegram"])
        home.wait(lambda: status(home)["telegram"].startswith("stopped"))
        assert not home.adapter_pid()
        assert len(home.server.calls()) == calls  # no retry loop


def test_a_frozen_account_stops_the_adapter(tmp_path: Path) -> None:
    with house(tmp_path, reconcile_s=1.0) as home:
        home.final(home.anna, home.send(home.anna, CSV, name="before.csv"))
        home.server.fault(Fault("*", Act.ERROR, times=10**6, code=420, text="FROZEN_METHOD_INVALID"))
        home.wait(lambda: "FROZEN" in home.words() and not home.adapter_pid())


def test_without_a_login_the_daemon_says_what_to_do_and_takes_it_up_once_there_is_one(tmp_path: Path) -> None:
    with house(tmp_path, started=False, reconcile_s=1.0) as home:
        session = home.config.telegram.session_file(home.config.paths)  # type: ignore[union-attr]
        kept = session.read_bytes()
        session.unlink()
        home.start()
        home.wait(lambda: "stampmill login" in home.words() and not home.adapter_pid())
        message = home.send(home.anna, CSV, name="early.csv")
        time.sleep(0.05)  # so that the new file's time differs from the old one's
        session.write_bytes(kept)
        assert "1 row" in home.final(home.anna, message).text


def test_the_server_is_away_for_a_while(tmp_path: Path) -> None:
    with house(tmp_path, reconcile_s=60.0) as home:
        home.final(home.anna, home.send(home.anna, CSV, name="before.csv"))
        home.server.restart(down_s=3.0)
        message = home.send(home.anna, b"id,name\n3,fig\n", name="after.csv", push=False)
        assert "fig" in home.final(home.anna, message).text


def test_what_was_edited_or_deleted_while_nobody_listened(tmp_path: Path) -> None:
    with house(tmp_path, reconcile_s=60.0, parts_timeout_s=600.0) as home:
        parts = [
            home.send(home.anna, b"7z\xbc\xaf\x27\x1c" + bytes(6) + b"\xff" * 16, name=f"{name}.7z.001")
            for name in ("keep", "drop")
        ]
        home.wait(lambda: len(home.rows("SELECT 1 FROM telegram_message WHERE fetched = 1")) == 2)
        home.stop()
        home.server.delete_message(home.account, parts[1], push=False)
        home.server.edit_text(home.account, parts[0], "table: kept", push=False)
        home.start()
        home.wait(lambda: home.rows("SELECT 1 FROM telegram_upload WHERE state = 'withdrawn'"))
        home.wait(lambda: [row for row in home.rows("SELECT wishes FROM telegram_message") if b"kept" in row[0]])

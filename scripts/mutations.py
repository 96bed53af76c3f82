"""The command behind scripts/mutations: each guard of the machine is broken in a copy, and tests must go red for it.

A mutation names the text it replaces; where that isn't there any more (once and only once), the script says so and fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
COPIED: Final = ("pipeline", "stages", "bot_adapter", "tests", "scripts", "pyproject.toml", "README.md")
TIMEOUT_S: Final = 900

CUTS: Final = "tests/crash/test_power_cut.py"
POINTS: Final = "tests/crash/test_failpoints.py"
PROCESSES: Final = "tests/crash/test_processes.py"
CHARGES: Final = "tests/pipeline/test_charges.py"
TRANSFERS: Final = "tests/bot_adapter/test_transfers.py"
DOWNLOAD_FILE: Final = "tests/bot_adapter/test_download_file.py"
CLIENT: Final = "tests/bot_adapter/test_client.py"


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """In FILE, OLD becomes NEW; TESTS are pytest's arguments, of which one at least must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS: Final = (
    Mutation(
        name="ledger commits with NORMAL",
        file="pipeline/machine/ledger.py",
        old='synchronous: str = "FULL"',
        new='synchronous: str = "NORMAL"',
        tests=(CUTS, "-k", "told_and_synced or before_it_is_sent"),
    ),
    Mutation(
        name="new state folder's name not synced",
        file="pipeline/machine/recovery.py",
        old="        os.fsync(descriptor)\n",
        new="        pass\n",
        tests=(CUTS, "-k", "told_and_synced"),
    ),
    Mutation(
        name="an end is told before its commit",
        file="pipeline/machine/supervisor.py",
        old="        changes = self.scheduler.take_changes()\n",
        new="        for ended in self.scheduler.ended:\n            self.on_ended(ended)\n"
        "        self.scheduler.ended.clear()\n        changes = self.scheduler.take_changes()\n",
        tests=(CUTS, "-k", "told_and_synced"),
    ),
    Mutation(
        name="orders are sent before their commit",
        file="pipeline/machine/supervisor.py",
        old="        self._commit()\n        self._send(sends)\n",
        new="        self._send(sends)\n        self._commit()\n",
        tests=(CUTS, "-k", "before_it_is_sent"),
    ),
    Mutation(
        name="publish without its files' fsync",
        file="stages/store/tree.py",
        old="            os.fsync(fd)\n",
        new="            pass\n",
        tests=(CUTS, "-k", "told_and_synced"),
    ),
    Mutation(
        name="publish without its folders' fsync",
        file="stages/store/tree.py",
        old='            (partial(files.sync, f"{self._incoming.tree}/{folder}") for folder in folders),\n',
        new="",
        tests=(CUTS, "-k", "told_and_synced"),
    ),
    Mutation(
        name="publish without its renames' fsync",
        file="stages/store/stage.py",
        old="        self._sync_parents(library, home.folder, incoming)\n",
        new="",
        tests=(CUTS, "-k", "told_and_synced"),
    ),
    Mutation(
        name="intermediate output trusted after a reboot",
        file="pipeline/machine/recovery.py",
        old='    if before not in ("", boot_id):\n',
        new="    if False:\n",
        tests=(CUTS, "-k", "start_after_a_cut"),
    ),
    Mutation(
        name="tools don't inherit the stage's lock",
        file="pipeline/processes/tools.py",
        old="pass_fds=tuple(locks)",
        new="pass_fds=()",
        tests=(PROCESSES, "-k", "hold_the_stages_lock"),
    ),
    Mutation(
        name="no parent-death signal",
        file="pipeline/processes/process_tools.py",
        old="    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)\n",
        new="",
        tests=(PROCESSES, "-k", "frozen_worker"),
    ),
    Mutation(
        name="orphans are left before a restart of a stage",
        file="pipeline/machine/supervisor.py",
        old="                    recovery.end_orphans(self.config, [worker.stage])\n",
        new="",
        tests=(PROCESSES, "-k", "before_the_stage_goes_on"),
    ),
    Mutation(
        name="orphans are left at a start",
        file="pipeline/machine/supervisor.py",
        old="        recovery.end_orphans(self.config, list(StageName))\n",
        new="",
        tests=(PROCESSES, "-k", "by_the_next_start"),
    ),
    Mutation(
        name="workers take no lock",
        file="pipeline/processes/worker.py",
        old="    process_tools.lock(lock)\n",
        new="",
        tests=(PROCESSES, "-k", "hold_the_stages_lock"),
    ),
    Mutation(
        name="the sweep deletes owned names",
        file="pipeline/machine/recovery.py",
        old="        if entry not in names and not entry.startswith(prefixes):\n",
        new="        if not entry.startswith(prefixes):\n",
        tests=(POINTS, "-k", "second_death"),
    ),
    Mutation(
        name="a kill from outside charges its batch like a crash",
        file="pipeline/machine/charges.py",
        old="return self.exit_code == -signal.SIGKILL and not self.ours and not self.out_of_memory",
        new="return False",
        tests=(CHARGES,),
    ),
    Mutation(
        name="telegram: a part counts though its hash is wrong",
        file="bot_adapter/download.py",
        old="            self._wrong(piece)\n            return\n",
        new="            pass\n",
        tests=(TRANSFERS, "-k", "wrong_bytes or stay_wrong"),
    ),
    Mutation(
        name="telegram: a CDN's redirect isn't told apart",
        file="bot_adapter/download.py",
        old="            raise DownloadRefused(_cdn())\n",
        new="            return\n",
        tests=(TRANSFERS, "-k", "cdn"),
    ),
    Mutation(
        name="telegram: a part is marked durable before its sync",
        file="bot_adapter/download_file.py",
        old="        os.fdatasync(self._file)\n",
        new="        pass\n",
        tests=(DOWNLOAD_FILE, "-k", "durable_before"),
    ),
    Mutation(
        name="telegram: a map of another boot is believed",
        file="bot_adapter/download_file.py",
        old="if same_boot or state == _DURABLE else",
        new="if state else",
        tests=(DOWNLOAD_FILE, "-k", "power_cut"),
    ),
    Mutation(
        name="telegram: another document's map is believed",
        file="bot_adapter/download_file.py",
        old=" or (document, size) != self._identity or",
        new=" or",
        tests=(DOWNLOAD_FILE, "-k", "another_file"),
    ),
    Mutation(
        name="telegram: the disk isn't reserved",
        file="bot_adapter/download_file.py",
        old="            os.posix_fallocate(self._file, 0, self.size)\n",
        new="            os.ftruncate(self._file, self.size)\n",
        tests=(DOWNLOAD_FILE, "-k", "reserved"),
    ),
    Mutation(
        name="telegram: a flood wait isn't waited for",
        file="bot_adapter/transfer_window.py",
        old="        self._paused_until = max(self._paused_until, now + seconds)\n",
        new="",
        tests=(TRANSFERS, "-k", "flood"),
    ),
    Mutation(
        name="telegram: a request without an answer waits for ever",
        file="bot_adapter/transfer_lane.py",
        old="                asked.overtaken = -1\n                asked.future.cancel()\n",
        new="                pass\n",
        tests=(TRANSFERS, "-k", "patience_for_one"),
    ),
    Mutation(
        name="telegram: a dead connection is kept",
        file="bot_adapter/transfer_lane.py",
        old="            await self.close()\n            return\n",
        new="            return\n",
        tests=(TRANSFERS, "-k", "says_nothing"),
    ),
    Mutation(
        name="telegram: files take no turns",
        file="bot_adapter/transfer_window.py",
        old="            one = self._line.popleft()\n            self._line.append(one)\n            yield one\n",
        new="            yield self._line[_]\n",
        tests=("tests/bot_adapter/test_transfer_window.py", "-k", "turn"),
    ),
    Mutation(
        name="telegram: the session is readable",
        file="bot_adapter/session.py",
        old="            os.fchmod(descriptor, _PRIVATE_FILE)\n",
        new="            pass\n",
        tests=(CLIENT, "-k", "was_readable"),
    ),
    Mutation(
        name="telegram: two processes have the session",
        file="bot_adapter/session.py",
        old="            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        new="            pass\n",
        tests=(CLIENT, "-k", "one_process"),
    ),
    Mutation(
        name="telegram: another server gets the login",
        file="bot_adapter/client.py",
        old="        session.auth_key = None\n        session.save()\n        known",
        new="        session.save()\n        known",
        tests=(CLIENT, "-k", "another_server"),
    ),
)


def copy_tree(target: Path) -> None:
    """The working tree as it is, without what tools have left in it."""
    target.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, target / name)


def apply(mutation: Mutation, tree: Path) -> str:
    """Breaks TREE; what is wrong with the mutation itself, or nothing."""
    path = tree / mutation.file
    text = path.read_text("utf-8")
    if text.count(mutation.old) != 1:
        return f"its text is {text.count(mutation.old)} times in {mutation.file}"
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    return ""


def run(tree: Path, tests: tuple[str, ...]) -> tuple[int, list[str], str]:
    """pytest's status in TREE, the tests that failed, and its output. A mutation may hang; that is a failure too."""
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    env = {**os.environ, "PYTHONPATH": str(tree)}
    pytest = subprocess.Popen(argv, cwd=tree, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output = pytest.communicate(timeout=TIMEOUT_S)[0]
    except subprocess.TimeoutExpired:
        os.killpg(pytest.pid, signal.SIGKILL)
        return 1, ["nothing ended in time"], pytest.communicate()[0]
    failed = re.findall(r"^(?:FAILED|ERROR) \S*?(\w+\.py\S*(?: [^-\n][^\n]*?)?)(?: - |$)", output, re.MULTILINE)
    return pytest.returncode, failed, output


def try_one(mutation: Mutation, scratch: Path) -> tuple[bool, str]:
    """Whether MUTATION was noticed, and by whom."""
    tree = scratch / "tree"
    copy_tree(tree)
    try:
        trouble = apply(mutation, tree)
        if trouble:
            return False, trouble
        status, failed, output = run(tree, mutation.tests)
    finally:
        shutil.rmtree(tree)
    if status == 1 and failed:
        return True, failed[0]
    return False, "SURVIVED" if status == 0 else f"pytest ended with {status}: {output[-300:]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only mutations whose name has NAME in it")
    asked = parser.parse_args()
    chosen = [one for one in MUTATIONS if not asked.names or any(name in one.name for name in asked.names)]
    width = max(len(one.name) for one in chosen)
    all_noticed = True
    with tempfile.TemporaryDirectory(prefix="stampmill-mutations-") as scratch:
        for mutation in chosen:
            noticed, by = try_one(mutation, Path(scratch))
            all_noticed = all_noticed and noticed
            print(f"{mutation.name:{width}}  {'caught by' if noticed else 'NOT CAUGHT:'} {by}", flush=True)
    return 0 if all_noticed else 1


if __name__ == "__main__":
    sys.exit(main())

"""Archives that other projects ship in what pip downloads, each held against what other programs read in it.

`scripts/corpora` does the same with the sources of many more, and prints how they compare.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.volumes import group
from scripts.samples import references, sources
from scripts.samples.judge import EMPTY, Verdict, judge
from scripts.samples.ours import Ours

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".bench" / "corpora"
PACKAGES = ("rarfile", "libarchive-c", "inflate64")
# Why we may read less than a program that has nothing to complain of.
REASONED = {"unsafe", "unsupported", "encrypted", "missing_volume", "bomb"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    one = Ours(tmp_path_factory.mktemp("corpora"))
    yield one
    one.close()


def archives(folder: Path) -> Iterator[list[Path]]:
    for at in sorted({path.parent for path in folder.rglob("*") if path.is_file()}):
        names = sorted(path.name for path in at.iterdir() if path.is_file())
        for one in group(names):
            yield [at / names[index] for index in one.files]


@pytest.mark.needs("7zz", "unrar", "bsdtar")
@pytest.mark.parametrize("package", PACKAGES)
def test_what_other_projects_ship(ours: Ours, package: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        count = sources.fetch("pypi", package, CACHE / f"pypi-{package}")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{package} can't be downloaded here")
    assert count
    seen = 0
    for paths in archives(CACHE / f"pypi-{package}"):
        answer, found = ours.ask(paths), {}
        for name, reader in references.readers(paths[0]):
            found[name] = references.asked(reader, paths[0])
        verdict, by, detail = judge(answer, found)
        codes = {answer["code"], *(member[3] for member in answer["members"])} - {None}
        assert verdict not in (Verdict.FATAL, Verdict.UNSAID), (paths[0], by, detail)
        assert verdict is not Verdict.FEWER or codes <= REASONED, (paths[0], by, detail)
        seen += 1
    assert seen


def answer(*members: tuple[str, str, str | None], code: str | None = None, **more: Any) -> dict[str, Any]:
    """Ours: members as (path, hash, code)."""
    return {"code": code, "text": "", "members": [(path, 1, sha, why, "") for path, sha, why in members], **more}


A, B = ("a", 1, "hash-a", False), ("b", 1, "hash-b", False)
BOTH = (("x!/a", "hash-a", None), ("x!/b", "hash-b", None))


@pytest.mark.parametrize(
    ("ours_made", "others", "verdict"),
    [
        (answer(*BOTH), {"7zz": (True, [A, B])}, Verdict.SAME),
        (answer(*BOTH), {"7zz": (False, [A, B])}, Verdict.UNSAID),
        (answer(*BOTH, ("x", "", "truncated")), {"7zz": (False, [A, B])}, Verdict.SAME),
        (answer(*BOTH), {}, Verdict.MORE),
        (answer(BOTH[0]), {"7zz": (True, [A, B])}, Verdict.FEWER),
        (answer(BOTH[0], ("x!/b", "", "corrupt")), {"7zz": (False, [A, B])}, Verdict.FEWER_DAMAGED),
        (answer(BOTH[0], ("x!/b", "", "unsafe")), {"7zz": (True, [A, B])}, Verdict.SAME),
        (answer(("x!/c", "hash-a", None)), {"7zz": (True, [A])}, Verdict.NAMES),
        (answer(("x!/b!/c", "hash-c", None)), {"7zz": (True, [("b", 1, "hash-b", True)])}, Verdict.SAME),
        (answer(("x", "hash-x", None)), {"7zz": (True, [A])}, Verdict.WHOLE),
        (answer(("x", "hash-x", None)), {"7zz": (False, [])}, Verdict.PLAIN),
        (answer(code="bomb"), {"7zz": (True, [A])}, Verdict.LIMIT),
        (answer(code="encrypted"), {"7zz": (False, [("a", 0, EMPTY, False)])}, Verdict.ENCRYPTED),
        (answer(code="corrupt"), {"7zz": (False, [])}, Verdict.REFUSED),
        (answer(*BOTH, fatal="crash -11"), {"7zz": (True, [A, B])}, Verdict.FATAL),
    ],
)
def test_verdicts(ours_made: dict[str, Any], others: dict[str, Any], verdict: Verdict) -> None:
    assert judge(ours_made, others).verdict is verdict


def test_uuencoded_samples_are_decoded() -> None:
    text = b"a comment\nbegin 644 x.zip\n#8V%T\n`\nend\n"
    assert sources.uudecoded(text) == b"cat"
    assert sources.uudecoded(b"no such thing") == b""

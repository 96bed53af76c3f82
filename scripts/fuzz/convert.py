"""Feeds convert's sniffer, counter and readers with mutated files: whatever comes, each record is a row or a reject.

    python scripts/fuzz/convert.py {all,sniffer,counter,lines,csv,json,ndjson,xlsx,xlsb,xls,ods,parquet,arrow,stream,
                                    orc,avro,sqlite,xml,html,mbox,log} [--seconds 60] [--seed 1] [--keep DIR]

Each kind runs in a process of its own, so that a crash of an engine, or a file that takes longer than 10 s or more than
1 GiB of memory, is seen, kept in DIR with its traceback, and doesn't end the run. Prints how many inputs each kind had,
and how many of them were converted, kept and rejected.
"""

# ruff: noqa: PLC0415 - a child imports only what its kind needs
from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.fuzz.seeds import seeds  # noqa: E402 - the root has to be known first

HANG_S = 10
MEMORY = 1024 * 1024  # KiB that a process may have held
TOKENS = [
    b"\0", b"\n", b"\r\n", b"\r", b'"', b"'", b",", b";", b"\t", b"|", b"\\", b"{", b"}", b"[", b"]", b":", b"<", b">",
    b"&", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\x80", b"NaN", b"1e999", b"-", b"null", b"0x", b"9" * 40, b"</", b"#",
    b"\x1f", b'""', b"\xd8\x00", b"=", b"<!DOCTYPE x>", b"]]>", b"\\u0000", b"\\ud800", b"2024-02-30", b"From ",
]  # fmt: skip


def mutated_within(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """The zip archive DATA with one of its members spoilt, and all checksums right again."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as after:
        names = before.namelist()
        spoilt = chance.choice(names)
        for name in names:
            member = before.read(name)
            after.writestr(name, mutated(chance, member, [member, *others]) if name == spoilt else member)
    return made.getvalue()


def mutated(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """DATA spoilt in one place or some."""
    found = bytearray(data)
    for _turn in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randint(0, len(found))
        way = chance.randrange(7)
        if way == 0:
            found[at:at] = chance.choice(TOKENS)
        elif way == 1 and found:
            found[at - 1] = chance.randrange(256)
        elif way == 2:
            del found[at : at + chance.choice((1, 2, 8, 100))]
        elif way == 3:
            piece = found[at : at + chance.choice((1, 8, 64))]
            found[at:at] = piece * chance.choice((1, 2, 50))
        elif way == 4:
            found[at:] = found[at : at + chance.randrange(1 + len(found))]
        elif way == 5 and found:
            bit = chance.randrange(len(found) * 8)
            found[bit // 8] ^= 1 << bit % 8
        else:
            found[at:at] = chance.choice(others)[: chance.choice((4, 40, 400))]
    return bytes(found)


# ---- What is tried: each takes an input and gives a word for what came of it, or raises


def try_sniffer(data: bytes) -> str:
    from stages.convert.text import delimited, encoding

    found = encoding.detect(data, is_whole=True)
    if found is None:
        return "no text"
    plan = delimited.make_plan_of(encoding.to_utf8(data[found.bom :], found.codec))
    return "a plan" if plan else "no plan"


def try_counter(data: bytes) -> str:
    """What the fast count vouches for is what the exact reader reads, record by record."""
    from stages.convert.text import counter
    from stages.convert.text.records import Dialect, read_record

    marks = counter.mark(data, ord(","), ord('"')) if data else None
    if marks is None:
        return "empty"
    end = counter.last_before(marks.ends, marks.irregular if marks.irregular >= 0 else len(data)) + 1
    records, fields, at = counter.count_before(marks.ends, end), 0, 0
    for _record in range(records):
        record = read_record(data, at, Dialect(b",", b'"', False), 0)
        fields += len(record.fields)
        at = record.end
    assert at == end, f"{records} records end at {at}, not at {end}"
    assert fields == counter.count_before(marks.delimiters, end) + records
    return "regular" if marks.irregular < 0 else "irregular"


def try_lines(data: bytes) -> str:
    """Lines that the engine accounts for without a proof are each what the exact reader takes."""
    from stages.convert.json_files import json_engine, json_rows
    from stages.convert.text.encoding import is_utf8
    from stages.convert.values.shapes import shape_of

    lines = [line for line in data.split(b"\n") if line.strip()]
    good = []
    for line in lines:
        try:
            good.append(json_rows.decode(line))
        except json_rows.NOT_JSON:
            continue
    records = [value for value in good if type(value) is dict]
    names = list(dict.fromkeys(key for value in records for key in value))
    if not names or not is_utf8(data):
        return "no records"
    shapes = {name: shape_of([value.get(name) for value in records], is_top=True) for name in names}
    found = json_engine.read(json_rows.joined(lines), shapes)
    assert found is None or len(good) == len(lines), "a line that isn't JSON was taken"
    return "not taken" if found is None else "taken"


def try_stage(kind: str, home: Path) -> Callable[[bytes], str]:
    """What converts a file of KIND below HOME."""
    from tests.stages.convert.conftest import Bench

    suffix = {"mbox": ".mbox", "log": ".log", "arrow": ".feather", "stream": ".arrows"}.get(kind, f".{kind}")
    bench = Bench(home)

    def run(data: bytes) -> str:
        done = bench.convert({f"a{suffix}": data})  # which proves the account of each table
        for path in bench.work.iterdir():
            _remove(path)
        reason = done.member.reason
        assert reason is None or reason.code != "internal", "a bug, whose traceback is above"
        return done.member.outcome

    return run


def _remove(path: Path) -> None:
    import shutil

    shutil.rmtree(path) if path.is_dir() else path.unlink()


KINDS = ["sniffer", "counter", "lines", "csv", "json", "ndjson", "xlsx", "xlsb", "xls", "ods", "parquet", "arrow", "stream", "orc",
         "avro", "sqlite", "xml", "html", "mbox", "log"]  # fmt: skip


PACKED = ("xlsx", "xlsb", "ods")  # kinds that are zip archives


def child(kind: str, seconds: float, seed: int, now: Path) -> None:
    """Tries mutated files of KIND; the one at work lies at NOW."""
    chance = random.Random(seed)
    bases = seeds(kind)
    direct = {"sniffer": try_sniffer, "counter": try_counter, "lines": try_lines}
    run = direct[kind] if kind in direct else try_stage(kind, Path(tempfile.mkdtemp(dir=now.parent)))
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    slowest = 0.0
    while time.monotonic() < end:
        base = chance.choice(bases)
        is_within = kind in PACKED and chance.random() < 0.8
        data = mutated_within(chance, base, []) if is_within else mutated(chance, base, bases)
        now.write_bytes(data)
        start = time.monotonic()
        try:
            counts[run(data)] += 1
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MEMORY, "more than 1 GiB of memory"
        except Exception:  # noqa: BLE001 - it is what is looked for
            traceback.print_exc()
            print(json.dumps({**counts, "slowest": slowest}), flush=True)
            sys.exit(3)
        slowest = max(slowest, time.monotonic() - start)
    print(json.dumps({**counts, "slowest": slowest}), flush=True)


def fuzz(kind: str, seconds: float, seed: int, keep: Path) -> None:
    """Runs children for KIND until SECONDS are over, and prints what came of it."""
    total: Counter[str] = Counter()
    slowest, failures = 0.0, 0
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        now = Path(folder) / "now"
        while (left := end - time.monotonic()) > 0:
            argv = [sys.executable, __file__, "--child", kind, str(left), str(seed), str(now)]
            now.unlink(missing_ok=True)
            said_on = Path(folder) / "stderr"  # a pipe would be full of an engine's panics, and the child wait for room
            with said_on.open("wb") as err_file:
                process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=err_file)
            while process.poll() is None:
                time.sleep(0.2)
                if now.exists() and time.time() - now.stat().st_mtime > HANG_S:
                    process.kill()
            out, _ = process.communicate()
            if process.returncode:
                failures += 1
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{kind}-{seed}").write_bytes(now.read_bytes())
                (keep / f"{kind}-{seed}.txt").write_bytes(
                    said_on.read_bytes()[-20_000:] + f"ended by {process.returncode}".encode()
                )
            said = json.loads(out.splitlines()[-1]) if out.strip() else {}
            slowest = max(slowest, said.pop("slowest", 0.0))
            total.update(said)
            seed += 1
    words = ", ".join(f"{count:,} {word}" for word, count in total.most_common())
    print(f"{kind:8} {total.total():8,} inputs: {words}; slowest {slowest:.2f} s; {failures} failures", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["all", *KINDS])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    asked = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = "1"
    for kind in KINDS if asked.kind == "all" else [asked.kind]:
        fuzz(kind, asked.seconds, asked.seed, asked.keep)


if __name__ == "__main__":
    main()

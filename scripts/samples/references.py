"""What other programs read in an archive: one child process that prints, as JSON, what each of them made of it.

    python -m scripts.samples.references FILE

Each program gets an empty folder, 20 s and 1 GiB. Of each regular file: its name, its size, its SHA-256, and whether it
is an archive itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from stages.extract.detect import HEAD, format_of

WALL_S = 20
MAX_BYTES = 1 << 30
CHUNK = 1 << 20
Found = tuple[str, int, str, bool]  # name, size, hash, whether it's an archive


def hashed(name: str, file: IO[bytes]) -> Found:
    """What is told of FILE. Raises OSError where it's larger than a sample should be."""
    digest, size, head = hashlib.sha256(), 0, b""
    while data := file.read(CHUNK):
        head = head or data[:HEAD]
        digest.update(data)
        size += len(data)
        if size > MAX_BYTES:
            raise OSError("too large")
    return name, size, digest.hexdigest(), format_of(head) is not None


def by_zipfile(path: Path, found: list[Found]) -> bool:
    """Python's zipfile. As all of them: fills FOUND and tells whether there was nothing to complain of."""
    good = True
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            try:
                with archive.open(info) as file:
                    found.append(hashed(info.filename, file))
            except Exception:  # noqa: BLE001 - it raises whatever its libraries do
                good = False
    return good


def by_tarfile(path: Path, found: list[Found]) -> bool:
    """Python's tarfile."""
    with tarfile.open(path) as archive:
        return _from_tar(archive, found)


def _from_tar(archive: tarfile.TarFile, found: list[Found]) -> bool:
    for member in archive:
        if member.isfile() and (file := archive.extractfile(member)) is not None:
            found += [hashed(member.name, file)]
    return True


def by_bsdtar(path: Path, found: list[Found]) -> bool:
    """libarchive, which makes a tar of any archive."""
    argv = ["timeout", "-k1", str(WALL_S), "bsdtar", "-cf", "-", "--format", "pax", f"@{path}"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                _from_tar(archive, found)
            while process.stdout.read(CHUNK):
                pass
        except BaseException:
            process.kill()
            raise
        _, words = process.communicate(timeout=WALL_S)
    return process.returncode == 0 and not words.strip()


def _by_program(*words: str) -> Callable[[Path, list[Found]], bool]:
    def read(path: Path, found: list[Found]) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            filled = [part.format(path=path, into=folder) for part in words]
            argv = ["timeout", "-k1", str(WALL_S), *filled]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            found.extend(_in_folder(Path(folder)))
        return done.returncode == 0

    return read


def _in_folder(folder: Path) -> Iterator[Found]:
    for at, folders, files in os.walk(folder):
        for name in folders:
            with contextlib.suppress(OSError):
                os.chmod(os.path.join(at, name), 0o700)
        for name in files:
            path = Path(at, name)
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    path.chmod(0o600)
                    with path.open("rb") as file:
                        yield hashed(str(path.relative_to(folder)), file)


READERS: dict[str, Callable[[Path, list[Found]], bool]] = {
    "zipfile": by_zipfile,
    "tarfile": by_tarfile,
    "bsdtar": by_bsdtar,
    "7zz": _by_program("7zz", "x", "-y", "-bd", "-p", "-o{into}", "--", "{path}"),
    "unrar": _by_program("unrar", "x", "-y", "-idq", "-p-", "--", "{path}", "{into}/"),
    "unzip": _by_program("unzip", "-qq", "-o", "-P", "", "{path}", "-d", "{into}"),
    "xz": _by_program("sh", "-c", 'xz -dc -- "{path}" > "{into}/x"'),
    "zstd": _by_program("sh", "-c", 'zstd -qdc -- "{path}" > "{into}/x"'),
}


def readers(path: Path) -> Iterator[tuple[str, Callable[[Path, list[Found]], bool]]]:
    """The programs that are here and may know what PATH is."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    wants = {"xz": head[:5] == b"\xfd7zXZ", "zstd": head[1:4] == b"\xb5\x2f\xfd", "unrar": b"Rar!" in head}
    for name, reader in READERS.items():
        if wants.get(name, True) and (name.endswith("file") or shutil.which(name)):
            yield name, reader


def asked(reader: Callable[[Path, list[Found]], bool], path: Path) -> tuple[bool, list[Found]]:
    """Whether READER found nothing to complain of in PATH, and its files."""
    found: list[Found] = []
    try:
        return reader(path, found), found
    except Exception:  # noqa: BLE001 - it doesn't read it, whatever it says
        return False, found


def main() -> None:
    """Prints {program: [whether it was content, its files]}."""
    path = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_BYTES, MAX_BYTES))
    json.dump({name: asked(reader, path) for name, reader in readers(path)}, sys.stdout)


if __name__ == "__main__":
    main()

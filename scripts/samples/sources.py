"""Where archive samples come from: the sources of other projects, by apt, pip and npm, and what of them is a sample."""

# ruff: noqa: SIM905 - names read better as words than as a hundred literals
from __future__ import annotations

import binascii
import contextlib
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

DEBIAN_SOURCES = """
    advancecomp arj ark atool binutils bzip2 busybox cabextract clamav cpio dpkg dtrx file golang-1.19
    golang-github-bodgit-sevenzip golang-github-cavaliercoder-go-cpio golang-github-dsnet-compress
    golang-github-klauspost-compress golang-github-mholt-archiver golang-github-nwaples-rardecode
    golang-github-pierrec-lz4 golang-github-sassoftware-go-rpmutils golang-github-ulikunitz-xz gnome-autoar gzip
    haskell-tar haskell-zip-archive innoextract karchive lhasa libarchive libarchive-cpio-perl
    libarchive-extract-perl libarchive-tar-wrapper-perl libarchive-zip-perl libcommons-compress-java
    libcommons-vfs-java libio-compress-perl libjunrar-java libmspack libplexus-archiver-java libunarr libxz-java
    libzip libzip4j-java libzstd lz4 lzip lziprecover minizip ncompress node-adm-zip node-extract-zip node-jszip
    node-tar node-tar-stream node-unbzip2-stream node-yauzl p7zip perl php8.2 pigz plzip python-libarchive-c
    python3.11 quazip rpm ruby-archive-zip ruby-minitar ruby-zip rust-tar rust-zip snappy star tar unar unshield
    unzip wimlib xz-utils zip zipios++ zoo zopfli zutils zziplib
""".split()
PYPI = """
    acefile arpy backports.zstd cpiofile dtrx extractcode fs indexed-bzip2 inflate64 isal lhafile libarchive-c lz4
    multivolumefile patool py7zr pybcj pycdlib pyppmd python-lzo pyunpack pyzipper rapidgzip rarfile ratarmount
    ratarmountcore stream-unzip unblob unix-ar zipfile-deflate64 zipfile36 zstandard
""".split()
NPM = """
    7zip-min @zip.js/zip.js adm-zip decompress decompress-tar decompress-tarbz2 decompress-targz decompress-unzip
    extract-zip fflate is-zip jszip libarchive.js lzma-native node-stream-zip node-unrar-js pako seek-bzip tar
    tar-fs tar-stream unbzip2-stream unzipper yauzl zip-local
""".split()
SUFFIXES = """
    .7z .ace .apk .ar .arc .arj .bz .bz2 .cab .cbr .cbz .cpio .crx .deb .docx .ear .epub .exe .gz .iso .jar .lha
    .lrz .lz .lz4 .lzh .lzma .lzo .lzs .nupkg .odt .par .rar .rpm .rz .sfx .sit .squashfs .tar .tbz .tbz2 .tgz .tlz
    .txz .tzst .war .warc .whl .wim .xar .xlsx .xpi .xz .z .zip .zipx .zoo .zst .zstd .001 .002 .003 .z01 .z02 .r00
    .r01
""".split()
MAX_BYTES = 64 << 20
_VOLUME = re.compile(r"\.(\d{3}|[rz]\d\d|part\d+\.rar)$", re.IGNORECASE)


def fetch(kind: str, name: str, into: Path) -> int:
    """Fetches the samples of NAME by KIND (deb, pypi, npm) into the folder INTO, unless they are there; how many."""
    if not into.is_dir():
        partial = into.with_name(f".{into.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        cache = partial / ".download"
        cache.mkdir(parents=True)
        {"deb": _apt, "pypi": _pip, "npm": _npm}[kind](name, cache)
        packages = [path for path in sorted(cache.iterdir()) if path.suffix not in (".dsc", ".asc", ".sig")]
        if not packages:
            raise OSError("nothing came")
        for package in packages:
            take(package, partial)
        shutil.rmtree(cache)
        partial.rename(into)
    return sum(path.is_file() for path in into.rglob("*"))


def _apt(name: str, cache: Path) -> None:
    """Of a mirror that lacks some of its files, what there is will do."""
    with contextlib.suppress(subprocess.CalledProcessError):
        _run("apt-get", "source", "-qq", "--download-only", name, cwd=cache)


def _pip(name: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        options = ("-q", "--no-deps", "--no-binary", name, "-d", str(cache))
        _run(f"{folder}/bin/python", "-m", "pip", "download", *options, name, cwd=cache)


def _npm(name: str, cache: Path) -> None:
    _run("npm", "pack", "--silent", name, cwd=cache)


def _run(*argv: str, cwd: Path) -> None:
    subprocess.run(argv, cwd=cwd, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def take(package: Path, into: Path) -> None:
    """Copies what is a sample in PACKAGE, a tar or a zip, to INTO, under the paths that it has there."""
    for name, data in _files(package):
        parts = [part for part in Path(name).parts if part not in ("..", "/", ".")][1:]
        if not parts or len(data) > MAX_BYTES:
            continue
        decoded = uudecoded(data) if parts[-1].endswith(".uu") else b""
        last = parts[-1].removesuffix(".uu") if decoded else parts[-1]
        if is_sample(last, decoded or data):
            path = into.joinpath(*parts[:-1], last)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(decoded or data)


def _files(package: Path) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(package):
        with zipfile.ZipFile(package) as archive:
            yield from ((info.filename, archive.read(info)) for info in archive.infolist() if not info.is_dir())
        return
    with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(package.read_bytes())) as tar:
        for member in tar:
            if member.isfile() and member.size <= MAX_BYTES and (file := tar.extractfile(member)) is not None:
                yield member.name, file.read()


def is_sample(name: str, data: bytes) -> bool:
    """Whether the file NAME is an archive by its content, or calls itself one."""
    from stages.extract.detect import HEAD, format_of  # noqa: PLC0415 - needs the project's environment

    lower = name.lower()
    return bool(data) and (
        lower.endswith(tuple(SUFFIXES)) or bool(_VOLUME.search(lower)) or format_of(data[:HEAD]) is not None
    )


def uudecoded(data: bytes) -> bytes:
    """The file in the uuencoded DATA; nothing where it isn't."""
    lines = iter(data.splitlines())
    if not any(line.startswith(b"begin ") for line in lines):
        return b""
    made = bytearray()
    for line in lines:
        if line.strip() == b"end":
            break
        with contextlib.suppress(binascii.Error):
            made += _uu_line(line)
    return bytes(made)


def _uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:  # some encoders leave more behind the line than its length says
        return binascii.a2b_uu(line[: (((line[0] - 32) & 63) * 4 + 5) // 3])

"""Parts that clients upload, and the files made of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from telethon.tl import functions, types

from tests.telegram_server.content import Bytes
from tests.telegram_server.errors import bad
from tests.telegram_server.methods import Methods, Request

methods = Methods()
PART_BYTES = 512 * 1024
PARTS = 4000
PARTS_PREMIUM = 8000
BIG_BYTES = 10 * 1024 * 1024


@dataclass
class Parts:
    """What came of one file id."""

    big: bool
    data: dict[int, bytes] = field(default_factory=dict)
    total: int = -1


@methods.add(functions.upload.SaveFilePartRequest)
def save_part(request: Request) -> Any:
    return _save(request, big=False)


@methods.add(functions.upload.SaveBigFilePartRequest)
def save_big_part(request: Request) -> Any:
    total = request.tl.file_total_parts
    if total == 0 or total > _most(request):
        raise bad("FILE_PARTS_INVALID")
    _save(request, big=True).total = total
    return True


def _most(request: Request) -> int:
    return PARTS_PREMIUM if request.me.premium else PARTS


def _save(request: Request, *, big: bool) -> Any:
    tl = request.tl
    if not 0 <= tl.file_part < _most(request):
        raise bad("FILE_PART_INVALID")
    if not tl.bytes:
        raise bad("FILE_PART_EMPTY")
    if len(tl.bytes) > PART_BYTES:
        raise bad("FILE_PART_TOO_BIG")
    parts = request.server.uploads.setdefault((request.me.id, tl.file_id), Parts(big))
    if parts.big != big:
        raise bad("FILE_ID_INVALID")
    parts.data[tl.file_part] = tl.bytes
    return parts if big else True


def finished(request: Request, file: Any) -> Bytes:
    """What the parts that an InputFile or InputFileBig names make together."""
    parts = request.server.uploads.get((request.me.id, file.id))
    if parts is None or parts.big != isinstance(file, types.InputFileBig):
        raise bad("FILE_PARTS_INVALID")
    missing = [number for number in range(file.parts) if number not in parts.data]
    if missing:
        raise bad(f"FILE_PART_{missing[0]}_MISSING")
    sizes = [len(parts.data[number]) for number in range(file.parts)]
    if len(sizes) > 1 and (sizes[0] % 1024 or PART_BYTES % sizes[0] or set(sizes[:-1]) != {sizes[0]}):
        raise bad("FILE_PART_SIZE_CHANGED" if len(set(sizes[:-1])) > 1 else "FILE_PART_SIZE_INVALID")
    if sizes[-1] > sizes[0]:
        raise bad("FILE_PART_LENGTH_INVALID")
    data = b"".join(parts.data[number] for number in range(file.parts))
    if not parts.big and len(data) > BIG_BYTES:
        raise bad("FILE_PARTS_INVALID")
    if not parts.big and file.md5_checksum and file.md5_checksum != hashlib.md5(data).hexdigest():
        raise bad("MD5_CHECKSUM_INVALID")
    del request.server.uploads[request.me.id, file.id]
    return Bytes(data)

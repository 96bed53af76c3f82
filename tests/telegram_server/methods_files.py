"""Files going out: getFile by Telegram's rules of alignment, and the hashes of their parts."""

from __future__ import annotations

import hashlib
from typing import Any

from telethon.tl import functions, types

from tests.telegram_server.errors import RpcRefused, bad
from tests.telegram_server.methods import Methods, Request
from tests.telegram_server.world import Stored, now

methods = Methods()
MIB = 1024 * 1024
HASHED_BYTES = 128 * 1024
HASHES = 8  # in one answer


@methods.add(functions.upload.GetFileRequest)
def get_file(request: Request) -> Any:
    tl = request.tl
    stored = _located(request)
    _aligned(tl.offset, tl.limit, precise=bool(tl.precise))
    _crowded(request)
    manners = request.server.manners
    if manners.part_limit and tl.limit > manners.part_limit:
        raise bad("LIMIT_INVALID")
    data = stored.content.read(tl.offset, min(tl.limit, manners.part_bytes or tl.limit))
    request.server.served(stored.id, tl.offset, len(data))
    return types.upload.File(types.storage.FileUnknown(), int(now().timestamp()), data)


def _aligned(offset: int, limit: int, *, precise: bool) -> None:
    unit = 1024 if precise else 4096
    if offset < 0 or offset % unit:
        raise bad("OFFSET_INVALID")
    if limit <= 0 or limit % unit or limit > MIB or (not precise and MIB % limit):
        raise bad("LIMIT_INVALID")
    if offset // MIB != (offset + limit - 1) // MIB:
        raise bad("LIMIT_INVALID")


def _located(request: Request) -> Stored:
    location = request.tl.location
    if not isinstance(location, types.InputDocumentFileLocation | types.InputPhotoFileLocation):
        raise bad("LOCATION_INVALID")
    stored = request.world.stored.get(location.id)
    if stored is None or stored.access_hash != location.access_hash:
        raise bad("LOCATION_INVALID")
    if location.file_reference != stored.reference:
        raise bad("FILE_REFERENCE_EXPIRED" if location.file_reference else "FILE_REFERENCE_EMPTY")
    if stored.dc != request.dc.id:
        raise RpcRefused(303, f"FILE_MIGRATE_{stored.dc}")
    return stored


def _crowded(request: Request) -> None:
    """Floods an account that asks for more at once than it may. What is on its way to the client counts as asked."""
    faults = request.server.faults
    if not faults.in_flight:
        return
    if request.server.on_the_way(request) > faults.in_flight:
        kind = "FLOOD_WAIT" if request.me.premium else "FLOOD_PREMIUM_WAIT"
        raise RpcRefused(420, f"{kind}_{faults.in_flight_wait_s}")


@methods.add(functions.upload.GetFileHashesRequest)
def get_file_hashes(request: Request) -> Any:
    stored = _located(request)
    if not request.server.faults.offers_hashes:
        return []
    first = request.tl.offset // HASHED_BYTES * HASHED_BYTES
    last = min(stored.content.size, first + HASHES * HASHED_BYTES)
    return [
        types.FileHash(offset, len(data), hashlib.sha256(data).digest())
        for offset in range(first, last, HASHED_BYTES)
        if (data := stored.content.read(offset, min(HASHED_BYTES, last - offset)))
    ]

"""What the daemon and the command line say to each other: JSON lines over the socket in the state directory.

A request is `{"v": 1, "id": 7, "do": "cancel", "job": 5}`; each gets answers with its id, the last of which has no
`more`: `{"v": 1, "id": 7, "ok": true, "data": {...}}` or `{"v": 1, "id": 7, "ok": false, "error": {"code": "...",
"text": "..."}}`. What a newer version adds is ignored by an older one; VERSION changes where that wouldn't do.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

VERSION: Final = 1
MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_SUBMIT: Final = 256  # files in one request


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    v: int
    id: int = 0


class Status(_Request, frozen=True, kw_only=True, tag="status"):
    """The pipeline at this moment."""


class Watch(_Request, frozen=True, kw_only=True, tag="watch"):
    """The pipeline again and again, every `every_s` seconds, until the client goes."""

    every_s: float = 0.5


class Submit(_Request, frozen=True, kw_only=True, tag="submit"):
    """Files that the client has put into the spool, each in a folder of its own: their jobs' ids."""

    folders: tuple[str, ...]
    types: str = "auto"
    password: str | None = None


class Wait(_Request, frozen=True, kw_only=True, tag="wait"):
    """Answers when all of `jobs` have ended, with their final states."""

    jobs: tuple[int, ...]


class Cancel(_Request, frozen=True, kw_only=True, tag="cancel"):
    """Takes a job back."""

    job: int


class Retry(_Request, frozen=True, kw_only=True, tag="retry"):
    """Runs an ended job again from its upload."""

    job: int


class Forget(_Request, frozen=True, kw_only=True, tag="forget"):
    """Takes an ended job out of the library and its targets, with its upload."""

    job: int


class Pause(_Request, frozen=True, kw_only=True, tag="pause"):
    """Hands out no more batches."""


class Resume(_Request, frozen=True, kw_only=True, tag="resume"):
    """Ends a pause, or draining."""


class Drain(_Request, frozen=True, kw_only=True, tag="drain"):
    """Begins no more jobs; with `wait`, answers when those that had begun have ended."""

    wait: bool = False


class Reload(_Request, frozen=True, kw_only=True, tag="reload"):
    """Reads the configuration again, as SIGHUP does: what changed, and what will at the next start."""


Request = Status | Watch | Submit | Wait | Cancel | Retry | Forget | Pause | Resume | Drain | Reload


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request wasn't carried out: `code` for programs (unknown, too_late, gone, ...), `text` for people."""

    code: str
    text: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer to the request `id`; with `more`, others follow."""

    v: int
    ok: bool
    id: int = 0
    data: Any = None
    error: Refusal | None = None
    more: bool = False


class Refused(Exception):
    """The request can't be carried out."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.refusal = Refusal(code=code, text=text)


_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)


class _Header(msgspec.Struct):
    v: int = 0
    id: int = 0


_headers = msgspec.json.Decoder(_Header)


def encode(message: Request | Answer) -> bytes:
    """MESSAGE as a line."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """The request on LINE. Raises Refused."""
    try:
        version = _headers.decode(line).v
        if version == VERSION:
            return _requests.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("malformed", f"This is no request: {error}") from error
    raise Refused("version", f"This daemon speaks version {VERSION}, not {version}. Use the same stampmill for both.")


def request_id(line: bytes) -> int:
    """The id on LINE, 0 where it has none."""
    try:
        return _headers.decode(line).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def decode_answer(line: bytes) -> Answer:
    """The answer on LINE. Raises msgspec.DecodeError."""
    return _answers.decode(line)


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """An address for the socket PATH that is short enough whatever the path: a socket's name may have 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def new_socket() -> socket.socket:
    """A socket of the kind both use."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)

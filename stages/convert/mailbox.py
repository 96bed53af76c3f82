"""Mailboxes (mbox) and single mails (.eml): a row a mail."""

from __future__ import annotations

import email
import email.policy
import itertools
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import msgspec

from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.source import Source
from stages.convert.text.text_rows import TextRow, write_rows

LARGEST = 128 * 1024 * 1024  # bytes of one mail
_PIECE = 8 * 1024 * 1024
_FROM = re.compile(rb"From \S+.* \d\d:\d\d:\d\d ")
_BORDER = re.compile(rb"(?:\A|\n)(?=From \S+[^\n]* \d\d:\d\d)")
_HEADERS = ("From", "To", "Cc", "Subject", "Message-ID", "In-Reply-To")
_NAMES = (
    "mail",
    "byte",
    "date",
    "from",
    "to",
    "cc",
    "subject",
    "message_id",
    "in_reply_to",
    "text",
    "attachments",
    "size",
)
_encode = msgspec.json.encode


class Mailbox:
    """The family of mails."""

    name = "mail"

    def sniff(self, head: Head) -> float:
        """By its first line, or its name."""
        if _FROM.match(head.data) and re.search(rb"\n(?:From|Date|Subject): ", head.data):
            return 0.95
        return 0.9 if head.suffix == ".eml" else 0.5 if head.suffix == ".mbox" else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes one table of the mails."""
        counted = 1 if head.suffix == ".eml" else _count(source)
        if not counted:
            raise Refused(reasons.corrupt("its name says a mailbox, but no mail begins in it"))

        def rows() -> Iterator[TextRow]:
            mails = [(0, source.read(0, source.length))] if head.suffix == ".eml" else _mails(source, bench)
            for number, (at, data) in enumerate(mails, 1):
                yield (str(number), str(at), *_columns(data), str(len(data)))

        if head.suffix == ".eml" and source.length > LARGEST:
            raise Refused(_TOO_LARGE)
        write_rows(_NAMES, rows, counted, bench, facts={"format": "mbox" if head.suffix != ".eml" else "mail"})


_TOO_LARGE = reasons.too_large("a single mail in it has more than 128 MB", "Save its attachments by themselves.")


def _count(source: Source) -> int:
    """How many mails begin, by their border lines alone."""
    count, at, last = 0, 0, b"\n"
    while piece := source.read(at, _PIECE):
        text = last + piece
        cut = text.rfind(b"\n") if at + len(piece) < source.length else len(text)
        cut = cut if cut > 0 else len(text)
        count += len(_BORDER_LINE.findall(text[:cut]))
        last = text[cut:]
        at += len(piece)
    return count


_BORDER_LINE = re.compile(rb"\nFrom \S+[^\n]* \d\d:\d\d")


def _mails(source: Source, bench: Bench) -> Iterator[tuple[int, bytes]]:
    """Each mail with its place."""
    rest, base, at = b"", 0, 0
    while piece := source.read(at, _PIECE):
        at += len(piece)
        text = rest + piece
        borders = [match.end() for match in _BORDER.finditer(text, 0, max(0, len(text) - 200))]
        if at >= source.length:
            borders = [match.end() for match in _BORDER.finditer(text)]
        for start, stop in itertools.pairwise(borders):
            yield base + start, text[start:stop]
        keep = borders[-1] if borders else 0
        rest, base = text[keep:], base + keep
        if len(rest) > LARGEST:
            raise Refused(_TOO_LARGE)
        bench.progress(at)
    if rest and _BORDER.match(rest):
        yield base, rest


def _columns(data: bytes) -> list[str | None]:
    """A mail's date, headers, text and attachments."""
    content = data[data.find(b"\n") + 1 :] if data.startswith(b"From ") else data
    try:
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        headers = [_header(mail, name) for name in _HEADERS]
        return [_date(mail), *headers, _text(mail), _attachments(mail)]
    except (ValueError, LookupError, TypeError, AttributeError, IndexError, KeyError):  # what real mails do to parsers
        return [None] * (1 + len(_HEADERS)) + [content.decode("utf-8", "replace"), None]


def _header(mail: EmailMessage, name: str) -> str | None:
    value = mail[name]
    return None if value is None else str(value).replace("\udcff", "\ufffd").encode("utf-8", "replace").decode()


def _date(mail: EmailMessage) -> str | None:
    """The date in ISO's way with its zone; as it's written where it's none."""
    value = mail["Date"]
    if value is None:
        return None
    try:
        when = parsedate_to_datetime(str(value))
    except (ValueError, TypeError):
        return str(value)
    return when.isoformat(" ") if when.tzinfo is not None else when.isoformat(" ") + "+00:00"


def _text(mail: EmailMessage) -> str | None:
    body = mail.get_body(("plain", "html"))
    if body is None:
        return None
    content = body.get_content()
    return content.encode("utf-8", "replace").decode() if isinstance(content, str) else None


def _attachments(mail: EmailMessage) -> str | None:
    names = [part.get_filename() or part.get_content_type() for part in mail.iter_attachments()]
    return _encode(names).decode() if names else None

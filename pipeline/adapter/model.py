"""What supervisor and Telegram adapter tell each other, as frozen values. Beside `model`, since bot_adapter reads it too.

Chats are Telegram's marked ids: a user's own id in a private chat, negative for groups (-100... for channels and
supergroups). Datagrams are msgpack arrays of these, at most 64 KiB (`pack`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from pipeline.model import JobState, MemberCounts, Reason

TABLES_TOLD: Final = 20  # of a job's tables, the largest first, that an answer can name


class Wishes(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a caption asks for. Empty values ask for nothing; the password is wiped when the upload has ended."""

    password: str = ""
    types: str = ""  # "text": every column as it was written
    table: str = ""  # what the table is to be called
    format: str = ""  # csv, xlsx or parquet: results come back as files


class Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A message with a document, as it stands in its chat.

    `series` names the upload that it belongs to within its chat (a set of volumes, an album, or itself alone) and
    `part` its place therein. `fetched` is set when its file lies complete in the spool.
    """

    chat: int
    message: int
    sender: int
    at: float
    document: int  # Telegram's id of the file, the same however often it is forwarded
    size: int
    name: str  # for people, never a path; empty where it has none
    series: str
    part: int = 0
    wishes: Wishes = Wishes()
    fetched: bool = False
    path: str = ""  # where its file is to lie in the spool


class UploadState(enum.StrEnum):
    """Where an upload stands; the last two are final."""

    OPEN = "open"  # its files are being gathered and downloaded
    TWIN = "twin"  # the same document is being worked on for another upload; decided when that one ends
    JOB = "job"  # handed to the pipeline
    ANSWERED = "answered"  # its answer is in the outbox
    WITHDRAWN = "withdrawn"  # deleted or cancelled by its uploader before its job began


class OpenUpload(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An upload that hasn't ended, with its messages by number. `job` is 0 before it is in the pipeline."""

    id: int
    chat: int
    series: str
    state: UploadState
    messages: tuple[Message, ...]
    job: int = 0
    attempt: int = 0  # how often it was tried again


class Phase(enum.StrEnum):
    """What a job in the pipeline is at, as its uploader is told."""

    QUEUED = "queued"  # waits for its turn
    READING = "reading"  # intake
    UNPACKING = "unpacking"  # extract
    CONVERTING = "converting"  # convert
    SAVING = "saving"  # store
    HELD = "held"  # equal to a job that runs


class JobProgress(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """How far the job of an upload is. `place` is its place in the line (1 is next), `share` between 0 and 1 or -1."""

    upload: int
    phase: Phase
    place: int = 0
    share: float = -1.0
    batches: int = 0
    batches_done: int = 0


# What is said in a chat: facts, which bot_adapter.answers puts into words


class TableFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A table of a job: `path` is its folder below the library's root."""

    name: str
    rows: int
    rejected: int
    columns: int
    path: str
    source: str = ""


class StatusFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="status"):
    """The silent message about an upload that is edited while it goes on."""

    name: str
    size: int


class ResultFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="result"):
    """What came of an upload. `tables` are the largest TABLES_TOLD, the counts are of all; `seconds` since arrival."""

    job: int
    name: str
    state: JobState
    reason: Reason | None
    tables: tuple[TableFacts, ...]
    table_count: int
    rows: int
    rejected_records: int
    members: MemberCounts
    seconds: float
    seen_before: bool = False  # an equal upload was done already
    format: str = ""  # csv, xlsx or parquet: as files too
    table_wish: str = ""  # what its table was to be called


class RefusalFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="refusal"):
    """Why an upload never became a job."""

    name: str
    reason: Reason


class FilesFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="files"):
    """Tables that are sent back as files: `format` is csv, xlsx or parquet."""

    format: str
    tables: tuple[TableFacts, ...]


class PictureFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="picture"):
    """A picture of a table's first rows, for one with more columns than text has room for."""

    table: TableFacts


class ReportFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="report"):
    """A page of HTML about a job that is published; NAME is what its upload is called."""

    job: int
    name: str


class JobLine(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One upload in a list."""

    job: int
    name: str
    words: str  # its state
    at: float
    rows: int = 0


class ReplyFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="reply"):
    """The answer to a command: `command` without its slash, what it was about, and what was found.

    `numbers` are counts by name, `words` sentences for people.
    """

    command: str
    words: tuple[str, ...] = ()
    lines: tuple[JobLine, ...] = ()
    numbers: dict[str, float] = {}


Facts = StatusFacts | ResultFacts | RefusalFacts | FilesFacts | PictureFacts | ReportFacts | ReplyFacts
FileFacts = FilesFacts | PictureFacts | ReportFacts  # what is sent as files


# The adapter's reports


class Connected(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """The account is in touch with Telegram (or with `words`, is not: why, and since when it is tried again)."""

    account: int
    words: str = ""


class Stopped(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """The account can't be used, and trying again won't help: `code` for programs, `words` with the next step."""

    code: str
    words: str


class Arrived(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A message with a document is there, or was edited."""

    message: Message


class Gone(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Messages were deleted; `chat` is 0 where Telegram doesn't say which (private chats and small groups)."""

    chat: int
    messages: tuple[int, ...]


class Looked(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Every message of the chat up to `message` has been reported."""

    chat: int
    message: int


class Wanted(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """May the file of this message be downloaded now?"""

    upload: int
    message: int


class Fetched(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """The file of a message lies complete and durable in the spool."""

    upload: int
    message: int


class Assembled(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """All files of an upload are there (or it has waited long enough for `missing`): their `paths`, the one by which it
    is opened first, and what people call it."""

    upload: int
    paths: tuple[str, ...]
    name: str
    missing: str = ""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """An upload can't become a job."""

    upload: int
    reason: Reason


class Asked(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """A command, or (as `password`) a reply with one. `argument` is the rest of its words."""

    chat: int
    message: int
    command: str
    argument: str
    reply_to: int = 0


class Sent(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    """An item of the outbox is in its chat, as MESSAGE (0 where Telegram only said that it is there)."""

    item: int
    message: int


class Undeliverable(msgspec.Struct, frozen=True, array_like=True, tag=11, gc=False):
    """An item of the outbox can never be delivered."""

    item: int
    words: str


class Download(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file on its way: bytes of it that are there, its size, bytes a second."""

    name: str
    done_bytes: int
    size: int
    rate: float


class Busy(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """What the adapter does now, for whoever watches. `words` says what holds it up (a flood wait)."""

    downloads: tuple[Download, ...]
    words: str = ""


AdapterReport = (
    Connected
    | Stopped
    | Arrived
    | Gone
    | Looked
    | Wanted
    | Fetched
    | Assembled
    | Refused
    | Asked
    | Sent
    | Undeliverable
    | Busy
)


# The supervisor's orders


class Restore(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """How far each chat has been looked at, by chat: the last message reported."""

    looked: dict[int, int]


class Note(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """An upload as the ledger has it now, durable. One with a final state is forgotten by the adapter."""

    upload: OpenUpload


class Grant(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Download the file of this message to its path."""

    upload: int
    message: int


class Hold(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """No download of UPLOAD begins yet, and why; empty: it may be asked for again."""

    upload: int
    words: str


class Say(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Put FACTS into the chat, as a reply to a message, under this random id. `sent` is set where it is there already
    and may only be edited. `upload` is 0 for what answers a command."""

    item: int
    random_id: int
    chat: int
    reply_to: int
    upload: int
    facts: Facts
    sent: int = 0


class Move(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """How far jobs are."""

    jobs: tuple[JobProgress, ...]


class Leave(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """End: nothing is lost, whatever is in hand."""


AdapterOrder = Restore | Note | Grant | Hold | Say | Move | Leave

_encoder = msgspec.msgpack.Encoder()
_reports = msgspec.msgpack.Decoder(list[AdapterReport])
_orders = msgspec.msgpack.Decoder(list[AdapterOrder])
_facts = msgspec.msgpack.Decoder(Facts)


def unpack_reports(datagram: bytes) -> list[AdapterReport]:
    """The reports in a datagram from the adapter."""
    return _reports.decode(datagram)


def unpack_orders(datagram: bytes) -> list[AdapterOrder]:
    """The orders in a datagram from the supervisor."""
    return _orders.decode(datagram)


def pack_facts(facts: Facts) -> bytes:
    """FACTS as the outbox keeps them."""
    return _encoder.encode(facts)


def unpack_facts(data: bytes) -> Facts:
    """What `pack_facts` made of facts."""
    facts: Facts = _facts.decode(data)
    return facts


class Link(Protocol):
    """What the adapter's process finds to talk with its supervisor. Both ends drop nothing and keep the order."""

    def report(self, *reports: AdapterReport) -> None:
        """Hands REPORTS over, from the loop's thread; they are durable once the supervisor's order says so."""
        ...

    def listen(self, hear: Callable[[AdapterOrder], None], gone: Callable[[], None]) -> None:
        """Has HEAR told each order in the running asyncio loop, and GONE when the supervisor has ended."""
        ...

"""What is said in a chat: facts in, Telegram's HTML out. Pure.

Every text is for somebody with a phone in hand: first what happened, then what came of it, then what to do.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Final, NamedTuple

from bot_adapter import preview as previews
from bot_adapter.preview import Preview
from bot_adapter.words import bold, count, ordinal, safe, sentence, size, span
from pipeline.adapter.model import (
    JobProgress,
    Phase,
    RefusalFacts,
    ResultFacts,
    StatusFacts,
    TableFacts,
)
from pipeline.model import Code, JobState, Reason

TABLES_SHOWN: Final = 8
LONGEST: Final = 3800  # characters; Telegram takes 4096 units of UTF-16
_BAR: Final = 10

# In the chat some next steps are nearer than the one that suits every way in.
_NEXT_STEPS: Final[Mapping[Code, str]] = {
    Code.ENCRYPTED: "Reply to this message with the password.",
    Code.EMPTY: "Check the original and send it again.",
}


class Transfer(NamedTuple):
    """A download as its uploader sees it; `left_s` is 0 where it can't be told yet."""

    done_bytes: int
    size: int
    rate: float = 0.0
    left_s: float = 0.0


class Waiting(NamedTuple):
    """Why an upload isn't being downloaded: a part that is missing, or something that holds all downloads up."""

    words: str


class Over(NamedTuple):
    """The upload has ended; WORDS say how, in two or three."""

    words: str


Standing = Transfer | Waiting | Over | JobProgress | None


def status(facts: StatusFacts, standing: Standing) -> str:
    """The one silent message about an upload, as it stands now."""
    size_words = f" · {size(facts.size)}" if facts.size else ""
    return f"📦 {bold(facts.name)}{size_words}\n{_standing(standing)}"


def _standing(standing: Standing) -> str:
    if standing is None:
        return "Got it. Waiting for its turn to download."
    if isinstance(standing, Transfer):
        return _transfer(standing)
    if isinstance(standing, Waiting):
        return f"⏳ {sentence(standing.words)}"
    if isinstance(standing, Over):
        return safe(standing.words)
    return _progress(standing)


def _transfer(transfer: Transfer) -> str:
    share = transfer.done_bytes / transfer.size if transfer.size else 1.0
    words = [f"{bar(share)} {int(share * 100)} % downloaded"]
    if transfer.rate:
        words.append(f"{size(transfer.rate)}/s")
    if transfer.left_s >= 10:
        words.append(f"{span(transfer.left_s)} left")
    return " · ".join(words)


def _progress(progress: JobProgress) -> str:
    if progress.phase is Phase.QUEUED:
        place = "next in line" if progress.place <= 1 else f"{ordinal(progress.place)} in line"
        return f"⏳ Downloaded, {place}."
    if progress.phase is Phase.HELD:
        return "⏳ The same file is being worked on already; waiting for its result."
    words = {
        Phase.READING: "reading it",
        Phase.UNPACKING: "unpacking",
        Phase.CONVERTING: "making tables",
        Phase.SAVING: "saving",
    }[progress.phase]
    if progress.batches > 1 and progress.batches_done:
        words += f", part {progress.batches_done} of {progress.batches}"
    if progress.share < 0:
        return f"⚙️ {words.capitalize()}…"
    return f"{bar(progress.share)} {int(progress.share * 100)} % · {words}"


def bar(share: float) -> str:
    """SHARE (0 to 1) as a bar of ten."""
    full = max(0, min(_BAR, int(share * _BAR)))
    return "▰" * full + "▱" * (_BAR - full)


def refusal(facts: RefusalFacts) -> str:
    """The final message about an upload that never became a job."""
    return f"❌ {bold(facts.name)}\n{reason_words(facts.reason)}"


def reason_words(reason: Reason) -> str:
    """What was wrong, and what to do."""
    step = _NEXT_STEPS.get(reason.code, reason.next_step)
    return f"{sentence(reason.text)} {sentence(step)}".strip()


def result(facts: ResultFacts, preview: Preview | None = None) -> str:
    """The final message about a job. PREVIEW is of its largest table."""
    if facts.state is JobState.CANCELLED:
        return f"⏹ {bold(facts.name)}\nCancelled. /retry {facts.job} starts it again."
    if not facts.table_count and facts.state is JobState.FAILED:
        return _failure(facts)
    drawn = _preview(facts, preview) if preview is not None and preview.columns else ""
    headline, tables, remark = _headline(facts), _tables(facts), _remark(facts)
    forms = ((headline, tables, drawn, remark), (headline, tables, remark), (headline, remark))
    texts = ["\n\n".join(filter(None, blocks)) for blocks in forms]
    return next((text for text in texts if len(text) <= LONGEST), texts[-1])


def _failure(facts: ResultFacts) -> str:
    words = reason_words(facts.reason) if facts.reason else "It could not be taken."
    text = f"❌ {bold(facts.name)}\n{words}"
    if facts.reason and facts.reason.code is Code.ENCRYPTED:
        return text
    return f"{text}\nJob {facts.job} · /retry {facts.job}"


def _headline(facts: ResultFacts) -> str:
    partly = facts.rejected_records or facts.members.rejected
    mark = "⚠️" if partly else "✅"
    title = f"{mark} {bold(facts.name)}"
    if facts.table_count == 1 and facts.tables:
        table = facts.tables[0]
        columns = count(table.columns, "column")
        words = f"{count(table.rows, 'row')} · {columns} · {span(facts.seconds)}"
        lines = [title, f"Table {bold(table.name, 40)}: {words}"]
    elif facts.table_count:
        words = f"{count(facts.table_count, 'table')} · {count(facts.rows, 'row')} · {span(facts.seconds)}"
        lines = [title, words]
    else:
        kept = count(facts.members.kept, "file")
        lines = [title, f"No table in it; {kept} kept as {'it is' if facts.members.kept == 1 else 'they are'}."]
    if facts.seen_before:
        lines.append("This file has been turned into tables before; this is what came of it.")
    return "\n".join(lines)


def _tables(facts: ResultFacts) -> str:
    if facts.table_count == 1:
        return ""
    shown = facts.tables[:TABLES_SHOWN]
    lines = [_table(table) for table in shown]
    if more := facts.table_count - len(shown):
        lines.append(f"… and {count(more, 'more table')}")
    return "\n".join(lines)


def _table(table: TableFacts) -> str:
    words = f"• {bold(table.name, 40)}: {count(table.rows, 'row')}, {count(table.columns, 'column')}"
    return f"{words}, {count(table.rejected, 'reject')}" if table.rejected else words


def _preview(facts: ResultFacts, preview: Preview) -> str:
    drawn, hidden = previews.draw(preview)
    title = f"{bold(facts.tables[0].name, 40)} begins:\n" if facts.table_count > 1 and facts.tables else ""
    more = f"\n… {count(hidden, 'more column')}" if hidden else ""
    return f"{title}<pre>{html.escape(drawn, quote=False)}</pre>{more}"


def _remark(facts: ResultFacts) -> str:
    """What wasn't taken and why, and the job's number."""
    lines = []
    if facts.rejected_records:
        records = count(facts.rejected_records, "record")
        verb = "didn't" if facts.rejected_records != 1 else "doesn't"
        lines.append(f"{records} {verb} fit and {'are' if facts.rejected_records != 1 else 'is'} listed as rejects.")
    if facts.members.rejected:
        files = f"{facts.members.rejected:,} of {count(facts.members.total, 'file')}"
        lines.append(f"{files} could not be taken.{f' {reason_words(facts.reason)}' if facts.reason else ''}")
    if facts.members.kept and facts.table_count:
        lines.append(
            f"{count(facts.members.kept, 'file')} without a table {'was' if facts.members.kept == 1 else 'were'} kept as is."
        )
    if words := _unnamed(facts):
        lines.append(words)
    lines.append(f"Job {facts.job}")
    return "\n".join(lines)


def _unnamed(facts: ResultFacts) -> str:
    """What became of the wish to call a table by a name, where that isn't its name."""
    if (
        not facts.table_wish
        or not facts.tables
        or _bare(facts.table_wish) in map(_bare, (t.name for t in facts.tables))
    ):
        return ""
    if facts.seen_before:
        return (
            f"Its table keeps the name it had. /retry {facts.job} makes it anew, called {bold(facts.table_wish, 40)}."
        )
    return "<code>table:</code> names the table of a single file; an archive's tables are called as its files are."


def _bare(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())

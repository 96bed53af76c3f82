"""What commands are answered with: facts in, Telegram's HTML out. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bot_adapter.words import bold, count, plain, safe, sentence, size, span
from pipeline.adapter.model import JobLine, ReplyFacts

COMMANDS: Final = ("help", "start", "status", "queue", "jobs", "stats", "health", "cancel", "retry", "report")

HELP: Final = """Send me a file: an archive (zip, 7z, rar, tar…), a CSV, a spreadsheet, JSON, a database. \
I turn it into tables and answer here. Volumes of one archive may come one after the other.

<b>In the caption</b>, if you like, one a line:
<code>password: …</code> the archive's password
<code>table: name</code> what to call the table
<code>types: text</code> leave every value as it was written
<code>format: csv</code> send the tables back (csv, xlsx, parquet)

<b>Commands</b>
/queue what of yours is under way
/jobs your last uploads
/cancel 17 stop job 17 (or reply /cancel to the upload)
/retry 17 run it again
/report 17 a page about it: every file, column and reject
/stats what you have sent so far
/status what the service is doing
/health whether it is well

Editing or deleting an upload counts as long as its job has not begun."""


def reply(facts: ReplyFacts, now: Callable[[], float] = time.time) -> str:
    """The reply to a command."""
    if facts.command == "queue":
        return _queue(facts, now())
    if facts.command == "jobs":
        return _jobs(facts, now())
    return _SIMPLE.get(facts.command, _help)(facts)


def _help(facts: ReplyFacts) -> str:
    return HELP


def _queue(facts: ReplyFacts, now: float) -> str:
    busy = int(facts.numbers.get("waiting", 0) + facts.numbers.get("running", 0))
    own = int(facts.numbers.get("own", len(facts.lines)))
    if not own:
        others = f" {count(busy, 'job')} of others {'is' if busy == 1 else 'are'} under way." if busy else ""
        return f"Nothing of yours is under way.{others}"
    lines = [f"{count(own, 'upload')} of yours under way, {count(busy, 'job')} in the pipeline in all:"]
    lines += [_line(line, now) for line in facts.lines]
    return "\n".join(lines)


def _jobs(facts: ReplyFacts, now: float) -> str:
    if not facts.lines:
        return "You have sent nothing yet. Send me a file, and I turn it into tables."
    return "\n".join(["Your last uploads:", *(_line(line, now) for line in facts.lines)])


def _line(line: JobLine, now: float) -> str:
    number = f"{line.job}. " if line.job else "• "
    rows = f", {count(line.rows, 'row')}" if line.rows else ""
    return f"{number}{bold(line.name, 40)}: {safe(line.words)}{rows}, {span(max(0.0, now - line.at))} ago"


def _stats(facts: ReplyFacts) -> str:
    numbers = facts.numbers
    if not numbers.get("uploads"):
        return "You have sent nothing yet."
    lines = [
        f"You sent {count(numbers['uploads'], 'upload')}, {size(numbers['bytes'])}:",
        f"{numbers['done']:,.0f} done, {numbers['failed']:,.0f} failed, {numbers['open']:,.0f} under way.",
        f"They gave {count(numbers['tables'], 'table')} with {count(numbers['rows'], 'row')}.",
    ]
    if numbers.get("rejected"):
        lines.append(
            f"{count(numbers['rejected'], 'record')} did not fit and {'is' if numbers['rejected'] == 1 else 'are'} listed as rejects."
        )
    return "\n".join(lines)


def _status(facts: ReplyFacts) -> str:
    numbers = facts.numbers
    running, waiting = int(numbers.get("running", 0)), int(numbers.get("waiting", 0))
    state = (
        f"{count(running, 'job')} running, {waiting:,} waiting." if running or waiting else "Nothing to do right now."
    )
    lines = [state]
    if facts.words and facts.words[0]:
        lines.append(f"⏸ Paused: {sentence(facts.words[0])}")
    done, failed = numbers.get("done", 0), numbers.get("failed", 0)
    lines.append(f"Since the start {span(numbers.get('up_s', 0))} ago: {done:,.0f} done, {failed:,.0f} failed.")
    return "\n".join(lines)


def _health(facts: ReplyFacts) -> str:
    paused, *down = facts.words or ("",)
    well = not down and not paused
    lines = ["✅ All is well." if well else "⚠️ Not all is well."]
    if down:
        lines.append(f"Not ready: {safe(', '.join(down), 100)}.")
    if paused:
        lines.append(f"Paused: {sentence(paused)}")
    lines.append(f"Up for {span(facts.numbers.get('up_s', 0))}, {size(facts.numbers.get('free', 0))} of disk free.")
    if restarts := facts.numbers.get("restarts"):
        lines.append(f"{count(restarts, 'restart')} of a worker.")
    if undelivered := facts.numbers.get("undeliverable"):
        lines.append(f"{count(undelivered, 'answer')} could not be delivered.")
    return "\n".join(lines)


def _cancel(facts: ReplyFacts) -> str:
    outcome, what = (*facts.words, "", "")[:2]
    if outcome == "unknown":
        return _unknown("cancel", what)
    if outcome == "withdrawn":
        return f"⏹ {bold(what)} is cancelled."
    return f"{bold(what)} can't be cancelled any more: it is done, or about to be."


def _retry(facts: ReplyFacts) -> str:
    outcome, what = (*facts.words, "", "")[:2]
    if outcome == "unknown":
        return _unknown("retry", what)
    return f"{bold(what)} is under way already."


def _report(facts: ReplyFacts) -> str:
    outcome, what = (*facts.words, "", "")[:2]
    if outcome == "unknown":
        return _unknown("report", what)
    if outcome == "running":
        return f"{bold(what)} is under way still. The report can be had when it is done."
    return f"There is no report of {bold(what)}: nothing came of it."


def _unknown(command: str, what: str) -> str:
    if not plain(what):
        return f"Which one? Write /{command} and the job's number, or reply /{command} to the upload. /jobs lists them."
    return f"There is no job {safe(what, 20)} of yours. /jobs lists them."


def _stranger(facts: ReplyFacts) -> str:
    return sentence(facts.words[0] if facts.words else "", 500)


_SIMPLE: Final[dict[str, Callable[[ReplyFacts], str]]] = {
    "stats": _stats,
    "status": _status,
    "health": _health,
    "cancel": _cancel,
    "retry": _retry,
    "report": _report,
    "stranger": _stranger,
}

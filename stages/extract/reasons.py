"""Every sentence that extract says to an uploader, each with what to do next."""

from __future__ import annotations

from pipeline.model import Code, Reason

SEND_AGAIN = "Send it again; if it fails again, pack it anew from the original files."


def corrupt(detail: str) -> Reason:
    """Damaged: DETAIL is a clause that says how it shows."""
    return Reason(code=Code.CORRUPT, text=f"It is damaged: {detail}.", next_step=SEND_AGAIN)


def truncated(detail: str) -> Reason:
    """It ends early: DETAIL is a clause that says where."""
    return Reason(
        code=Code.TRUNCATED,
        text=f"It ends before it should: {detail}.",
        next_step="The transfer or the copy was probably cut short; send it again.",
    )


def encrypted(given: bool) -> Reason:
    """A password is needed; GIVEN tells whether one came with the job."""
    text = "It is encrypted, and the password given doesn't open it." if given else "It is encrypted."
    return Reason(
        code=Code.ENCRYPTED,
        text=text,
        next_step="Send it again with its password (caption `password: ...`, or --password-file), or without one.",
    )


def unsupported(detail: str, next_step: str = "Pack it as zip, tar.gz or 7z and send it again.") -> Reason:
    """A feature that isn't read: DETAIL is a clause."""
    return Reason(code=Code.UNSUPPORTED, text=f"It can't be read here: {detail}.", next_step=next_step)


def unsafe(what: str) -> Reason:
    """A link or a device: WHAT it is, with its article."""
    return Reason(
        code=Code.UNSAFE,
        text=f"It is {what}, which is recorded but never made.",
        next_step="If its content matters, pack the file itself instead.",
    )


def empty(what: str) -> Reason:
    """WHAT holds nothing."""
    return Reason(code=Code.EMPTY, text=f"The {what} is empty.", next_step="Check the original and send it again.")


def overlap(detail: str) -> Reason:
    """A zip whose entries share bytes."""
    return Reason(
        code=Code.BOMB,
        text=f"Its entries share the same bytes ({detail}), as archives do that are made to fill disks.",
        next_step="Pack the original files anew with an ordinary program.",
    )


def ratio(reached: int, limit: int, read: int) -> Reason:
    """It grows out of proportion."""
    return Reason(
        code=Code.BOMB,
        text=f"It grows out of proportion: {reached:,} bytes out of {read:,} (extract.max_ratio = {limit}).",
        next_step="Send the files in a plainer archive, or ask the operator to raise extract.max_ratio.",
    )


def total_bytes(reached: int, limit: int) -> Reason:
    """All members together are too large."""
    return Reason(
        code=Code.TOO_LARGE,
        text=f"It unpacks to at least {reached:,} bytes; the limit is {limit:,} (extract.max_bytes).",
        next_step="Send it in smaller parts, or ask the operator to raise extract.max_bytes.",
    )


def total_members(reached: int, limit: int) -> Reason:
    """Too many members."""
    return Reason(
        code=Code.TOO_LARGE,
        text=f"It holds at least {reached:,} files; the limit is {limit:,} (extract.max_members).",
        next_step="Send it in smaller parts, or ask the operator to raise extract.max_members.",
    )


def member_bytes(reached: int, limit: int) -> Reason:
    """One member is too large."""
    return Reason(
        code=Code.TOO_LARGE,
        text=f"This file has at least {reached:,} bytes; the limit is {limit:,} (extract.max_member_bytes).",
        next_step="Split the file, or ask the operator to raise extract.max_member_bytes.",
    )


def too_deep(reached: int, limit: int) -> Reason:
    """Archives within archives beyond the limit."""
    return Reason(
        code=Code.TOO_DEEP,
        text=f"It lies {reached} archives deep; the limit is {limit} (extract.max_depth).",
        next_step="Unpack the outer archives yourself and send what is inside.",
    )


def missing_volume(detail: str) -> Reason:
    """A part of an archive in several is not there: DETAIL is a clause."""
    return Reason(
        code=Code.MISSING_VOLUME,
        text=f"A part is missing: {detail}.",
        next_step="Send all parts together, under the names they were made with.",
    )


def wall(reached: float, limit: float) -> Reason:
    """It took too long."""
    return Reason(
        code=Code.TIMEOUT,
        text=f"Unpacking took {reached:.0f} s; the limit is {limit:.0f} s (extract.max_wall_s).",
        next_step="Send it in smaller parts, or ask the operator to raise extract.max_wall_s.",
    )


def cpu(reached: float, limit: float) -> Reason:
    """It took too much work."""
    return Reason(
        code=Code.TIMEOUT,
        text=f"Unpacking took {reached:.0f} s of computing; the limit is {limit:.0f} s (extract.max_cpu_s).",
        next_step="Send it in smaller parts, or ask the operator to raise extract.max_cpu_s.",
    )


def unreadable(detail: str) -> Reason:
    """The upload can't be opened or read."""
    return Reason(
        code=Code.UNREADABLE,
        text=f"The file can't be read ({detail}).",
        next_step="Check that it is there and may be read, then submit it again.",
    )


def changed() -> Reason:
    """The upload altered meanwhile."""
    return Reason(
        code=Code.CHANGED,
        text="The file changed while it was being read.",
        next_step="Submit it again once nothing writes to it any more.",
    )


def crashed() -> Reason:
    """The worker died on this member, repeatedly."""
    return Reason(
        code=Code.CRASHED,
        text="The program died each time it tried to unpack this file, so it was left out.",
        next_step="The job's log says more; tell the operator.",
    )

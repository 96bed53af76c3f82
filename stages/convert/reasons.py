"""Why a member or a record wasn't taken, in words for the uploader."""

from __future__ import annotations

from pipeline.model import Code, Reason


def empty() -> Reason:
    """Not one byte."""
    return Reason(
        code=Code.EMPTY,
        text="The file is empty: it holds not one byte.",
        next_step="Check that it was saved and sent completely, and send it again.",
    )


def no_records(what: str) -> Reason:
    """Something is there, but not one record: WHAT is."""
    return Reason(
        code=Code.EMPTY,
        text=f"The file holds no records: {what}.",
        next_step="If records are missing, export the file again; its bytes are kept as they came.",
    )


def corrupt(what: str) -> Reason:
    """It isn't what it says it is, because of WHAT."""
    return Reason(
        code=Code.CORRUPT,
        text=f"The file is damaged or not what its name says: {what}.",
        next_step="Open it where it was made, save it again and send it; its bytes are kept as they came.",
    )


def truncated(what: str) -> Reason:
    """It ends early: WHAT is missing."""
    return Reason(
        code=Code.TRUNCATED,
        text=f"The file ends before it should: {what}.",
        next_step="Send it again, complete; its bytes are kept as they came.",
    )


def too_many_columns(found: int, most: int) -> Reason:
    """A table of FOUND columns, where the configuration allows MOST."""
    return Reason(
        code=Code.TOO_LARGE,
        text=f"Its table has {found:,} columns, and at most {most:,} are allowed.",
        next_step="Split it into files with fewer columns, or ask whoever runs this service to raise the limit.",
    )


def too_many_rows(most: int) -> Reason:
    """A table of more rows than the configuration allows, MOST."""
    return Reason(
        code=Code.TOO_LARGE,
        text=f"A table in it has more than the {most:,} rows that are allowed.",
        next_step="Split it into smaller files, or ask whoever runs this service to raise the limit.",
    )


def line_too_long() -> Reason:
    """A text with a line that isn't held at once."""
    return Reason(
        code=Code.TOO_LARGE,
        text="A line in it has more than 128 MB, so it's hardly a table of lines.",
        next_step="Check how it was exported, and send it with shorter lines; its bytes are kept as they came.",
    )


def bad_records(count: int) -> Reason:
    """COUNT records don't fit, where the configuration wants none."""
    return Reason(
        code=Code.MALFORMED,
        text=f"{count:,} of its records don't fit their table, and files with such records are refused here.",
        next_step="Mend the records and send the file again; its bytes are kept as they came.",
    )


def too_large(what: str, next_step: str) -> Reason:
    """More than is held at once: WHAT is."""
    return Reason(code=Code.TOO_LARGE, text=f"The file can't be taken: {what}.", next_step=next_step)


def workbook_too_large(size: int, what: str) -> Reason:
    """WHAT, a workbook of SIZE bytes, is held at once."""
    return too_large(f"a {what} of {size >> 20:,} MB doesn't fit into memory", _SMALLER_WORKBOOKS)


def cells_far_apart() -> Reason:
    """Room is made for all cells between the first and the last."""
    return too_large("the cells of a sheet lie so far apart that they don't fit into memory", _SMALLER_WORKBOOKS)


_SMALLER_WORKBOOKS = "Save its sheets as CSV, or split it into smaller workbooks."


def too_deep(what: str) -> Reason:
    """Nested deeper than anything that reads it goes: WHAT is."""
    return Reason(
        code=Code.TOO_DEEP,
        text=f"This can't be read: {what}.",
        next_step="Export it flatter and send it again; its bytes are kept as they came.",
    )


def unsupported(what: str, next_step: str) -> Reason:
    """A format or feature that isn't read."""
    return Reason(code=Code.UNSUPPORTED, text=f"This can't be read: {what}.", next_step=next_step)


def encrypted() -> Reason:
    """It needs a password."""
    return Reason(
        code=Code.ENCRYPTED,
        text="The file is protected with a password.",
        next_step="Save it without a password and send it again; its bytes are kept as they came.",
    )


def crashed() -> Reason:
    """The process died on it, three times."""
    return Reason(
        code=Code.CRASHED,
        text="Reading this file made the program end three times, so it was left out.",
        next_step="Send it in another format if you can; its bytes are kept as they came.",
    )


def unreadable(detail: str) -> Reason:
    """The system refused to read it."""
    return Reason(
        code=Code.UNREADABLE,
        text=f"The file could not be read: {detail}.",
        next_step="Try again later; if it stays, tell whoever runs this service.",
    )


def internal() -> Reason:
    """A bug of ours or of an engine, which says nothing about the file."""
    return Reason(
        code=Code.INTERNAL,
        text="Reading this file met a bug of stampmill's, so it was left out.",
        next_step="Tell whoever runs this service, whose log says more; its bytes are kept as they came.",
    )

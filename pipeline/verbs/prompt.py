"""`query` alone: a prompt with history, and completion of the tables' and columns' names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import FuzzyWordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from pipeline.config import Paths
from pipeline.errors import UsageError
from pipeline.results import catalogue
from pipeline.verbs.common import err, safe, say

_WORDS: Final = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "LIMIT",
    "JOIN",
    "USING",
    "ON",
    "AS",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "IS",
    "IN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "WITH",
    "UNION",
    "ALL",
    "DISTINCT",
    "HAVING",
    "DESC",
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "ROUND",
    "SUMMARIZE",
    "DESCRIBE",
    "SHOW",
    "TABLES",
    "PIVOT",
]


def ask(paths: Paths, answer: Callable[[str], None]) -> None:
    """Asks for statements, and has each ANSWERed, until the input ends."""
    say("SQL, ended by Enter. Tab completes names; SHOW TABLES lists tables; Ctrl-D ends.")
    session: PromptSession[str] = PromptSession(
        message="sql> ",
        history=_history(Path(paths.state)),
        completer=FuzzyWordCompleter(sorted(names(Path(paths.library)))),
        complete_while_typing=False,
    )
    while True:
        try:
            statement = session.prompt().strip().rstrip(";")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if statement.lower() in ("exit", "quit"):
            return
        if statement:
            try:
                answer(statement)
            except UsageError as error:
                err().print(f"[red]error:[/red] {safe(error.message)}", soft_wrap=True)


def names(root: Path) -> set[str]:
    """What can be completed: the tables of the library ROOT, their columns, and SQL's words."""
    tables = list(catalogue.find_tables(root))
    return {*_WORDS, *(table.view for table in tables), *_plain(tables)}


def _plain(tables: Iterable[catalogue.Table]) -> set[str]:
    return {name for table in tables for name in (table.info.name, *(column.name for column in table.info.columns))}


def _history(state: Path) -> History:
    """Kept in the state directory, where there is one and it's ours."""
    path = state / "query.history"
    try:
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))

"""The two consoles, and how words are made fit for a terminal. No parser here: what is asked most does without one."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.config import Config
from pipeline.daemon.journal import shown
from pipeline.settings import config_file

if TYPE_CHECKING:
    from rich.console import Console

# rich is imported where something is drawn: it takes longer to load than most verbs to run.


@cache
def out() -> Console:
    """Where data goes."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@cache
def err() -> Console:
    """Where words go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def safe(value: object) -> str:
    """VALUE as it may be put into markup and shown on a terminal."""
    from rich.markup import escape

    return escape(shown(str(value)))


def say(words: str) -> None:
    """WORDS for a person, on stderr."""
    err().print(words, soft_wrap=True)


def print_json(data: Any) -> None:
    """DATA as one line of JSON on stdout."""
    sys.stdout.write(msgspec.json.encode(data).decode() + "\n")
    sys.stdout.flush()


def load(path: Path | None) -> tuple[Config, Path]:
    """The configuration, and the file that it came from. Raises ConfigInvalid."""
    file = path or config_file.default_path()
    return config_file.read(file), file

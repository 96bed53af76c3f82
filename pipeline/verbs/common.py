"""What all verbs share: the options that most have, and the consoles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.verbs.consoles import err, load, out, print_json, safe, say

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file.", envvar="STAMPMILL_CONFIG", metavar="FILE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")]

__all__ = ["ConfigOption", "JsonOption", "err", "load", "out", "print_json", "safe", "say"]

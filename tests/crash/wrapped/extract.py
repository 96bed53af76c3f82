"""Extract as it is, in a worker that obeys tests.crash.trouble."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.model import Stage
from stages import extract
from tests.crash.trouble import Wrapped


def build(config: Config) -> Stage:
    """As every stage module has it."""
    return Wrapped("extract", extract.build(config))

"""Store as it is, in a worker that obeys tests.crash.trouble."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.model import Stage
from stages import store
from tests.crash.trouble import Wrapped


def build(config: Config) -> Stage:
    """As every stage module has it."""
    return Wrapped("store", store.build(config))

"""A `process` run with the small stages, in a process of its own: small_driver.py INTO PATH... prints its job states."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from pipeline.config import Worker
from pipeline.errors import StampmillError
from pipeline.machine.process import config_for, process
from pipeline.model import Options, StageName

STOP_TIMEOUT_S = 600.0  # longer than any test waits: what stops sooner wasn't stopped by it
MODULES = dict.fromkeys(StageName, "tests.integration.small_stage")


def main() -> int:
    """Runs it; the exit status is 0, 1 with an error's sentence on stderr, or 130 when it was interrupted."""
    into, *paths = map(Path, sys.argv[1:])
    try:
        worker = Worker(sandbox=False)  # the small stages write beside the uploads
        config = msgspec.structs.replace(config_for(into), stop_timeout_s=STOP_TIMEOUT_S, worker=worker)
        result = process(paths, config, MODULES, Options())
    except StampmillError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write(" ".join(job.state for job in result.summary.jobs) + "\n")
    return 130 if result.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())

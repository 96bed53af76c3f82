"""The command behind scripts/chaos: a campaign of kills, its figures on one line, status 1 where anything is wrong."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.crash.campaign import Campaign, Fault


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many processes to kill")
    parser.add_argument("--jobs", type=int, help="over how many jobs (default: two for each kill, at least 200)")
    parser.add_argument("--seed", type=int, default=1, help="what the jobs and the choice of victims are made from")
    parser.add_argument("--keep", type=Path, help="a folder, not there yet, for everything that the runs leave")
    asked = parser.parse_args()
    scratch = None if asked.keep else tempfile.mkdtemp(prefix="stampmill-chaos-")
    folder = asked.keep or Path(scratch or "") / "campaign"
    campaign = Campaign(folder, kills=asked.kills, count=asked.jobs or max(200, 2 * asked.kills), seed=asked.seed)
    try:
        figures = campaign.run()
    except Fault as fault:
        print(f"chaos: {fault}; what was run is in {folder}", file=sys.stderr)
        print(campaign.figures.line())
        return 1
    print(figures.line())
    for line in figures.faults:
        print(f"chaos: {line}", file=sys.stderr)
    if scratch and not figures.faults:
        shutil.rmtree(scratch)
    elif scratch:
        print(f"chaos: what was run is in {folder}", file=sys.stderr)
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())

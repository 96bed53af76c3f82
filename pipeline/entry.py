"""The console script. Only the standard library at the top: workers import this module too, before their sandbox."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its status."""
    from pipeline import cli

    sys.exit(cli.run(sys.argv[1:]))


if __name__ == "__main__":
    main()

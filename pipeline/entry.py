"""The console script. Only the standard library at the top: workers import this module too, before their sandbox."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["status"]:
        from pipeline.verbs import glance

        if glance.FLAGS.issuperset(arguments[1:]):
            sys.exit(glance.run(arguments[1:]))  # the parser alone takes longer to load than this to run
    from pipeline import cli

    sys.exit(cli.run(arguments))


if __name__ == "__main__":
    main()

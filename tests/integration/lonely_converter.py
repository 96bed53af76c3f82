"""An external convert for tests: each file of INPUT that begins with `rows` becomes a Parquet file in OUTPUT."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def main() -> None:
    source, output = map(Path, sys.argv[1:3])
    for path in sorted(source.iterdir()):
        words = path.read_text().split()
        if words[0] == "refuse":
            sys.exit(4)
        if words[0] == "rows":
            pq.write_table(pa.table({"word": words[1:]}), output / f"{path.stem}.parquet")


if __name__ == "__main__":
    main()

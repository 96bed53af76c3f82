"""Names for what a batch gives: one file stands alone in work/, more lie in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Drawer:
    """Hands out names below PREFIX. A name may move once, when a second file comes: ask `settled` at the end."""

    def __init__(self, work: Path, prefix: str) -> None:
        self.work = work
        self._prefix = prefix
        self._single = f"{prefix}.parquet"
        self._folder = f"{prefix}.d"
        self._count = 0
        self._has_folder = False

    def new(self, suffix: str = ".parquet") -> str:
        """A fresh name in work/."""
        self._count += 1
        if self._count == 1 and suffix == ".parquet":
            return self._single
        self._make_folder()
        return f"{self._folder}/{self._count:05d}{suffix}"

    def _make_folder(self) -> None:
        if not self._has_folder:
            (self.work / self._folder).mkdir()
            self._has_folder = True

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A path in work/ for what is gone afterwards."""
        path = self.work / f"{self._prefix}.scratch"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def settled(self, name: str) -> str:
        """Where NAME lies in the end."""
        return f"{self._folder}/00001.parquet" if self._has_folder and name == self._single else name

    def close(self) -> tuple[str, ...]:
        """Puts everything in its final place and returns the names in work/ that hold it."""
        first = self.work / self._single
        if not self._has_folder:
            return (self._single,) if first.exists() else ()
        if first.exists():
            first.rename(self.work / self.settled(self._single))
        return (self._folder,)

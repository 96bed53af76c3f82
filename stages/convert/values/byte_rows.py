"""Texts of one width, or the bytes around values, as rows of bytes that are looked at column by column."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]


class Rows(msgspec.Struct, frozen=True):
    """Rows of `stride` bytes each in `data`, of which those before `start` are of no interest."""

    data: Bytes
    stride: int
    start: int = 0

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.data) // self.stride

    def word(self, at: int) -> Words:
        """Eight bytes of each row from AT on, the first of them the lowest."""
        view: Words = np.ndarray((self.count,), "<u8", self.data, self.start + at, (self.stride,))
        return view.copy()

    def byte(self, at: int) -> Bytes:
        """The byte at AT of each row."""
        return self.data[self.start + at :: self.stride]

    def begin_with(self, literal: bytes) -> bool:
        """Whether each row's first bytes, those before `start` among them, are LITERAL."""
        rest = len(literal)
        while rest > 0:
            begin = max(0, rest - 8)
            found = self.word(begin - self.start)
            if rest < 8:
                found &= MASKS[rest]
            if not (found == np.uint64(int.from_bytes(literal[begin:rest], "little"))).all():
                return False
            rest -= 8
        return True

    def where(self, flags: npt.NDArray[np.bool_]) -> Rows:
        """The rows for which FLAGS are set."""
        return Rows(self.data.reshape(-1, self.stride)[flags].reshape(-1), self.stride, self.start)


MASKS = [np.uint64((1 << 8 * count) - 1) for count in range(9)]  # of so many bytes from the first on

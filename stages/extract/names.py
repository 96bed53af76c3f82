"""Names as archives hold them, made readable. They are for people only: no path on disk is ever made from one."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

GUESSES = ("cp866", "gbk", "cp932", "cp437")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SUFFIXES = {
    ".tgz": ".tar", ".taz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".tb2": ".tar", ".txz": ".tar", ".tlz": ".tar",
    ".tzst": ".tar", ".gz": "", ".bz2": "", ".xz": "", ".lzma": "", ".zst": "", ".lz4": "", ".z": "", ".lz": "",
}  # fmt: skip


def decode(raw: bytes, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """RAW as text and what is to be noted about it: strict UTF-8 first, else ENCODING, else the likeliest guess."""
    try:
        return raw.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    encoding = encoding or guess([raw])
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        encoding = guess([raw])
        text = raw.decode(encoding)
    return text, (f"name decoded as {encoding} (guess)",)


def readable(name: str) -> str:
    """NAME without leading `./`, with control and direction characters written out so that no screen obeys them."""
    while name.startswith("./"):
        name = name[2:]
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", name) if _CONTROL.search(name) else name


def inner(name: str, stored: str = "") -> str:
    """What the single file in the compressed file NAME is called; STORED is the name it holds itself, if any."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".001")
    for suffix, instead in _SUFFIXES.items():
        if base.lower().endswith(suffix) and len(base) > len(suffix):
            return base[: -len(suffix)] + instead
    return stored.replace("\\", "/").rsplit("/", 1)[-1] or base


def guess(raws: Iterable[bytes]) -> str:
    """The encoding in which the names RAWS read best. cp437 can decode anything, so there is always one."""
    sample = [raw for raw in raws if not raw.isascii()][:200]
    return max(GUESSES, key=lambda encoding: _score(sample, encoding))


def _score(raws: list[bytes], encoding: str) -> float:
    total, weight = 0.0, 0
    for raw in raws:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            return -1e9
        total += _plausible(text, encoding)
        weight += sum(byte >= 0x80 for byte in raw)
    return total / max(weight, 1)


def _plausible(text: str, encoding: str) -> float:
    """How much TEXT looks like a name, in units of one byte that makes sense."""
    judge = _JUDGES[encoding]
    around = f" {text} "
    return sum(judge(around[i], around[i + 1], around[i + 2]) for i in range(len(text)) if around[i + 1] > "\x7f")


def _cyrillic(before: str, char: str, after: str) -> float:
    if not ("\u0410" <= char <= "\u044f" or char in "Ёё№"):
        return -1.0 if "\u2500" <= char <= "\u259f" else -0.5
    if _ascii_letter(before) or _ascii_letter(after):
        return 0.2
    return 0.3 if char.isupper() and before.islower() else 1.0


def _western(before: str, char: str, after: str) -> float:
    if not ("\u00c0" <= char <= "\u00ff" and char not in "×÷"):
        return -1.0
    if not (_ascii_letter(before) or _ascii_letter(after)):
        return -0.5
    return 0.2 if char.isupper() and before.islower() else 0.9


@functools.cache
def _chinese_char(char: str) -> float:
    raw = char.encode("gbk")
    if len(raw) < 2:
        return -1.0
    lead, trail = raw
    if trail < 0xA1:
        return -0.5  # outside GB 2312
    if 0xB0 <= lead <= 0xD7:
        return 2.0  # level 1: the 3,755 common ones
    return 1.0 if 0xD8 <= lead <= 0xF7 or lead in (0xA1, 0xA3) else -0.5


def _chinese(before: str, char: str, after: str) -> float:
    return _chinese_char(char) * _company(before, after)


def _company(before: str, after: str) -> float:
    """A lone East Asian character beside Latin letters is more likely two accented ones, or one and a letter."""
    alone = before.isascii() and after.isascii()
    return 0.3 if alone and (_ascii_letter(before) or _ascii_letter(after)) else 1.0


@functools.cache
def _japanese_char(char: str) -> float:
    if "\u3041" <= char <= "\u30fe" or char in "々ー":
        return 2.0
    if "\uff61" <= char <= "\uff9f":
        return -0.2  # half-width kana: possible, seldom
    raw = char.encode("cp932")
    if len(raw) < 2:
        return -1.0
    return 1.8 if 0x88 <= raw[0] <= 0x97 else 0.6 if raw[0] in (0x81, 0x82) or raw[0] >= 0x98 else -0.5


def _japanese(before: str, char: str, after: str) -> float:
    return _japanese_char(char) * _company(before, after)


def _ascii_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


_JUDGES: dict[str, Callable[[str, str, str], float]] = {
    "cp866": _cyrillic,
    "gbk": _chinese,
    "cp932": _japanese,
    "cp437": _western,
}

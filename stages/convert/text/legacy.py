"""Which of the encodings from before Unicode a text is in: the one in which it reads most like a language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from stages.convert.text.languages import COMMON, log_shares

_ENOUGH = 200  # bytes of words from which on a guess is as sure as it can be
_MOST = 16 * 1024  # bytes of the words that are looked at
# Latin letters stand among ASCII ones; these scripts have words of their own.
_LATIN = {
    "cp1252": ("fr", "de", "es", "pt", "it", "sv", "da", "nb", "fi", "is", "et"),
    "cp1250": ("pl", "cs", "sk", "hu", "hr", "sl", "ro"),
    "cp1254": ("tr",),
    "cp1257": ("lt", "lv", "et"),
    "iso8859_2": ("pl", "cs", "sk", "hu", "hr", "sl"),
    "cp850": ("fr", "de", "es", "pt", "it", "da"),
    "cp852": ("pl", "cs", "hu"),
    "mac_roman": ("fr", "de", "es", "pt"),
}
_OTHER = {
    "cp1251": ("ru", "uk", "bg", "sr"),
    "koi8_r": ("ru",),
    "koi8_u": ("uk",),
    "cp866": ("ru", "bg"),
    "iso8859_5": ("ru", "sr"),
    "mac_cyrillic": ("ru", "bg"),
    "cp1253": ("el",),
    "cp1255": ("he",),
    "cp1256": ("ar",),
}
_PRIOR = {"cp1252": 0.0, "cp1250": -0.1, "cp1251": 0.0, "koi8_r": -0.05, "cp866": -0.05}
_RARE = -0.35  # what the other encodings have to be better by
_UNKNOWN = -9.0  # the logarithm of the share of a letter that a language hasn't
_SIGN = -3.5  # of a sign that stands in texts of any language
_SIGNS = frozenset("„“”‚‘’–—…«»€°§№•©®™\u00a0\u00ad½²³µ£¿¡ªº´·×±†‰")
_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_COMMON = 0.15  # the share of common characters that shows an encoding of many characters,
_LESS_COMMON = 0.04  # and the one that does where no other is likely
_UNLIKELY = -4.6  # a likeness that no text of a language is below


_COMMONEST = "cp1252"
_DOUBT = 2.0  # by how much one letter may be likelier in another encoding


class Guess(msgspec.Struct, frozen=True):
    """A codec and how sure it is, 0 to 1."""

    codec: str
    confidence: float


def guess(sample: bytes) -> Guess:
    """The encoding of SAMPLE, which isn't UTF-8. Lines it cuts at its end don't matter."""
    if b"\x1b$B" in sample or b"\x1b$@" in sample:
        return Guess("iso2022_jp", 0.95)
    sample = sample[: sample.rfind(b"\n") + 1] or sample  # not to end within a character
    many = _of_many(sample)
    if many[0] >= _COMMON:
        return Guess(many[1], round(min(0.98, 0.6 + many[0]), 2))
    words = _words(sample)
    table = _OTHER if _share_of_high(words) >= 0.6 else _LATIN
    scored = sorted(((_score(words, codec, languages), codec) for codec, languages in table.items()), reverse=True)
    best, codec = _commonest_of_likely(scored, words)
    if best < _UNLIKELY and many[0] >= _LESS_COMMON:
        return Guess(many[1], 0.5)
    runner_up = next((score for score, other in scored[1:] if not _reads_alike(words, codec, other)), -20.0)
    lead = min(0.48, max(-0.2, (best - runner_up) / 4)) * min(1.0, len(b"".join(words)) / _ENOUGH)
    return Guess(codec, round(0.5 + lead, 2))


def _commonest_of_likely(scored: Sequence[tuple[float, str]], words: Sequence[bytes]) -> tuple[float, str]:
    """The best of SCORED, or the encoding that most files are in where few letters hardly speak against it."""
    letters = b"".join(words)
    margin = _DOUBT / max(1, len(letters) - len(letters.translate(None, _HIGH)))
    common = next((found for found in scored if found[1] == _COMMONEST), scored[0])
    return common if scored[0][0] - common[0] < margin else scored[0]


def _of_many(sample: bytes) -> tuple[float, str]:
    """The encoding of many characters in which most of SAMPLE's are common ones, and their share."""
    scored = []
    for codec, common in COMMON.items():
        text = _decoded(sample, codec)
        if text is not None:
            high = [character for character in text if character > "\x7f"]
            scored.append((sum(character in common for character in high) / max(1, len(high)), codec))
    return max(scored, default=(0.0, ""))


def _decoded(sample: bytes, codec: str) -> str | None:
    """SAMPLE as text, if hardly any of it is no text in CODEC."""
    text = sample.decode(codec, "replace")
    return text if text.count("\ufffd") * 200 <= len(sample) - len(sample.translate(None, _HIGH)) else None


_HIGH = bytes(range(0x80, 0x100))


def _words(sample: bytes) -> list[bytes]:
    """The words of SAMPLE that aren't ASCII, enough of them."""
    words, size = [], 0
    for match in _WORD.finditer(sample):
        words.append(match[0])
        size += len(match[0])
        if size > _MOST:
            break
    return words


def _share_of_high(words: Iterable[bytes]) -> float:
    """The share of bytes that aren't ASCII, in words of some length that have such."""
    text = b"".join(word for word in words if len(word) > 3)
    return (len(text) - len(text.translate(None, _HIGH))) / max(1, len(text))


def _reads_alike(words: Sequence[bytes], codec: str, other: str) -> bool:
    text = b" ".join(words)
    return text.decode(codec, "replace") == text.decode(other, "replace")


def _score(words: Sequence[bytes], codec: str, languages: Sequence[str]) -> float:
    """How much WORDS read like one of LANGUAGES in CODEC: the mean logarithm of their letters' shares."""
    text = b" ".join(words).decode(codec, "replace")
    characters = [(text[index - 1 : index], character) for index, character in enumerate(text) if character > "\x7f"]
    if not characters:
        return _UNKNOWN
    return max(_likeness(characters, language) for language in languages) + _PRIOR.get(codec, _RARE)


def _likeness(characters: Sequence[tuple[str, str]], language: str) -> float:
    shares = log_shares(language)
    total = 0.0
    for before, character in characters:
        lower = character.lower()
        if lower in shares:
            total += shares[lower] - (3.0 if character != lower and before.islower() else 0.0)
        else:
            total += _SIGN if character in _SIGNS else _UNKNOWN
    return total / len(characters)

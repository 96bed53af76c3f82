"""What our result for a sample is worth beside the others'. Pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
Found = Sequence[Any]  # name, size, hash, whether it's an archive


class Verdict(enum.StrEnum):
    """How it stands."""

    FATAL = "fatal"  # a crash, a hang, something left behind or written elsewhere
    FEWER = "fewer"  # a program that has nothing to complain of reads what we don't
    WHOLE = "whole"  # handed on as the one file that it is, which others open: a document, or a program
    FEWER_DAMAGED = "fewer of damaged"  # a program that complains reads what we don't
    UNSAID = "unsaid"  # we take all of it without a word, and every other program that reads it complains
    NAMES = "names"  # the same bytes under other names
    LIMIT = "limit"  # we refuse it for a limit, or as a bomb
    ENCRYPTED = "encrypted"  # it wants a password
    PLAIN = "plain"  # no archive to us, nor to any other
    REFUSED = "refused"  # nobody reads a byte of it
    MORE = "more"  # we read more than any other
    SAME = "same"  # as the best of the others


class Judged(NamedTuple):
    """A verdict, by which other program, and what is missing."""

    verdict: Verdict
    by: str = ""
    detail: str = ""


def judge(ours: Mapping[str, Any], others: Mapping[str, tuple[bool, Sequence[Found]]]) -> Judged:
    """OURS as `ours.run` answers, OTHERS as `references` prints them."""
    if ours.get("fatal"):
        return Judged(Verdict.FATAL, "", ours["fatal"])
    good = [one for one in ours["members"] if one[3] is None]
    codes = {ours["code"], *(one[3] for one in ours["members"])} - {None}
    best, lost = _best(ours, good, others)
    if best and lost:
        detail = f"{len(lost)} of {len(others[best][1])}: {lost[0]!r}; ours: {sorted(codes) or len(good)}"
        if codes & {"bomb", "too_large", "timeout"}:
            return Judged(Verdict.LIMIT, best, detail)
        if "encrypted" in codes:
            return Judged(Verdict.ENCRYPTED, best, detail)
        if not codes and len(good) == 1 and "!/" not in good[0][0]:
            return Judged(Verdict.WHOLE, best, detail)
        return Judged(Verdict.FEWER if others[best][0] else Verdict.FEWER_DAMAGED, best, detail)
    return _without_loss(ours, good, codes, others)


def _without_loss(
    ours: Mapping[str, Any],
    good: Sequence[Sequence[Any]],
    codes: set[str],
    others: Mapping[str, tuple[bool, Sequence[Found]]],
) -> Judged:
    readers = {name: fine for name, (fine, found) in others.items() if any(one[2] != EMPTY for one in found)}
    if "encrypted" in codes:
        return Judged(Verdict.ENCRYPTED)
    if codes & {"bomb", "too_large", "timeout"}:
        return Judged(Verdict.LIMIT)
    if len(good) == 1 and "!/" not in good[0][0] and not codes:
        return Judged(Verdict.PLAIN)
    if not readers and not any(one[2] != EMPTY for one in good):
        return Judged(Verdict.REFUSED, "", ", ".join(sorted(codes)))
    if not codes and readers and not any(readers.values()):
        return Judged(Verdict.UNSAID, ", ".join(readers))
    if not readers:
        return Judged(Verdict.MORE)
    return _by_name(ours["members"], readers, others)


def _by_name(
    members: Sequence[Sequence[Any]], readers: Mapping[str, bool], others: Mapping[str, tuple[bool, Sequence[Found]]]
) -> Judged:
    mine = {_plain(one[0].partition("!/")[2]) for one in members}
    odd = {}
    for name in readers:
        names = {_plain(one[0]) for one in others[name][1] if not one[3] and one[2] != EMPTY}
        if not names - mine:
            return Judged(Verdict.SAME, name)
        odd[name] = sorted(names - mine)
    name, missing = min(odd.items(), key=lambda item: len(item[1]))
    return Judged(Verdict.NAMES, name, f"{missing[:2]} not in {sorted(mine)[:3]}")


def _best(
    ours: Mapping[str, Any], good: Sequence[Sequence[Any]], others: Mapping[str, tuple[bool, Sequence[Found]]]
) -> tuple[str, list[str]]:
    """The program that reads most of what we don't, a content one first, and what that is; none where a content one that
    reads as much as any reads no more than we do."""
    mine = Counter(one[2] for one in good)
    seen = {_plain(one[0].partition("!/")[2]): one[3] for one in ours["members"]}
    lost = {name: _lost(found, mine, seen) for name, (_, found) in others.items()}
    most = max((len(found) for fine, found in others.values() if fine), default=0)
    if most and any(fine and not lost[name] and len(found) == most for name, (fine, found) in others.items()):
        return "", []
    if not any(lost.values()):
        return "", []
    best = max(lost, key=lambda name: (bool(lost[name]) and others[name][0], len(lost[name])))
    return best, lost[best]


def _lost(found: Sequence[Found], mine: Counter[str], seen: Mapping[str, str | None]) -> list[str]:
    """What among FOUND isn't among MINE, by hash; links that we name, and archives that we open, are nothing lost."""
    left, missing = Counter(mine), []
    for name, _, sha256, is_archive in found:
        path = _plain(name)
        if sha256 == EMPTY or left[sha256] > 0:
            left[sha256] -= 1
        elif seen.get(path) == "unsafe" or (
            is_archive and (len(found) == 1 or path in seen or any(one.startswith(f"{path}!/") for one in seen))
        ):
            continue
        else:
            missing.append(name)
    return missing


def _plain(name: str) -> str:
    """NAME without what programs treat differently."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))

"""Landlock, the kernel's way for a process to give up its own rights to the file system, by plain system calls.

Linux 5.13 or newer; what a kernel knows is its ABI's number. Nothing here is undone while the process lives, and all that it
starts inherits it.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

_CREATE_RULESET: Final = 444  # the same numbers on every architecture
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_NET_ABI: Final = 4
_SCOPE_ABI: Final = 6
_NET: Final = 0b11  # bind and connect of TCP
_SCOPE: Final = 0b11  # abstract Unix sockets, signals


class Access(enum.IntFlag):
    """What can be done with a file or below a folder."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13  # rename and link from folder to folder; ABI 2
    TRUNCATE = 1 << 14  # ABI 3
    IOCTL_DEV = 1 << 15  # ABI 5


READ: Final = Access.READ_FILE | Access.READ_DIR
RUN: Final = READ | Access.EXECUTE
WRITE: Final = (
    READ
    | Access.WRITE_FILE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.MAKE_SYM
    | Access.REFER
    | Access.TRUNCATE
)
_OF_FILES: Final = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
_SINCE: Final = ((2, Access.REFER), (3, Access.TRUNCATE), (5, Access.IOCTL_DEV))
_FIRST: Final = Access((1 << 13) - 1)  # what ABI 1 knows

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Rule(NamedTuple):
    """ACCESS is left to PATH, and to all below it where it is a folder."""

    path: str
    access: Access


def abi() -> int:
    """The kernel's version of Landlock; 0 where it has none, or has it switched off."""
    return max(0, _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))


def restrict(rules: Iterable[Rule]) -> int:
    """Leaves this process, for ever, nothing of the file system but RULES, and no TCP where the kernel can deny that.

    Paths that aren't there are passed over. Returns the ABI; 0 where there is no Landlock and nothing was done. Raises
    OSError where the kernel has it and refuses.
    """
    version = abi()
    if not version:
        return 0
    known = _known(version)
    net, scope = _NET if version >= _NET_ABI else 0, _SCOPE if version >= _SCOPE_ABI else 0
    attributes = struct.pack("QQQ", known, net, scope)
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        raise _error("landlock_create_ruleset")
    try:
        for rule in rules:
            _add(ruleset, rule, known)
        no_new_privileges()
        if _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) < 0:
            raise _error("landlock_restrict_self")
    finally:
        os.close(ruleset)
    return version


def no_new_privileges() -> None:
    """Neither this process nor what it starts gets more rights by executing a setuid program. Raises OSError."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _error("prctl")


def _known(version: int) -> Access:
    known = _FIRST
    for since, access in _SINCE:
        if version >= since:
            known |= access
    return known


def _add(ruleset: int, rule: Rule, known: Access) -> None:
    try:
        descriptor = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not there, or beyond a folder that this user may not search
    try:
        access = rule.access & known
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _OF_FILES
        attributes = struct.pack("=Qi", access, descriptor)
        if _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), attributes, ctypes.c_uint32(0)) < 0:
            with contextlib.suppress(OSError):
                raise _error(rule.path)  # a file system without hooks (a pipe's, say): it stays out of reach
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)

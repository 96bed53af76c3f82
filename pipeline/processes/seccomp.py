"""A seccomp filter that denies system calls which no stage needs: sockets, changes of rights, and what reaches other processes.

It is a small BPF program for the kernel, built here by number so that it needs no library. What it denies fails with EPERM, as if the user
hadn't the right; what glibc has a second way for fails with ENOSYS.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final

_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_DENY: Final = 0x00050000 | errno.EPERM
_NO_SUCH_CALL: Final = 0x00050000 | errno.ENOSYS
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; arguments take 8 bytes each
_X32: Final = 0x40000000  # numbers from here on are x86-64's other ABI

_NAMESPACES: Final = 0x7E020000 | 0x80  # the CLONE_NEW... flags
_TRUNCATING: Final = os.O_ACCMODE | os.O_TRUNC
_PUSH_INPUT: Final = 0x5412  # TIOCSTI: types on behalf of whoever sits at the terminal

_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Name: number on x86-64, number on arm64 (where the call doesn't exist: -1).
_DENIED: Final = {
    # Nothing is reached from here but through the one socket that was there.
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200), "listen": (50, 201),
    "accept4": (288, 242),
    # Landlock has no hook for what is changed about a file without opening it.
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463), "removexattrat": (466, 466),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88), "truncate": (76, 45),
    "mknod": (133, -1), "mknodat": (259, 33), "file_setattr": (469, 469),
    # Other processes.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "shmget": (29, 194), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180),
    # The house itself.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    # Large parts of the kernel that nobody here has any use for.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "syslog": (103, 116),
    "iopl": (172, -1), "ioperm": (173, -1), "modify_ldt": (154, -1),
}  # fmt: skip
# io_uring opens files and sockets past any filter; of clone3 and openat2 a filter can't see the flags.
_MISSING: Final = {
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "clone3": (435, 435), "openat2": (437, 437),
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def available() -> bool:
    """Whether the kernel has it, on an architecture whose numbers are known here."""
    return platform.machine() in _ARCHITECTURES and _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def restrict() -> bool:
    """Puts the filter on this process, for ever. The process must have given up new privileges before. False where the
    kernel or the architecture doesn't know it."""
    if not available():
        return False
    code = program(platform.machine())
    description = _Program(len(code) // 8, code)
    return not _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(description), 0, 0)


def program(machine: str) -> bytes:
    """The filter's BPF code for MACHINE, 8 bytes an instruction."""
    column, architecture = _ARCHITECTURES[machine]
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_IF_EQUAL, architecture, 1, 0),
        _step(_RETURN, _DENY),
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        code += [_step(_IF_AT_LEAST, _X32, 0, 1), _step(_RETURN, _DENY)]
    for calls, verdict in ((_DENIED, _DENY), (_MISSING, _NO_SUCH_CALL)):
        numbers = [numbers[column] for numbers in calls.values() if numbers[column] >= 0]
        for number in numbers:
            code += [_step(_IF_EQUAL, number, 0, 1), _step(_RETURN, verdict)]
    code += _by_argument((56, 220)[column], 0, [_step(_IF_ANY_BIT, _NAMESPACES, 0, 1)])
    code += _by_argument((16, 29)[column], 1, [_step(_IF_EQUAL, _PUSH_INPUT, 0, 1)])
    # Reading with O_TRUNC empties a file; before its third ABI Landlock takes that for reading.
    truncates = [_step(_AND, _TRUNCATING), _step(_IF_EQUAL, os.O_TRUNC, 0, 1)]
    code += _by_argument((257, 56)[column], 2, truncates)
    if machine == "x86_64":
        code += _by_argument(2, 1, truncates)
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _by_argument(number: int, argument: int, test: list[bytes]) -> list[bytes]:
    """The call NUMBER is denied where TEST, whose last step skips one when it doesn't hold, holds of its ARGUMENT."""
    decision = [_step(_LOAD, _ARGUMENTS + 8 * argument), *test, _step(_RETURN, _DENY), _step(_RETURN, _ALLOW)]
    return [_step(_IF_EQUAL, number, 0, len(decision)), *decision]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)

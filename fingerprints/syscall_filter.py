"""A seccomp filter: the few system calls that computing needs, and no others.

What is not on the list fails with EPERM: opening a file, a socket, another process, a signal to
one, `ptrace`, new limits, new privileges, and whatever a later kernel adds.
"""

import ctypes
import errno
import platform
import struct
from typing import NamedTuple

# Numbers from the kernel's asm/unistd_64.h (x86-64) and asm-generic/unistd.h (AArch64).
_CALLS: dict[str, tuple[int, int]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}


class _Machine(NamedTuple):
    audit_arch: int  # linux/audit.h
    seccomp: int  # number of the call itself
    column: int


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, 0),
    "aarch64": _Machine(0xC00000B7, 277, 1),
}

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET = 0, 4  # in struct seccomp_data
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_SET_MODE_FILTER, _TSYNC = 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def program(machine: str) -> bytes:
    """Returns the filter in classic BPF (struct sock_filter[]) for a machine of `_MACHINES`."""
    arch, _, column = _MACHINES[machine]
    numbers = sorted(numbers[column] for numbers in _CALLS.values())
    instructions = [
        (_LOAD, 0, 0, _ARCH_OFFSET),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        # Each comparison that holds jumps over the rest and the refusal.
        *((_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *each) for each in instructions)


def install(libc: ctypes.CDLL) -> str:
    """Puts the filter in force for every thread of this process, for good; says what happened.

    Needs ``no_new_privs`` to be set.
    """
    name = platform.machine()
    if name not in _MACHINES or struct.calcsize("P") != 8:
        return f"not in force: no filter for {name}"
    code = program(name)
    filter_ = _Program(len(code) // 8, code)
    number = ctypes.c_long(_MACHINES[name].seccomp)
    result = libc.syscall(number, _SET_MODE_FILTER, _TSYNC, ctypes.byref(filter_))
    if result:
        return f"not in force: {errno.errorcode.get(ctypes.get_errno(), 'refused')}"
    return f"in force: {len(_CALLS)} system calls allowed"

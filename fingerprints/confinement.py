"""Takes from this process, for good, whatever decoding pictures does not need.

Each measure says whether it is in force; nothing is assumed of the kernel, the container or the
user. At the end the process tries what it should no longer be able to do, and reports that too.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable

from ingestgate.fingerprints import syscall_filter

# linux/prctl.h
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_NO_NEW_PRIVS = 1, 4, 38

# linux/landlock.h; numbers of the calls are the same on every machine.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION = 1

_CAPABILITY_VERSION = 0x20080522


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def end_with_parent() -> None:
    """Asks the kernel to end this process when the thread that started it ends."""
    if sys.platform == "linux":
        _libc().prctl(_SET_PDEATHSIG, signal.SIGKILL)


def confine(spare_memory: int) -> dict[str, str]:
    """Confines this process to memory, arithmetic and the descriptors 0 to 2.

    Args:
        spare_memory: Bytes of address space that it may take beyond what it has.

    Returns:
        What is in force, by measure; see the code for the words.
    """
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    measures = {"memory": _limit_memory(spare_memory)}
    if sys.platform == "linux":
        libc = _libc()
        libc.prctl(_SET_DUMPABLE, 0)
        measures["no_new_privs"] = _said(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        measures["capabilities"] = _drop_capabilities(libc)
        measures["landlock"] = _landlock(libc)
        measures |= _limit_resources()
        measures["seccomp"] = syscall_filter.install(libc)
    else:
        for name in ("no_new_privs", "capabilities", "landlock", "seccomp"):
            measures[name] = f"not in force: {platform.system()} has none"
        measures |= _limit_resources()
    measures["opening a file"] = _attempt(lambda: os.open(sys.executable, os.O_RDONLY))
    measures["opening a socket"] = _attempt(lambda: socket.socket().close())
    measures["starting a process"] = _attempt(_fork)
    return measures


def _said(result: int) -> str:
    if result == 0:
        return "in force"
    return f"not in force: {errno.errorcode.get(ctypes.get_errno(), 'refused')}"


def _limit_memory(spare: int) -> str:
    try:
        with open("/proc/self/statm", "rb") as statm:
            taken = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + spare, taken + spare))
    except (OSError, ValueError) as error:
        return f"not in force: {type(error).__name__}"
    return f"in force: {spare >> 20} MiB beyond {taken >> 20}"


def _limit_resources() -> dict[str, str]:
    measures = {}
    for name, kind, most in (
        ("core_size", resource.RLIMIT_CORE, 0),
        ("file_size", resource.RLIMIT_FSIZE, 0),
        ("processes", resource.RLIMIT_NPROC, 0),
        ("descriptors", resource.RLIMIT_NOFILE, 3),
    ):
        try:
            resource.setrlimit(kind, (most, most))
            measures[name] = f"in force: {most}"
        except (OSError, ValueError) as error:
            measures[name] = f"not in force: {type(error).__name__}"
    if os.geteuid() == 0 and measures["processes"].startswith("in force"):
        measures["processes"] = "not in force: root"  # who is exempt from this limit
    return measures


def _drop_capabilities(libc: ctypes.CDLL) -> str:
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0))
    none = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; two words each
    return _said(libc.capset(header, none))


def _landlock(libc: ctypes.CDLL) -> str:
    """Refuses every access to files, TCP and other processes that this kernel's Landlock knows."""
    version = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), _LANDLOCK_VERSION
    )
    if version < 1:
        return _said(-1)
    # Which rights there are, by version: to files, to TCP ports, to sockets and signals outside.
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    handled = struct.pack("=QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), handled, ctypes.c_size_t(size), ctypes.c_uint(0)
    )
    if ruleset < 0:
        return _said(-1)
    try:
        result = libc.syscall(ctypes.c_long(_RESTRICT_SELF), ruleset, ctypes.c_uint(0))
        return f"{_said(result)}: version {version}" if result == 0 else _said(result)
    finally:
        os.close(ruleset)


def _attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return f"refused: {errno.errorcode.get(error.errno or 0, 'unknown')}"
    return "possible"


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

"""Landlock: confines a process and all its descendants to writing below given paths, for ever.

Three system calls (Linux 6.2 and newer), with the standard library only: the supervisor loads it
by path. Reading stays as it is. https://docs.kernel.org/userspace-api/landlock.html
"""

# Loaded with every job: pathlib would double the supervisor's start-up time.

import ctypes
import os
import stat
import struct

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture but alpha
_CREATE_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_SCOPE_SIGNAL = 1 << 1

# Older ones forbid every move between folders (before 2) or let files be emptied (before 3).
_OLDEST = 3
_SCOPES = 6

_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_CONTENT = _WRITE_FILE | _TRUNCATE
# Remove files and folders; make devices, folders, files, sockets, pipes, links; move between folders.
_WRITES = _CONTENT | sum(1 << bit for bit in range(4, 14))


class Unavailable(Exception):
    """This kernel cannot confine."""


def version() -> int:
    """The kernel's Landlock ABI; 0 = none."""
    return max(0, _syscall(_CREATE_RULESET, None, 0, _CREATE_VERSION))


def available() -> bool:
    """Whether `confine` works here."""
    return version() >= _OLDEST


def confine(folders: list[str], contents: list[str]) -> None:
    """Let this process write only below `folders`, and into what exists below `contents`; and,
    where the kernel can, signal only processes that it started. Paths that do not exist are left
    out. Raises Unavailable, OSError.
    """
    abi = version()
    if abi < _OLDEST:
        raise Unavailable(f"the kernel has no Landlock of version {_OLDEST} (it has {abi or 'none'})")
    attributes = struct.pack("=QQQ", _WRITES, 0, _SCOPE_SIGNAL) if abi >= _SCOPES else struct.pack("=Q", _WRITES)
    ruleset = _checked(_CREATE_RULESET, attributes, len(attributes), 0)
    for paths, rights in ((folders, _WRITES), (contents, _CONTENT)):
        for path in paths:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except (FileNotFoundError, PermissionError):
                continue
            allowed = rights if stat.S_ISDIR(os.fstat(place).st_mode) else rights & _CONTENT
            _checked(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, place), 0)
            os.close(place)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _checked(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _syscall(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))


def _checked(number: int, *arguments: object) -> int:
    result = _syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock: {os.strerror(ctypes.get_errno())}")
    return result

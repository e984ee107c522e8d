"""The study lock: one controller per study, told apart from a dead one by the kernel."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import StudyBusy, StudyStopped

FILENAME = "controller.lock"
_NOTE = 512


@contextmanager
def controller_lock(directory: Path) -> Iterator[None]:
    """Hold the study for this process; the lock dies with the process, however it dies.

    Raises StudyBusy, naming pid, host and start time of the other controller; StudyStopped where
    nothing can be written or no file can be opened.
    """
    try:
        descriptor = os.open(directory / FILENAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StudyStopped(
            f"cannot lock {directory} for this controller: {error.strerror}; a study runs only where it can write"
        ) from None
    try:
        if not _take(descriptor):
            raise StudyBusy(f"{directory} is being run by another controller{_holder(descriptor)}")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        # Padded and in one write: on a full disk the note is left as it was, and the lock still holds.
        with suppress(OSError):
            os.pwrite(descriptor, json.dumps(holder).encode().ljust(_NOTE), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(directory: Path) -> bool:
    """Whether a controller is running the study now (on this machine)."""
    try:
        descriptor = os.open(directory / FILENAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Lock, trying for a moment: `is_held` of another process may hold it for an instant."""
    for _ in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.02)
    return False


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f": process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return ""

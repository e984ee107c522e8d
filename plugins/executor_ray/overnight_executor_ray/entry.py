"""The entrypoint of one Ray job: a folder of its own on the node for the server, of which nothing stays.

Standard library only: it is sent as text and run by the node's Python, with the server's argv as its own.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LEAVING_S = 10.0  # what supervisors may take to end their jobs once their server is gone


def main(command: list[str]) -> int:
    """Run the server until it ends, then delete what it and its jobs have left on the node."""
    base = Path(os.environ.get("OVERNIGHT_FOLDER") or tempfile.gettempdir()) / f"overnight-ray-{os.getuid()}"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if base.stat().st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to somebody else")
    with (base / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(base)
        place = Path(tempfile.mkdtemp(prefix="job-", dir=base))
        alive = (place / ".alive").open("w")  # its lock is held until this process ends
        fcntl.flock(alive, fcntl.LOCK_EX)
    libc = ctypes.CDLL(None, use_errno=True)
    # Supervisors outlive a server that was killed by a moment: they come here, and are waited for.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    env = {"OVERNIGHT_CACHE": str(base / "cache"), **os.environ, "TMPDIR": str(place)}
    server = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    )
    while server.poll() is None:
        if stopped:
            server.terminate()
        time.sleep(0.1)
    end = time.monotonic() + _LEAVING_S
    with contextlib.suppress(ChildProcessError):  # nobody is left
        while time.monotonic() < end:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
    shutil.rmtree(place, ignore_errors=True)
    code = server.returncode
    return code if code >= 0 else 128 - code


def sweep(base: Path) -> None:
    """Delete the folders of jobs that were killed with all their processes."""
    for place in base.glob("job-*"):
        try:
            with (place / ".alive").open("w") as alive:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # it lives
        except OSError:
            pass  # nobody is in what has no such file: both are made under the lock that is held here
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

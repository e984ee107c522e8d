"""Confines a machine's processes to namespaces of their own, so that nothing of a machine outlives it.

The thread that lives a machine's life enters a new network: what it starts is born there, and the
network has one address, the same in every machine. Nothing on the host is configured, so nothing is
left behind. A program that listens on 127.0.0.1 only is not reachable, exactly as in a real pod.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

ADDRESS = "10.77.0.2"
_NEWNET = 0x40000000
_SUBREAPER = 36
_IFF_UP, _SET_FLAGS, _SET_ADDRESS, _SET_MASK = 0x1, 0x8914, 0x8916, 0x891C

_libc = ctypes.CDLL(None, use_errno=True)
_host_network = os.open("/proc/self/ns/net", os.O_RDONLY)


class Cage:
    """What this host can do: `networks` of their own, `trees` of processes that die as one."""

    def __init__(self, *, wanted: bool = True):
        _libc.prctl(_SUBREAPER, 1, 0, 0, 0)  # the first process of a killed tree is ours to wait for
        self.networks = wanted and _succeeds_in_a_thread(new_network)
        self.prefix, self.trees = _prefix(wanted)

    def start(self, command, **how):
        """The command, in the network of the calling thread, which must outlive it."""
        return subprocess.Popen([*self.prefix, *command], stdin=subprocess.DEVNULL, start_new_session=True, **how)

    def first(self, process):
        """The process that is number 1 inside."""
        if not self.trees:
            return process.pid
        end = time.monotonic() + 0.5
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError):
                if children := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                    return int(children[0])
            time.sleep(0.005)
        return None

    def warn(self, process):
        """SIGTERM to number 1, which ignores it unless it has a handler."""
        if process.poll() is None and (first := self.first(process)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGTERM)

    def kill(self, process, folder):
        """End it with all that it started."""
        alive = process.poll() is None
        first = self.first(process) if alive else None
        if alive or not self.trees:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self.trees and first:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(first, 0)  # returns when the whole tree is dead
        elif not self.trees:
            for pid in inhabitants(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _prefix(wanted):
    """(words before a command, whether they confine a whole tree)."""
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    mortal = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    for user in ([], ["--user", "--map-root-user"]):
        words = [*mortal, str(unshare), *user, "--pid", "--fork", "--kill-child", "--mount-proc"]
        if wanted and unshare and mortal and not subprocess.run([*words, "true"], capture_output=True).returncode:
            return words, True
    return mortal, False


def _succeeds_in_a_thread(attempt):
    """Whether it works; in a thread of its own, because the thread never comes back."""
    done = []

    def run():
        with contextlib.suppress(OSError):
            os.close(attempt())
            done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return bool(done)


def _checked(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def new_network():
    """Move the calling thread, for good, into a network of its own; a handle of it."""
    _checked(_libc.unshare(_NEWNET))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        fcntl.ioctl(door, _SET_FLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        for what, value in ((_SET_ADDRESS, ADDRESS), (_SET_MASK, "255.255.255.255")):
            address = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(door, what, struct.pack("16s16s", b"lo:1", address))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def new_line(network):
    """A socket, not yet connected, in a machine's network: it belongs where it was made."""
    if network is None:
        return socket.socket()
    _checked(_libc.setns(network, _NEWNET))
    try:
        return socket.socket()
    finally:
        _checked(_libc.setns(_host_network, _NEWNET))


def free_port():
    """A port of the host that nobody uses at the moment."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return line.getsockname()[1]


def places():
    """{pid: working directory} of all living processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                place = str((entry / "cwd").readlink())
                if (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                    found[int(entry.name)] = place
    return found


def inhabitants(folder, known=None):
    """Living processes that work in a folder."""
    known = places() if known is None else known
    return [pid for pid, place in known.items() if place == str(folder) or place.startswith(f"{folder}/")]

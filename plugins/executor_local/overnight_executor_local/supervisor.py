"""The supervisor of one job: starts it, keeps its log within bounds, and leaves nothing of it alive.

Run as a program of its own, with the standard library only so that it starts in milliseconds:
`python -I -S supervisor.py JOBDIR LIVENESS_FD`. It is a child subreaper, so that a job's
processes come back to it however they detach; the controller holds the other end of LIVENESS_FD
and its death, of whatever kind, closes that end. A thread of its own watches that end, so that a
disk that stalls the log or a report does not keep a dead controller's job alive.
"""

import collections
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import processes  # beside this file, not in a package: -I -S has no site-packages

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CHUNK = 1 << 16


def prctl(option: int, value: int) -> None:
    """Linux prctl(2). Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


class BoundedLog:
    """A file that keeps the first three quarters and the last quarter of `limit` bytes."""

    def __init__(self, path: str, limit: int) -> None:
        self._file = open(path, "ab", buffering=0)  # open for the job's life
        self._room = limit * 3 // 4
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_limit = limit - self._room
        self._tail_size = self._dropped = 0

    def write(self, data: bytes) -> None:
        head, rest = data[: self._room], data[self._room :]
        if head:
            self._room -= len(head)
            self._put(head)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            while self._tail_size > self._tail_limit:
                old = self._tail.popleft()
                spare = self._tail_size - len(old)
                keep = old[len(old) - max(0, self._tail_limit - spare) :] if spare < self._tail_limit else b""
                if keep:
                    self._tail.appendleft(keep)
                self._tail_size = spare + len(keep)
                self._dropped += len(old) - len(keep)

    def close(self) -> None:
        if self._dropped:
            self._put(f"\n[... {self._dropped} bytes of output left out here ...]\n".encode())
        self._put(b"".join(self._tail))
        self._file.close()

    def _put(self, data: bytes) -> None:
        # A full disk must not stop the job's output from being drained: what cannot be kept is
        # dropped, and the job's own writes fail with the same error, where it matters.
        with contextlib.suppress(OSError):
            self._file.write(data)


def start_job(order: dict, log_fd: int) -> int:
    """Fork and exec the command in a session of its own; returns its pid."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(125)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.chdir(order["folder"])
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.execvpe(order["command"][0], order["command"], order["env"])
    except BaseException as error:  # in a forked child, nothing may pass this line
        os.write(2, f"cannot start {order['command'][0]}: {error}\n".encode())
        os._exit(127)


class Supervisor:
    """Watches one job until nothing of it is left, then writes exit.json."""

    def __init__(self, folder: str, liveness: int) -> None:
        with open(os.path.join(folder, "order.json"), encoding="utf-8") as file:
            self.order = json.load(file)
        self.folder = folder
        self.liveness = liveness
        self.reason = ""
        self.status: int | None = None
        self.rss_kb = 0
        self.kill_at: float | None = None
        self.over = threading.Event()
        self.started = time.monotonic()
        self.deadline = self.started + self.order["deadline_s"]

    def run(self) -> None:
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
        os.set_inheritable(self.liveness, False)
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(wake_r, False)
        signal.set_wakeup_fd(wake_w)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: self.stop("cancelled"))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if select.select([self.liveness], [], [], 0.0)[0]:
            self.write("exit.json", self.verdict(True) | {"reason": "controller-died"})
            return
        log_r, log_w = os.pipe()
        self.pid = start_job(self.order, log_w)
        os.close(log_w)
        threading.Thread(target=self.guard, daemon=True).start()
        self.write("supervisor.json", {"pid": os.getpid(), "start": processes.start_time(os.getpid()),
                                       "began": self.started})  # fmt: skip
        log = BoundedLog(os.path.join(self.folder, "log.txt"), self.order["max_log_bytes"])
        watched = {log_r, wake_r}
        while self.status is None:
            ready, _, _ = select.select(list(watched), [], [], self.patience())
            if log_r in ready and not self.take(log, log_r):
                watched.discard(log_r)
            if wake_r in ready:
                os.read(wake_r, 4096)
            self.check_times()
            self.reap()
        self.over.set()
        gone = processes.kill_all(lambda: processes.descendants(os.getpid()))
        while log_r in watched and select.select([log_r], [], [], 0.0)[0] and self.take(log, log_r):
            pass
        log.close()
        self.write("exit.json", self.verdict(gone))

    def guard(self) -> None:
        """Kill the job when the controller dies; nothing here may wait for a disk."""
        os.read(self.liveness, 1)  # nothing is ever written: this returns at the other end's close
        self.reason = self.reason or "controller-died"
        while not self.over.is_set():
            processes.send(processes.descendants(os.getpid()), signal.SIGKILL)
            self.over.wait(0.05)

    def take(self, log: BoundedLog, fd: int) -> bool:
        data = os.read(fd, _CHUNK)
        log.write(data)
        return bool(data)

    def patience(self) -> float:
        until = self.deadline if self.kill_at is None else self.kill_at
        return max(0.0, min(until - time.monotonic(), 3600.0))

    def stop(self, reason: str) -> None:
        """SIGTERM the tree now, SIGKILL it after the grace time."""
        if self.kill_at is None:
            self.reason = self.reason or reason
            self.kill_at = time.monotonic() + self.grace()
            processes.send(processes.descendants(os.getpid()), signal.SIGTERM)

    def grace(self) -> float:
        try:
            with open(os.path.join(self.folder, "cancel.json"), encoding="utf-8") as file:
                return float(json.load(file)["grace_s"])
        except (OSError, ValueError, KeyError):
            return float(self.order["grace_s"])

    def check_times(self) -> None:
        now = time.monotonic()
        if self.kill_at is not None and now >= self.kill_at:
            processes.send(processes.descendants(os.getpid()), signal.SIGKILL)
            self.kill_at = now + 0.05
        elif self.kill_at is None and now >= self.deadline:
            self.stop("deadline")

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.pid:
                    self.status = os.waitstatus_to_exitcode(status)
                    self.rss_kb = usage.ru_maxrss

    def verdict(self, gone: bool) -> dict:
        return {
            "exit_code": self.status,
            "reason": self.reason,
            "seconds": round(time.monotonic() - self.started, 3),
            "max_rss_mb": round(self.rss_kb / 1024, 1),
            "gone": gone,
        }

    def write(self, name: str, content: dict) -> None:
        path = os.path.join(self.folder, name)
        with open(path + ".partial", "w", encoding="utf-8") as file:
            json.dump(content, file)  # not synced: what ends the machine ends the job too
        os.replace(path + ".partial", path)


if __name__ == "__main__":
    Supervisor(sys.argv[1], int(sys.argv[2])).run()

"""The supervisor of one job: starts it, keeps its log within bounds, and leaves nothing of it alive.

Run as a program of its own, with the standard library only so that it starts in milliseconds:
`python -I -S supervisor.py JOBDIR LIVENESS_FD`. It is a child subreaper, so that a job's
processes come back to it however they detach; the controller holds the other end of LIVENESS_FD
and its death, of whatever kind, closes that end: the job's end too, unless it was ordered detached.
A thread of its own watches that end, memory and processes, so that a disk that stalls the log or a
report delays none of that.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import landlock  # beside this file, not in a package: -I -S has no site-packages
import processes
from joblog import BoundedLog
from limits import Limits, kernel_oom_kills

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CHUNK = 1 << 16
# Seconds between looks, at least and at most, and how much longer than a look the pause after it is.
_LOOK_S, _DISK_S, _LAZINESS = (0.1, 0.5), (0.5, 30.0), 30


def pause_after(began: float, bounds: tuple[float, float]) -> float:
    """Seconds to wait after a look that began at this monotonic time, so that looking stays cheap."""
    return min(bounds[1], max(bounds[0], _LAZINESS * (time.monotonic() - began)))


def prctl(option: int, value: int) -> None:
    """Linux prctl(2). Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def take_precedence() -> None:
    """Let this thread run before any number of a job's processes, where that is allowed (root);
    others share the processor with a fork bomb, in a scheduling group of their own."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def start_job(order: dict, limits: Limits, log_fd: int) -> int:
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
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.chdir(order["folder"])
        limits.impose()
        if confine := order.get("confine"):
            try:
                landlock.confine(confine["folders"], confine["contents"])
            except landlock.Unavailable as error:
                os.write(2, f"overnight: this job's writes are not confined to its folder: {error}\n".encode())
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.execvpe(order["command"][0], order["command"], order["env"])
    except BaseException as error:  # in a forked child, nothing may pass this line
        os.write(2, f"cannot start {order['command'][0]}: {error}\n".encode())
        os._exit(127)


class Supervisor:
    """Watches one job until nothing of it is left, then writes exit.json."""

    def __init__(self, folder: str, liveness: int) -> None:
        os.chdir(folder)  # from here on, a folder that is deleted or replaced is not written in
        with open("order.json", encoding="utf-8") as file:
            self.order = json.load(file)
        self.liveness = liveness
        self.detached = bool(self.order.get("detach"))
        self.tmp = self.order.get("tmp")
        self.limits = Limits(self.order.get("limits", {}), [folder, *([self.tmp] if self.tmp else [])])
        self.reason = self.note = ""
        self.status: int | None = None
        self.rss_kb = 0
        self.kill_at: float | None = None
        self.over = threading.Event()
        self.judging = threading.Lock()  # over ending the job and finding fault with it
        self.started = time.monotonic()
        self.deadline = self.started + self.order["deadline_s"]
        self.disk_at = self.started + _DISK_S[0]
        self.oom_kills = kernel_oom_kills()

    def run(self) -> None:
        # A folder has one supervisor: one that a killed controller had only just started may find
        # the folder remade, and another supervisor in it.
        os.close(os.open("supervised", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
        os.set_inheritable(self.liveness, False)
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(wake_r, False)
        signal.set_wakeup_fd(wake_w)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: self.stop("cancelled"))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not self.detached and select.select([self.liveness], [], [], 0.0)[0]:
            self.write("exit.json", self.verdict(True) | {"reason": "controller-died"})
            return
        # First the record, then the job: a controller that finds no record may start it again.
        self.write("supervisor.json", {"pid": os.getpid(), "start": processes.start_time(os.getpid()),
                                       "began": self.started})  # fmt: skip
        log_r, log_w = os.pipe()
        self.pid = start_job(self.order, self.limits, log_w)
        os.close(log_w)
        threading.Thread(target=self.guard, daemon=True).start()
        take_precedence()
        log = BoundedLog("log.txt", self.order["max_log_bytes"])
        watched = {log_r, wake_r}
        while self.status is None:
            ready, _, _ = select.select(list(watched), [], [], self.patience())
            if log_r in ready and not self.take(log, log_r):
                watched.discard(log_r)
            if wake_r in ready:
                os.read(wake_r, 4096)
            self.check_times()
            self.reap()
        with self.judging:
            self.over.set()
        processes.kill_tree(os.getpid())
        gone = processes.kill_all(lambda: processes.descendants(os.getpid()))
        while log_r in watched and select.select([log_r], [], [], 0.0)[0] and self.take(log, log_r):
            pass
        self.diagnose()
        log.close(f"overnight: killed: {self.note}" if self.note else "")
        self.clear_tmp()
        self.write("exit.json", self.verdict(gone))

    def guard(self) -> None:
        """Kill the job when the controller dies, when it holds too much memory or is too many
        processes; nothing here may wait for a disk."""
        take_precedence()
        pause = _LOOK_S[0]
        while not self.over.is_set():
            # Nothing is ever written to it: it is readable once the other end is closed.
            if select.select([] if self.detached else [self.liveness], [], [], pause)[0]:
                self.kill("controller-died", "")
                return
            began = time.monotonic()
            if found := self.limits.exceeded_by(os.getpid()):
                self.kill(*found)
                return
            pause = pause_after(began, _LOOK_S)

    def kill(self, reason: str, note: str) -> None:
        """SIGKILL the tree and keep at it until the main loop has seen its end."""
        with self.judging:
            if self.over.is_set() or self.status is not None:
                return
            if not self.reason:
                self.reason, self.note = reason, note
        while not self.over.is_set() and self.status is None:
            processes.kill_tree(os.getpid())
            self.over.wait(0.05)

    def take(self, log: BoundedLog, fd: int) -> bool:
        data = os.read(fd, _CHUNK)
        log.write(data)
        return bool(data)

    def patience(self) -> float:
        until = min(self.deadline if self.kill_at is None else self.kill_at, self.disk_at)
        return max(0.0, min(until - time.monotonic(), 3600.0))

    def stop(self, reason: str) -> None:
        """SIGTERM the tree now, SIGKILL it after the grace time."""
        if self.kill_at is None:
            self.reason = self.reason or reason
            self.kill_at = time.monotonic() + self.grace()
            processes.send(processes.descendants(os.getpid()), signal.SIGTERM)

    def grace(self) -> float:
        try:
            with open("cancel.json", encoding="utf-8") as file:
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
        if now >= self.disk_at:
            if not self.reason and (found := self.limits.full()):
                self.reason, self.note = found
                processes.kill_tree(os.getpid())
            self.disk_at = time.monotonic() + pause_after(now, _DISK_S)

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.pid:
                    self.status = os.waitstatus_to_exitcode(status)
                    self.rss_kb = usage.ru_maxrss

    def diagnose(self) -> None:
        """What the kernel did to a job that nobody here killed, as far as it can be told."""
        if self.reason or not self.status:
            return
        if found := self.limits.full():
            self.reason, self.note = found
        elif self.status == -signal.SIGXFSZ:
            self.reason, self.note = "disk-limit", "it wrote a file larger than executor.disk_gb allows"
        elif self.status == -signal.SIGKILL and kernel_oom_kills() > self.oom_kills:
            self.reason, self.note = "oom", "by the kernel, which was out of memory"

    def clear_tmp(self) -> None:
        if self.tmp:
            import shutil  # slow to import, and wanted once at the end

            shutil.rmtree(self.tmp, ignore_errors=True)

    def verdict(self, gone: bool) -> dict:
        return {
            "exit_code": self.status,
            "reason": self.reason,
            "seconds": round(time.monotonic() - self.started, 3),
            "max_rss_mb": round(self.rss_kb / 1024, 1),
            "gone": gone,
        }

    def write(self, name: str, content: dict) -> None:
        with open(name + ".partial", "w", encoding="utf-8") as file:
            json.dump(content, file)  # not synced: what ends the machine ends the job too
        os.replace(name + ".partial", name)


if __name__ == "__main__":
    Supervisor(sys.argv[1], int(sys.argv[2])).run()

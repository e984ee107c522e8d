"""Limits: what a job's process tree and folders hold, against what it may.

Standard library only: the supervisor loads it by path.
"""

# Loaded with every job: pathlib would double the supervisor's start-up time.

import contextlib
import os
import resource
import stat

import processes  # beside this file, not in a package: -I -S has no site-packages

_GIB = 2**30


class Limits:
    """The limits of one job; each may be absent.

    memory_bytes: of all its processes together. processes: with their threads. disk_bytes: that
    its folders may grow by. open_files: of each process.
    """

    def __init__(self, settings: dict, folders: list[str]) -> None:
        self.memory_bytes = settings.get("memory_bytes")
        self.processes = settings.get("processes")
        self.disk_bytes = settings.get("disk_bytes")
        self.open_files = settings.get("open_files")
        self._folders = folders
        self._given = used_bytes(folders)

    def impose(self) -> None:
        """What the kernel enforces by itself; called in the job's process before its program runs."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.disk_bytes is not None:
            _lower(resource.RLIMIT_FSIZE, int(self.disk_bytes))
        if self.open_files is not None:
            _lower(resource.RLIMIT_NOFILE, int(self.open_files))
        if self.processes is not None and os.geteuid() != 0:
            # Counted over all of the user's processes, so a wide lid only; the supervisor counts exactly.
            _lower(resource.RLIMIT_NPROC, _tasks_of_user() + 4 * int(self.processes))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")  # a machine out of memory ends trials before controllers

    def exceeded_by(self, root: int) -> tuple[str, str] | None:
        """A reason and a sentence if the processes below `root` are too many or hold too much."""
        pids, tasks, resident = processes.weigh(root, self.processes)
        if self.processes is not None and tasks > self.processes:
            return "too-many-processes", (
                f"it had more than the {self.processes} processes and threads that executor.max_processes allows"
            )
        # Resident pages count shared memory once a process and count cached files, both of which
        # only the exact and slower figure leaves out.
        if self.memory_bytes is not None and resident > self.memory_bytes:
            # Twice, because a fork between two processes' turns counts what they share twice.
            held = min(sum(processes.memory(pid) for pid in pids) for _ in range(2))
            if held > self.memory_bytes:
                return "oom", (
                    f"its processes held {held / _GIB:.2f} GiB; executor.memory_gb allows "
                    f"{self.memory_bytes / _GIB:.2f} GiB"
                )
        return None

    def full(self) -> tuple[str, str] | None:
        """A reason and a sentence if the job's folders grew by more than it may write."""
        if self.disk_bytes is None:
            return None
        grown = used_bytes(self._folders) - self._given
        if grown < self.disk_bytes:
            return None
        return "disk-limit", (
            f"its folder grew by {grown / _GIB:.2f} GiB; executor.disk_gb allows {self.disk_bytes / _GIB:.2f} GiB"
        )


def used_bytes(folders: list[str]) -> int:
    """Bytes on disk of everything below the folders; a file with several names counts once."""
    total, seen, todo = 0, set(), list(folders)
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):  # gone meanwhile
                        about = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(about.st_mode):
                            todo.append(entry.path)
                        elif about.st_nlink == 1 or (about.st_dev, about.st_ino) not in seen:
                            seen.add((about.st_dev, about.st_ino))
                            total += about.st_blocks * 512
        except OSError:
            continue  # gone meanwhile, or made unreadable: RLIMIT_FSIZE still holds
    return total


def kernel_oom_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since boot."""
    try:
        with open("/proc/vmstat", encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _tasks_of_user() -> int:
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == os.geteuid():
                    found += len(os.listdir(f"/proc/{name}/task"))
    return found

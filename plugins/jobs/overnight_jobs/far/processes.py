"""Processes, read from /proc: who lives, who descends from whom, who carries a job's mark.

Standard library only and import-free of the package: the supervisor loads it by path.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if it is gone or a zombie. With
    the pid it names a process for ever: pids are reused, the pair is not."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def descendants(root: int) -> list[int]:
    """All living processes below `root`, however they detached; needs `root` to be a subreaper."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(pid)
    # Each once: where pids are reused during the reading, it can show a process below its own child.
    found = {root}
    todo = [root]
    while todo:
        below = [pid for pid in children.get(todo.pop(), []) if pid not in found]
        found.update(below)
        todo += below
    return [pid for pid in found - {root} if start_time(pid) is not None]


def weigh(root: int, enough: int | None = None) -> tuple[list[int], int, int]:
    """The living processes below `root`, how many threads they have, and their resident bytes.

    enough: the count of threads beyond which it stops looking.
    """
    pids, tasks, pages = [], 0, 0
    for pid in _walk(root):
        fields = _stat(pid)
        if fields is not None and fields[0] not in "ZX":
            pids.append(pid)
            tasks += int(fields[17])
            pages += int(fields[21])
            if enough is not None and tasks > enough:
                break
    return pids, tasks, pages * os.sysconf("SC_PAGE_SIZE")


def memory(pid: int) -> int:
    """Bytes that only this process's end would free: its own pages, its share of shared ones and
    what is swapped out, but no cached files. 0 if it is gone."""
    held = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith(("Pss_Anon:", "Pss_Shmem:", "SwapPss:")):
                    held += int(line.split()[1]) * 1024
    except OSError:
        return 0
    return held


def kill_tree(root: int) -> None:
    """SIGKILL all that lives below `root`, in an order that a fork bomb cannot outrun; returns
    once nothing new appears, or after 5 seconds.

    Parents first: a pending SIGKILL makes fork(2) fail (a pending SIGSTOP does not), so that the
    children that a process has after it was killed are all that it will ever have. They stay its
    own or become those of `root`, which must be a subreaper.
    """
    killed: set[int] = set()
    quiet, end = 0, time.monotonic() + 5.0
    while quiet < 3 and time.monotonic() < end:  # callers come back: pids are reused, and nothing is skipped then
        fresh = False
        for pid in _walk(root, skip=killed, visit=lambda pid: send([pid], signal.SIGKILL)):
            killed.add(pid)
            fresh = True
        quiet = 0 if fresh else quiet + 1


def marked(matches: Callable[[dict[str, str]], bool]) -> list[int]:
    """Living processes whose initial environment matches; only ours are readable, others skipped."""
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                pairs = (item.partition(b"=") for item in file.read().split(b"\0") if item)
                env = {key.decode(errors="replace"): value.decode(errors="replace") for key, _, value in pairs}
        except OSError:
            continue  # gone meanwhile, or somebody else's
        if matches(env) and start_time(pid) is not None:
            found.append(pid)
    return found


def send(pids: list[int], number: int) -> None:
    """Signal processes; those already gone are no error."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_all(find: Callable[[], list[int]], rounds: int = 200) -> bool:
    """SIGKILL what `find` finds until it finds nothing; False if something stays.

    Stopped first, so that a fork bomb cannot outrun the round that kills it; and nothing must be
    found twice, since a process born while the first look listed the others is in neither list.
    """
    for _ in range(rounds):
        pids = find() or find()
        if not pids:
            return True
        send(pids, signal.SIGSTOP)
        send(pids, signal.SIGKILL)
        _reap()
    return not find()


def _walk(root: int, skip: Collection[int] = (), visit: Callable[[int], None] = lambda pid: None) -> Iterator[int]:
    """All processes below `root`, zombies too, each visited before its children are listed; those
    to skip are left out with all that is below them."""
    if not os.path.exists(f"/proc/{root}/task/{root}/children"):  # a kernel without CONFIG_PROC_CHILDREN
        for pid in descendants(root):
            if pid not in skip:
                visit(pid)
                yield pid
        return
    todo = _children(root)
    while todo:
        pid = todo.pop()
        if pid not in skip:
            visit(pid)
            todo += _children(pid)
            yield pid


def _children(pid: int) -> list[int]:
    found: list[int] = []
    # A thread or process that is gone meanwhile has left its children to its parent or the supervisor.
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    return found


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on (the name before it may hold anything)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None

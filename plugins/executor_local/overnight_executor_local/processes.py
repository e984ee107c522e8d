"""Processes, read from /proc: who lives, who descends from whom, who carries a job's mark.

Standard library only and import-free of the package: the supervisor loads it by path.
"""

import os
import signal
from collections.abc import Callable, Iterator


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
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return [pid for pid in found if start_time(pid) is not None]


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

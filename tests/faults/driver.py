"""A controller that kills itself at a chosen point: `driver.py KIND NTH TRACE ARGUMENT…`.

A point is an instant just before or just after something that changes the world: a commit to the
journal, a call to the executor, a file put into its place. KIND is the point's name, e.g.
"after commit JobIntended" or "before fetch"; NTH counts its occurrences in this process; "none"
kills never. Every point passed is appended to the file TRACE.
"""

import functools
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import core.report.write
from core.__main__ import main
from core.journal.store import Journal
from core.study import effects, jobs
from core.study.layout import Layout
from core.study.notifier import Notifier
from overnight_executor_local.executor import LocalExecutor
from overnight_jobs import folder


class Points:
    """Counts the points that are passed, and dies at one of them."""

    def __init__(self, kind: str, nth: int, trace: Path) -> None:
        self._wanted, self._nth = kind, nth
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._trace = trace.open("a", buffering=1, encoding="utf-8")  # open for the controller's life

    def at(self, kind: str) -> None:
        """One point is passed."""
        with self._lock:
            self._seen[kind] += 1
            self._trace.write(kind + "\n")
            if kind == self._wanted and self._seen[kind] == self._nth:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, called: str) -> None:
        """Make points before and after every call of a function."""
        original: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.at(f"before {called}")
            answer = original(*args, **kwargs)
            self.at(f"after {called}")
            return answer

        setattr(owner, name, wrapped)


def instrument(points: Points) -> None:
    """Put points around everything that changes the world."""
    append = Journal.append

    def counted(journal: Journal, *recorded: Any, **more: Any) -> Any:
        name = " + ".join(dict.fromkeys(type(event).__name__ for event in recorded))
        points.at(f"before commit {name}")
        entries = append(journal, *recorded, **more)
        points.at(f"after commit {name}")
        return entries

    Journal.append = counted  # type: ignore[method-assign]
    for name in ("submit", "collect", "cancel"):
        points.around(effects, name, name)
    points.around(jobs, "_write", "writing the job's order")
    points.around(effects, "_move_checkpoint", "putting the checkpoint into its place")
    points.around(Layout, "point_best_at", "pointing at the best")
    points.around(Notifier, "_call", "queueing a tracker's call")
    points.around(folder, "make", "making the job's folder")
    points.around(LocalExecutor, "_spawn", "starting the job")
    points.around(LocalExecutor, "reap", "reaping")
    points.around(core.report.write, "_put", "putting a file of the report into its place")


if __name__ == "__main__":
    instrument(Points(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
    sys.exit(main(sys.argv[4:]))

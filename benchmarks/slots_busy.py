"""How busy the controller keeps many slots: 64 simulated machines, from the first full minute to the last proposal.

A slot is busy while its job runs; between two jobs it waits for the controller to see the end, fetch,
decide, journal (fsync) and start the next. Half-way the executor doubles its slots, as an elastic one
does, and the share is taken from 30 s after that. A policy that answers at once, and one that
takes a second for each question, as an LLM does.

    python benchmarks/slots_busy.py [SLOTS] [TRAIN_S]
"""

import json
import sys
import tempfile
import threading
import time
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import simulated_executor

from core.plugins import GROUP, Registry
from core.study.capacity import ASK_EVERY_S
from core.study.launch import create


def busy_share(slots: int, train_s: float, think_s: float) -> dict[str, Any]:
    """Run one study; returns the share of slot time that was used, and what was done."""
    registry = Registry([*entry_points(group=GROUP), EntryPoint("simulated", "simulated_executor", GROUP)])
    trials = round(slots * 4.5)
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "name": "busy", "dir": folder, "task": {"name": "quadratic"}, "policy": {"name": "random"},
            "executor": {"name": "simulated", "slots": slots // 2, "train_s": train_s, "evaluate_s": train_s / 10},
            "decision": {"name": "greedy"}, "budget": {"trials": trials}, "console": "quiet", "poll_s": 0.5,
            "resources": {"cpus": 0.1},
        }  # fmt: skip
        if think_s:
            slow_down(think_s)
        ran = threading.Thread(target=lambda: create(config, Path(folder) / "study", registry))
        simulated_executor.SimulatedExecutor.made.clear()
        began = time.monotonic()
        ran.start()
        while not simulated_executor.SimulatedExecutor.made:
            time.sleep(0.05)
        executor = simulated_executor.SimulatedExecutor.made[-1]
        time.sleep(train_s * 1.5)
        executor.slots = slots
        first = time.monotonic() + ASK_EVERY_S + 10.0
        ran.join()
    # Until the last training starts there was always something to do for every slot.
    last = max(start for start, end in executor.busy if end - start > train_s / 2)
    used = sum(max(0.0, min(end, last) - max(start, first)) for start, end in executor.busy)
    share = used / (slots * (last - first))
    return {
        "slots": slots, "think_s": think_s, "busy": round(share, 4), "window_s": round(last - first, 1),
        "jobs": len(executor.busy), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def slow_down(seconds: float) -> None:
    """Let the random policy think for so long at each question."""
    from overnight_policy_basic.random_search import RandomSearch

    ask = RandomSearch.ask

    def slowly(self: Any, view: Any, n: int) -> Any:
        time.sleep(seconds)
        return ask(self, view, n)

    RandomSearch.ask = slowly  # type: ignore[method-assign]


def main() -> int:
    """Print one JSON line a policy."""
    slots = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    train_s = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    for think_s in (0.0, 1.0):
        print(json.dumps(busy_share(slots, train_s, think_s)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

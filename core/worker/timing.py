"""Where a training job's time and memory went before its first step: measured by the worker itself."""

import os
import resource
import sys
import time
from pathlib import Path

# Keys of the figures, in the order in which the parts happen; all in seconds.
STARTUP = ("startup/process_s", "startup/prepare_s", "startup/setup_s", "startup/first_step_s")
MEMORY, GPU_MEMORY = "peak_memory_gb", "peak_gpu_memory_gb"


class Startup:
    """Takes the time of the parts of a job's start.

    process: from the process's start until the worker runs (the interpreter, core). prepare:
    plugins, the task and its `prepare`. setup: from the call of `train` until it first reports
    (libraries, the model, the trainer), counted with the first step where a task reports no step
    0. first_step: from there until it reports step 1 or later.
    """

    def __init__(self) -> None:
        self._marks = [time.monotonic() - process_age_s(), time.monotonic()]

    def prepared(self) -> None:
        """The task is prepared; `train` is called next."""
        self._marks.append(time.monotonic())

    def seconds(self) -> float:
        """Since the process's start."""
        return time.monotonic() - self._marks[0]

    def figures(self, first_report: float | None, first_step: float | None) -> dict[str, float]:
        """Seconds by part, as far as the job came; the arguments are points of time.monotonic()."""
        ends = [*self._marks, *(mark for mark in (first_report, first_step) if mark is not None)]
        return {name: round(end - start, 3) for name, start, end in zip(STARTUP, ends, ends[1:], strict=False)}


def process_age_s() -> float:
    """Seconds since this process was started; 0 where the system does not say."""
    try:
        started = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def peak_memory() -> dict[str, float]:
    """The most memory that this process or one of its children held, and torch on the GPU; in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB elsewhere
    held = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found = {MEMORY: round(held * unit / 2**30, 3)}
    torch = sys.modules.get("torch")  # only if the task uses it
    if torch is not None and torch.cuda.is_available():
        found[GPU_MEMORY] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return found

"""The watch: looks at running jobs in one sweep: their states and their new metrics."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.contracts import Executor, Handle, Observation
from core.guard.live import Doomed, LiveGuard
from core.journal.fold import JobRecord


@dataclass(frozen=True)
class Step:
    """One line of a job's metrics."""

    step: int
    total: int | None
    metrics: dict[str, float]


@dataclass
class JobWatch:
    """What the controller remembers of one running job. Lost on a restart without harm."""

    job: JobRecord
    guard: LiveGuard
    offset: int = 0
    rest: bytes = b""
    unreadable: int = 0
    doomed: Doomed | None = None
    unknown_since: float | None = None


@dataclass
class Look:
    """One sweep's findings, by token."""

    observations: dict[str, Observation] = field(default_factory=dict)
    chunks: dict[str, tuple[bytes, int]] = field(default_factory=dict)


def look(executor: Executor, jobs: Sequence[tuple[Handle, int]]) -> Look:
    """Poll all jobs and read what is new in their metrics. jobs: handle and metrics offset."""
    found = Look()
    observations = executor.poll([handle for handle, _ in jobs])
    for (handle, offset), observation in zip(jobs, observations, strict=True):
        found.observations[handle.token] = observation
        found.chunks[handle.token] = executor.logs(handle, offset, "metrics")
    return found


def take_steps(watch: JobWatch, chunk: bytes, offset: int) -> list[Step]:
    """Parse a chunk of metrics.jsonl, keeping a torn last line for the next one."""
    watch.offset = offset
    *lines, watch.rest = (watch.rest + chunk).split(b"\n")
    if len(watch.rest) > 1 << 20:  # no line of ours is a mebibyte long; do not hoard it
        watch.rest = b""
        watch.unreadable += 1
    steps = []
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            metrics = {str(name): float(value) for name, value in row["metrics"].items() if value is not None}
            total = None if row.get("total") is None else int(row["total"])
            steps.append(Step(int(row["step"]), total, metrics))
        except (ValueError, KeyError, TypeError, AttributeError):
            watch.unreadable += 1
    return steps


def judge(watch: JobWatch, steps: Sequence[Step]) -> Doomed | None:
    """Ask the guard about new steps, or about their absence; only training is judged."""
    if watch.job.phase != "train" or watch.doomed is not None:
        return None
    now = time.monotonic()
    for step in steps:
        if doomed := watch.guard.step(step.step, step.metrics, now):
            return doomed
    return None if steps else watch.guard.idle(now)

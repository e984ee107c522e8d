"""The watch: looks at running jobs in one sweep: their states and their new metrics."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from core.contracts import TERMINAL, Executor, Handle, Observation
from core.guard.live import Doomed, LiveGuard
from core.journal.fold import JobRecord

# Seconds beyond its deadline and grace after which a job that does not end is given up.
SLACK_S = 60.0


@dataclass(frozen=True)
class Step:
    """One line of a job's metrics."""

    step: int
    total: int | None
    metrics: dict[str, float]


@dataclass
class JobWatch:
    """What the controller remembers of one running job. Lost on a restart without harm.

    since: first looked at. running_since: first seen running. seen, seen_at: the last observation
    that told what the job cost so far. All times in monotonic seconds.
    """

    job: JobRecord
    guard: LiveGuard
    offset: int = 0
    rest: bytes = b""
    unreadable: int = 0
    unread: int = 0
    doomed: Doomed | None = None
    since: float = field(default_factory=time.monotonic)
    running_since: float | None = None
    seen: Observation | None = None
    seen_at: float = 0.0


@dataclass
class Look:
    """One sweep's findings, by token. at: when it began, monotonic seconds. unread: why the metrics
    of a job could not be read this time; that is no reason to think anything of the job."""

    at: float = field(default_factory=time.monotonic)
    observations: dict[str, Observation] = field(default_factory=dict)
    chunks: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def look(executor: Executor, jobs: Sequence[tuple[Handle, int]]) -> Look:
    """Poll all jobs and read what is new in their metrics. jobs: handle and metrics offset."""
    found = Look()
    observations = executor.poll([handle for handle, _ in jobs])
    for (handle, offset), observation in zip(jobs, observations, strict=True):
        found.observations[handle.token] = observation
        try:
            found.chunks[handle.token] = executor.logs(handle, offset, "metrics")
        except Exception as error:  # noqa: BLE001 - said by the engine; the next look reads on from the same offset
            found.unread[handle.token] = f"{type(error).__name__}: {error}"
    return found


def verdict(watch: JobWatch, seen: Observation, at: float, overhead_s: float, queue_s: float) -> Observation | None:
    """The observation with which the job has ended, or None while it goes on.

    A job that should have ended long ago is given up: "unknown" is never final, but no state may
    last, and be paid for, for ever. at: when it was observed, monotonic seconds. overhead_s: seconds that
    it may take beyond its deadline. queue_s: seconds that it may wait in a queue.
    """
    job, most = watch.job, watch.job.deadline_s + overhead_s + SLACK_S
    if seen.state in TERMINAL:
        return billed(watch, seen, at)
    if seen.state == "running" and watch.running_since is None:
        watch.running_since = at
    if seen.seconds or seen.usd:
        watch.seen, watch.seen_at = seen, at
    if watch.running_since is not None and seen.state == "running" and at - watch.running_since > most:
        reason = f"still running {most:.0f} s after its start: its deadline of {job.deadline_s:g} s was not enforced"
        return billed(watch, replace(seen, state="lost", reason=reason), at)
    waited = at - (watch.running_since or watch.since)
    if seen.state != "running" and waited > (queue_s if seen.state == "queued" else most):
        said = f" ({seen.reason})" if seen.reason else ""
        return billed(watch, replace(seen, state="lost", reason=f"{seen.state} for {waited:.0f} s{said}"), at)
    return None


def billed(watch: JobWatch, seen: Observation, at: float) -> Observation:
    """An observation that does not say what the job cost, with what was last known and the time since."""
    if seen.seconds or seen.usd or watch.seen is None:
        return seen
    last, since = watch.seen, max(0.0, at - watch.seen_at)
    rate = last.usd / last.seconds if last.seconds else 0.0
    return replace(seen, seconds=last.seconds + since, usd=last.usd + since * rate)


def read(watch: JobWatch, found: Look) -> tuple[list[Step], list[str]]:
    """A job's new steps, and what a person must hear of how they were read (once per job)."""
    key, trial = watch.job.token, watch.job.trial
    if key not in found.chunks:
        watch.unread += 1
        text = f"the metrics of trial {trial} cannot be read just now ({found.unread[key]})"
        return [], [text] if watch.unread == 1 else []
    before = watch.unreadable
    steps = take_steps(watch, *found.chunks[key])
    text = f"trial {trial} writes metrics that cannot be read; such lines are left out"
    return steps, [text] if watch.unreadable and not before else []


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
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
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

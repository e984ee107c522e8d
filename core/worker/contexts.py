"""The contexts that a task's `train` and `evaluate` are given in a job's process."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from core.contracts import Scalar, WeightedReward
from core.worker.spec import METRICS


def cache_dir() -> Path:
    """Where tasks keep what is expensive to make: $OVERNIGHT_CACHE or ~/.cache/overnight."""
    return Path(os.environ.get("OVERNIGHT_CACHE") or Path.home() / ".cache" / "overnight")


def sealed_dir() -> Path:
    """Where evaluators keep held-out answers: a sibling of the cache, given to no training."""
    cache = cache_dir()
    return cache.with_name(cache.name + "-sealed")


class JobContext:
    """Progress, deadline and stop signal of one job; the base of both contexts."""

    def __init__(self, deadline_s: float, stop_margin_s: float) -> None:
        self.deadline_s = deadline_s
        self.cache = cache_dir()
        self._started = time.monotonic()
        self._margin_s = min(stop_margin_s, deadline_s / 10)
        self._terminated = False
        self.first_report: float | None = None  # points of time.monotonic(), for core.worker.timing
        self.first_step: float | None = None
        self._metrics = Path(METRICS).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open for the job's life
        signal.signal(signal.SIGTERM, self._on_term)

    def _on_term(self, number: int, frame: object) -> None:
        self._terminated = True

    def report(self, step: int, total: int | None = None, **metrics: float) -> None:
        """Append one line to metrics.jsonl: step, total, seconds since the start, the metrics."""
        now = time.monotonic()
        self.first_report = now if self.first_report is None else self.first_report
        if step > 0 and self.first_step is None:
            self.first_step = now
        line = {"step": int(step), "total": total, "seconds": round(now - self._started, 3)}
        values = {name: _number(value) for name, value in metrics.items()}
        self._metrics.write(json.dumps({**line, "metrics": values}) + "\n")

    def should_stop(self) -> bool:
        """True after SIGTERM, and when the deadline is nearer than the margin to save in."""
        return self._terminated or self.remaining() < self._margin_s

    def remaining(self) -> float:
        """Seconds left until the deadline."""
        return self.deadline_s - (time.monotonic() - self._started)


class TrainingContext(JobContext):
    """What `Task.train` is given; see core.contracts.TrainContext."""

    def __init__(
        self,
        params: Mapping[str, Scalar],
        seed: int,
        rewards: tuple[WeightedReward, ...],
        checkpoint_dir: Path,
        deadline_s: float,
        stop_margin_s: float,
        partial_dir: Path,
        partial_every_s: float,
        resume_from: Path | None = None,
        program: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(deadline_s, stop_margin_s)
        self.params: Mapping[str, Scalar] = dict(params)
        self.seed = seed
        self.rewards = rewards
        self.checkpoint_dir = checkpoint_dir
        self.partial_dir = partial_dir
        self.resume_from = resume_from
        self.program = program
        self._partial_every_s = partial_every_s
        self._partial_at = time.monotonic() + partial_every_s
        self._saved_at_the_end = False

    def partial_due(self) -> bool:
        """See core.contracts.TrainContext."""
        now, ending = time.monotonic(), self.should_stop() and not self._saved_at_the_end
        self._saved_at_the_end |= ending
        if now < self._partial_at and not ending:
            return False
        self._partial_at = now + self._partial_every_s
        return True


class EvaluationContext(JobContext):
    """What `Task.evaluate` is given; see core.contracts.EvaluateContext."""

    def __init__(self, deadline_s: float, stop_margin_s: float) -> None:
        super().__init__(deadline_s, stop_margin_s)
        self.sealed = sealed_dir()


def _number(value: float) -> float | None:
    # float() also takes numpy and torch scalars; NaN and infinities are kept (Python's JSON
    # dialect), because the guard must see them.
    return None if value is None else float(value)

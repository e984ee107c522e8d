"""Live stopping: judges the stream of one running trial's metrics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from core.guard.settings import GuardSettings


@dataclass(frozen=True)
class Doomed:
    """Why a running trial is to be stopped. kind: the trial's `error_kind`."""

    kind: str
    reason: str


class LiveGuard:
    """Watches one training job. `step` for every reported step, `idle` at every poll."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._bad_steps = 0
        self._last_report: float | None = None

    def step(self, step: int, metrics: Mapping[str, float | None], now: float) -> Doomed | None:
        """Judge one step's metrics. now: monotonic seconds."""
        self._last_report = now
        bad = [
            f"{name} is {value}"
            for name in self._settings.watch
            if (value := metrics.get(name)) is not None and not math.isfinite(value)
        ]
        self._bad_steps = self._bad_steps + 1 if bad else 0
        if self._settings.not_finite_steps and self._bad_steps >= self._settings.not_finite_steps:
            return Doomed("not-finite", f"{bad[0]} at step {step}, {self._bad_steps} steps in a row")
        return None

    def idle(self, now: float) -> Doomed | None:
        """Judge the silence since the last step. now: monotonic seconds."""
        limit = self._settings.stall_s
        if limit is None or self._last_report is None or now - self._last_report < limit:
            return None
        return Doomed("stalled", f"no step was reported for {now - self._last_report:.0f} s")

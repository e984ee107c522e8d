"""Contexts for running a task in a test's own process, without a worker."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.contracts import Scalar, WeightedReward


@dataclass
class Context:
    """Both of a task's contexts in one; records what is reported.

    steps: (step, total, metrics) as reported. stop_after: `should_stop` is true once so many
    steps were reported; None = never. partial_each_step: `partial_due` is always true.
    """

    cache: Path
    sealed: Path
    checkpoint_dir: Path
    params: Mapping[str, Scalar] = field(default_factory=dict)
    seed: int = 1
    rewards: tuple[WeightedReward, ...] = ()
    deadline_s: float = 600.0
    resume_from: Path | None = None
    program: Mapping[str, str] | None = None
    partial_dir: Path = field(init=False)
    partial_each_step: bool = False
    stop_after: int | None = None
    steps: list[tuple[int, int | None, dict[str, float]]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """The folder for partial checkpoints lies beside the one for the checkpoint."""
        self.partial_dir = self.checkpoint_dir.with_name(f"{self.checkpoint_dir.name}-partial")
        self.partial_dir.mkdir(parents=True, exist_ok=True)

    def report(self, step: int, total: int | None = None, **metrics: float) -> None:
        """Remember a step."""
        self.steps.append((step, total, {name: float(value) for name, value in metrics.items()}))

    def should_stop(self) -> bool:
        """Whether `stop_after` steps were reported."""
        return self.stop_after is not None and len(self.steps) >= self.stop_after

    def partial_due(self) -> bool:
        """Whether `partial_each_step` is set."""
        return self.partial_each_step

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.deadline_s - (time.monotonic() - self.started)

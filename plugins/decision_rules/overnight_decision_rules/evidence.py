"""The evidence of a comparison: gain and its standard error over items."""

import math
from dataclasses import dataclass
from typing import Any

from core import Evaluation, Objective, Trial


@dataclass(frozen=True)
class Gain:
    """How much better one evaluation is than another.

    gain: in units of the metric, positive is better. error: its standard error over items (it
    knows nothing of training seeds). paired: whether both scored the same items.
    """

    candidate: float
    incumbent: float
    gain: float
    error: float
    n: int
    paired: bool

    def evidence(self) -> dict[str, Any]:
        """For `Decision.evidence`."""
        return {
            "candidate": self.candidate,
            "incumbent": self.incumbent,
            "gain": self.gain,
            "standard_error": self.error,
            "n": self.n,
            "items": "paired" if self.paired else "unpaired",
        }

    def __str__(self) -> str:
        how = f"n={self.n}, {'same' if self.paired else 'different'} items"
        return f"{self.candidate:.3f} against {self.incumbent:.3f}: {self.gain:+.3f} ± {self.error:.3f} ({how})"


def compare(candidate: Trial, incumbent: Trial, objective: Objective) -> Gain:
    """Compare two completed trials. Raises ValueError for one without an evaluation."""
    ours, theirs = candidate.evaluation, incumbent.evaluation
    if ours is None or theirs is None:
        raise ValueError("both trials need an evaluation")
    gain = objective.gain(ours.value, theirs.value)
    error, paired = _error(ours, theirs)
    return Gain(ours.value, theirs.value, gain, error, ours.n, paired)


def _error(ours: Evaluation, theirs: Evaluation) -> tuple[float, bool]:
    before = {item.id: item.score for item in theirs.items}
    if ours.items and before.keys() == {item.id for item in ours.items}:
        # Miller 2024 (arXiv 2411.00640): the paired standard error is that of the differences.
        return _standard_error([item.score - before[item.id] for item in ours.items]), True
    return math.hypot(_own_error(ours), _own_error(theirs)), False


def _own_error(evaluation: Evaluation) -> float:
    if len(evaluation.items) > 1:
        return _standard_error([item.score for item in evaluation.items])
    return (evaluation.high - evaluation.low) / (2 * 1.96)


def _standard_error(values: list[float]) -> float:
    n = len(values)
    if n < 2:
        return math.inf if n == 0 else 0.0
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)

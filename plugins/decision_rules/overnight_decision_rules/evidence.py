"""The evidence of a comparison: gain and its standard error over items."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from core import Evaluation, Objective, Trial

Items = Literal["paired", "unpaired", "missing"]
_HOW: dict[Items, str] = {"paired": "same items", "unpaired": "different items", "missing": "no item scores"}


@dataclass(frozen=True)
class Gain:
    """How much better one evaluation is than another.

    candidate, incumbent, gain: in units of the metric; a positive gain is better. error: the
    gain's standard error over items (it knows nothing of training seeds), None where nothing is
    known of it. n: items of the candidate. items: "paired" when both scored the same items and
    the error is that of the differences; "unpaired" when the errors of two separate samples are
    combined; "missing" when these come from the intervals, for want of usable item scores.
    lower_is_better: the objective's direction.
    """

    candidate: float
    incumbent: float
    gain: float
    error: float | None
    n: int
    items: Items
    lower_is_better: bool

    def evidence(self) -> dict[str, Any]:
        """For `Decision.evidence`."""
        return {
            "candidate": self.candidate,
            "incumbent": self.incumbent,
            "gain": self.gain,
            "standard_error": self.error,
            "n": self.n,
            "items": self.items,
        }

    def figure(self, value: float) -> str:
        """A figure in units of the metric, with two digits of the uncertain part, three decimals at least."""
        scale = self.error or abs(self.gain)
        decimals = 1 - math.floor(math.log10(scale)) if scale > 0 else 3
        return f"{value:.{min(max(decimals, 3), 8)}f}"

    def __str__(self) -> str:
        sign = "=" if self.gain == 0 else ">" if self.candidate > self.incumbent else "<"
        error = "unknown" if self.error is None else self.figure(self.error)
        direction = "; lower is better" if self.lower_is_better else ""
        return (
            f"{self.figure(self.candidate)} {sign} {self.figure(self.incumbent)} by {self.figure(abs(self.gain))} "
            f"± {error} (n={self.n}, {_HOW[self.items]}{direction})"
        )


def compare(candidate: Trial, incumbent: Trial, objective: Objective) -> Gain:
    """Compare two completed trials. Raises ValueError for one without an evaluation."""
    ours, theirs = candidate.evaluation, incumbent.evaluation
    if ours is None or theirs is None:
        raise ValueError("both trials need an evaluation")
    gain = objective.gain(ours.value, theirs.value)
    error, items = _error(ours, theirs)
    lower = objective.direction == "minimize"
    return Gain(ours.value, theirs.value, gain, error, ours.n, items, lower)


def _error(ours: Evaluation, theirs: Evaluation) -> tuple[float | None, Items]:
    if not (_explained(ours) and _explained(theirs)):
        return _combined(_half_width(ours), _half_width(theirs)), "missing"
    before = {item.id: item.score for item in theirs.items}
    if before.keys() == {item.id for item in ours.items}:
        # Miller 2024 (arXiv 2411.00640): the paired standard error is that of the differences.
        return _standard_error([item.score - before[item.id] for item in ours.items]), "paired"
    errors = [_standard_error([item.score for item in side.items]) for side in (ours, theirs)]
    return _combined(*errors), "unpaired"


def _explained(evaluation: Evaluation) -> bool:
    """Whether the score is the mean of its items: only then do these give its error. A corpus
    F1 or a perplexity is not."""
    if not evaluation.items:
        return False
    mean = math.fsum(item.score for item in evaluation.items) / len(evaluation.items)
    return math.isclose(mean, evaluation.value, rel_tol=1e-6, abs_tol=1e-9)


def _half_width(evaluation: Evaluation) -> float | None:
    """The standard error that the 95 % interval stands for."""
    width = evaluation.high - evaluation.low
    return width / (2 * NormalDist().inv_cdf(0.975)) if math.isfinite(width) and width > 0 else None


def _combined(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else math.hypot(ours, theirs)


def _standard_error(values: list[float]) -> float | None:
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)

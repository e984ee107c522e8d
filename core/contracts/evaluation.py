"""An evaluation: the scores of one checkpoint on one split, with n and an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

Split = Literal["validation", "test"]


@dataclass(frozen=True)
class ItemScore:
    """The score of one item of a split; `id` is the same in every evaluation of that split."""

    id: str
    score: float


@dataclass(frozen=True)
class Evaluation:
    """What the sealed evaluator found for one checkpoint on one split.

    split: "validation" (selection) or "test" (opened once).
    metric: the objective's metric name.
    value: the score; NaN or infinite makes the trial a failure.
    n: how many items were scored.
    low, high: the 95 % interval of `value` over items (not over training seeds).
    interval: how low and high were made: "wilson", "bootstrap" or a task's own method.
    items: per-item scores, empty where a caller asked for the summary only.
    details: further figures worth a column, e.g. {"format": 0.98}.
    self_reported: training computed the score itself, so that no sealed evaluator vouches for it;
        then n=1, low=high=value and interval="none" say that nothing is known of its error, no
        gain is ever called shown and no test split is opened.
    """

    split: Split
    metric: str
    value: float
    n: int
    low: float
    high: float
    interval: str = "wilson"
    items: tuple[ItemScore, ...] = ()
    details: dict[str, float] = field(default_factory=dict)
    self_reported: bool = False

    @classmethod
    def from_items(
        cls, split: Split, metric: str, items: Sequence[ItemScore], details: dict[str, float] | None = None
    ) -> "Evaluation":
        """The mean over items with its 95 % interval.

        Scores that are all 0 or 1 get Wilson's score interval (Wilson 1927); others a BCa
        bootstrap of the mean (Efron 1987, through scipy.stats.bootstrap, fixed seed). Raises
        ValueError without items.
        """
        if not items:
            raise ValueError(f"no items were scored on the {split} split")
        scores = [item.score for item in items]
        n = len(scores)
        value = math.fsum(scores) / n
        low, high, method = _interval(scores, value)
        return cls(split, metric, value, n, low, high, method, tuple(items), dict(details or {}))

    def problem(self) -> str | None:
        """Why this evaluation cannot count, or None if it can."""
        if self.n <= 0:
            return f"{self.metric} on {self.split} has no items"
        if self.items and len(self.items) != self.n:
            return f"{self.metric} on {self.split} says n={self.n} but carries {len(self.items)} item scores"
        if len({item.id for item in self.items}) != len(self.items):
            return f"{self.metric} on {self.split} scores an item twice"
        if not math.isfinite(self.value):
            return f"{self.metric} on {self.split} is {self.value}"
        if not all(math.isfinite(item.score) for item in self.items):
            return f"{self.metric} on {self.split} has an item score that is not finite"
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.value <= self.high):
            return f"{self.metric} {self.value} is outside its own interval [{self.low}, {self.high}]"
        return None


def wilson(value: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209, without
    continuity correction). Written out because importing scipy.stats for it takes 1.6 CPU
    seconds, more than a small model's whole evaluation; a test holds it against scipy's."""
    z = NormalDist().inv_cdf(0.975)
    centre = value + z * z / (2 * n)
    half = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, min((centre - half) / scale, value)), min(1.0, max((centre + half) / scale, value))


def _interval(scores: list[float], value: float) -> tuple[float, float, str]:
    if all(score in (0.0, 1.0) for score in scores):
        return *wilson(value, len(scores)), "wilson"
    if not all(math.isfinite(score) for score in scores):
        return math.nan, math.nan, "none"
    if len(set(scores)) == 1:
        return value, value, "bootstrap"
    from scipy import stats

    found = stats.bootstrap((scores,), lambda x, axis: x.mean(axis=axis), rng=0, n_resamples=2000)
    return float(found.confidence_interval.low), float(found.confidence_interval.high), "bootstrap"

"""What a study optimises: one metric and the direction in which it is better."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Objective:
    """The metric that decides, as evaluated on the `validation` split.

    metric: the name shown everywhere, e.g. "accuracy", "pass@1", "f1".
    direction: whether larger ("maximize") or smaller ("minimize") is better.
    """

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a > b if self.direction == "maximize" else a < b

    def gain(self, candidate: float, reference: float) -> float:
        """How much better `candidate` is than `reference`: positive is better, in metric units."""
        return candidate - reference if self.direction == "maximize" else reference - candidate

"""The model: what the scores and failures so far say of any point, and what they make worth trying."""

import math
from functools import cached_property
from typing import TYPE_CHECKING

from overnight_policy_hybrid.acquire import among, maximise
from overnight_policy_hybrid.feasibility import Feasibility
from overnight_policy_hybrid.frame import Point
from overnight_policy_hybrid.known import Known
from overnight_policy_hybrid.surrogate import Priors, Surrogate, fit

if TYPE_CHECKING:
    import numpy as np

_UPPER = 1.2816  # standard deviations: the upper end of a one-sided 90 % bound
_HOPELESS = 0.1  # the chance of success below which an outside point is not worth a trial
_NEAR = 0.02  # of a parameter's range: closer than this is the same dead end


class Model:
    """Fitted once to the ended trials; running ones are added at every proposal."""

    def __init__(self, known: Known) -> None:
        self._known = known

    @cached_property
    def surrogate(self) -> Surrogate:
        """Of the warped scores; there has to be one."""
        import numpy as np

        known = self._known
        gains, unit = warped([outcome.gain or 0.0 for outcome in known.scored])
        variances = np.array([outcome.variance for outcome in known.scored]) / unit**2
        usual = float(np.median(variances))
        return fit(known.frame, known.x, gains, np.maximum(variances - usual, 0.0), _priors(usual))

    @cached_property
    def feasibility(self) -> Feasibility | None:
        """None while nothing failed."""
        known = self._known
        return Feasibility(known.frame, known.x, known.broken) if known.failed else None

    @cached_property
    def means(self) -> "np.ndarray":
        """What is believed of the scored points, noise taken off."""
        return self.surrogate.predict(self._known.x)[0]

    def propose(self, known: Known, seed: int) -> Point | None:
        """The point with the highest expected improvement, running trials (which may be more than
        the model was fitted with) taken into account; None where every point was tried."""
        import numpy as np

        believed = self.surrogate.with_lies(known.frame.place(known.pending))
        anchors = known.x[np.argsort(-self.means, kind="stable")[:5]]
        found = maximise(
            known.frame, believed, float(self.means.max()), self.feasibility, anchors, seed, known.tried_rows
        )
        return None if found is None else known.frame.point(found)

    def most_promising(self) -> Point:
        """Of the tried points the one with the highest upper bound: for a space that is used up."""
        import numpy as np

        mean, sd = self.surrogate.predict(self._known.x)
        return self._known.scored[int(np.argmax(mean + sd))].point

    def veto(self, point: Point) -> str | None:
        """Why an outside point is not worth a trial, or None: even the upper 90 % bound of its
        score is below what is believed of the best point, or it is all but sure to fail."""
        row = self._known.frame.place([point])
        mean, sd = self.surrogate.predict(row)
        if float(mean[0] + _UPPER * sd[0]) < float(self.means.max()):
            return "its upper 90 % bound is below the best mean"
        if self.feasibility is not None and float(self.feasibility.chance(row)[0]) < _HOPELESS:
            return f"it would fail with a chance above {1 - _HOPELESS:.0%}"
        return None

    def stalled(self, trials: int, gain: float) -> bool:
        """Whether the believed best rose by at most `gain` standard deviations of one score's
        noise over the last `trials` scores."""
        count = len(self._known.scored) - trials
        if count < 1:
            return False
        earlier = self.surrogate.before(count).predict(self._known.x[:count])[0].max()
        return bool(self.means.max() - earlier <= gain * max(self.surrogate.noise, 0.1))


def dead_end(known: Known, point: Point) -> str | None:
    """Why a point is not new: it was tried, or one hardly different from it failed. None if it is new."""
    row = known.frame.place([point])
    if len(known.tried) and among(row, known.tried_rows)[0]:
        return "it was tried before"
    if len(known.broken) and among(row, known.broken, _NEAR)[0]:
        return "one hardly different from it failed"
    return None


def warped(gains: list[float]) -> tuple["np.ndarray", float]:
    """Scores made fit for a Gaussian process, and how many units one step at the median is.

    Below the median they are compressed by a logarithm: how bad a collapsed run was says nothing
    about where the best ones are, and it would hide the differences among those (the one-sided
    half of the bilog transform of Eriksson & Poloczek 2021, arXiv 2002.08526, section 3).
    """
    import numpy as np

    y = np.array(gains, dtype=float)
    middle = float(np.median(y))
    above = float(y.max()) - middle
    unit = above if above > 1e-9 * max(1.0, abs(middle)) else float(y.std()) or 1.0
    z = (y - middle) / unit
    z = np.where(z < 0, -np.log1p(np.maximum(-z, 0.0)), z)
    spread = float(z.std()) or 1.0
    return (z - z.mean()) / spread, unit * spread


def _priors(usual: float) -> Priors:
    """Where evaluations say how uncertain they are, the noise is expected to be about half of
    that: every trial is scored on the same items, which shifts all alike. Seeds add to it."""
    if usual <= 0.0:
        return Priors()
    return Priors(noise=(min(max(math.log(0.5 * usual), -7.0), 0.5), 1.0))

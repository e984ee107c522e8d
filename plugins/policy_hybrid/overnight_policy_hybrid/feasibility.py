"""Feasibility: how likely training succeeds at a point, learned from the trials that failed.

A failure is a constraint and never a score: no penalty value is made up, since one drags a
sampler's model into the region it should leave (measured in arXiv 2603.24647, where 52 % of
CMA-ES's own trials failed after penalties of 100 were told to it). Least-squares classification
with a Gaussian process (Rasmussen & Williams 2006, section 6.5): labels +1 and -1 are regressed on,
and the chance is that of a latent value above 0.
"""

from typing import TYPE_CHECKING

from overnight_policy_hybrid.frame import Frame
from overnight_policy_hybrid.surrogate import Priors, Surrogate, fit

if TYPE_CHECKING:
    import numpy as np

# Labels are certain but for flukes (a crashed machine), and regions are wide.
_PRIORS = Priors(lengths=(-0.7, 0.8), categorical=(0.0, 0.8), variance=(0.7, 0.5), noise=(-4.0, 0.7))
_OPTIMISM = 0.5  # where nothing was tried, training succeeds with a chance of about 65 %
# Expected improvement times the chance alone keeps probing where scores rise towards a cliff: 57 %
# of trials failed there. The chance squared, and what is likely to fail last, made it 36 %.
_WEIGHT = 2.0
_LIKELY = 0.6
_LAST = 50.0


class Feasibility:
    """The chance of success at any row; made only where something failed."""

    def __init__(self, frame: Frame, succeeded: "np.ndarray", failed: "np.ndarray") -> None:
        import numpy as np

        x = np.vstack([succeeded, failed])
        labels = np.concatenate([np.ones(len(succeeded)), -np.ones(len(failed))])
        self._model: Surrogate = fit(frame, x, labels, priors=_PRIORS, mean=_OPTIMISM)

    def log_weight(self, rows: "np.ndarray") -> "np.ndarray":
        """What to add to the logarithm of an acquisition."""
        import numpy as np

        chance = self.log_chance(rows)
        found: np.ndarray = _WEIGHT * chance - np.where(np.exp(chance) < _LIKELY, _LAST, 0.0)
        return found

    def log_chance(self, rows: "np.ndarray") -> "np.ndarray":
        """The logarithm of the chance that training succeeds."""
        from scipy.special import log_ndtr

        mean, sd = self._model.predict(rows)
        found: np.ndarray = log_ndtr(mean / (sd * sd + self._model.noise**2) ** 0.5)
        return found

    def chance(self, rows: "np.ndarray") -> "np.ndarray":
        """The chance that training succeeds."""
        import numpy as np

        found: np.ndarray = np.exp(self.log_chance(rows))
        return found

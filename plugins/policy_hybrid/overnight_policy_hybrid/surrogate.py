"""The surrogate: a Gaussian process that knows how noisy each score is.

Matérn-5/2 with one length per parameter (Rasmussen & Williams 2006, eq. 4.17 and 5.9). The
hyperparameters are the most probable ones under log-normal priors, found from fixed starts, so
that the same trials always give the same model. scipy and numpy only: torch would take 4 s and
700 MB to import.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from overnight_policy_hybrid.frame import Frame

if TYPE_CHECKING:
    import numpy as np

_ROOT5 = 5.0**0.5
_FEW = 100


@dataclass(frozen=True)
class Priors:
    """Means and standard deviations of the logarithms of the hyperparameters.

    lengths: of a numeric parameter, in units of its range, at one parameter; it grows with the
    square root of how many there are (Hvarfner et al. 2024, arXiv 2402.02229). categorical: of a
    categorical one. variance, noise: of standardised scores.
    """

    lengths: tuple[float, float] = (-0.9, 0.5)
    categorical: tuple[float, float] = (0.0, 0.7)
    variance: tuple[float, float] = (0.0, 0.5)
    noise: tuple[float, float] = (-4.6, 1.5)


@dataclass
class Surrogate:
    """A fitted model of y over the rows of x. extra: variance of each y beyond the common noise."""

    frame: Frame
    x: "np.ndarray"
    y: "np.ndarray"
    extra: "np.ndarray"
    theta: "np.ndarray"
    mean: float = 0.0
    _factor: Any = field(init=False, default=None)
    _weights: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        import numpy as np
        from scipy.linalg import cho_solve, cholesky

        k = kernel(self.frame.gaps(self.x, self.x), self.theta)
        k[np.diag_indices_from(k)] += np.exp(self.theta[-1]) + self.extra + 1e-8
        self._factor = cholesky(k, lower=True)
        self._weights = cho_solve((self._factor, True), self.y - self.mean)

    @property
    def noise(self) -> float:
        """The standard deviation of one score around its mean."""
        import math

        return math.exp(0.5 * self.theta[-1])

    def predict(self, rows: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
        """Mean and standard deviation of the noise-free score at each row."""
        import numpy as np
        from scipy.linalg import solve_triangular

        across = kernel(self.frame.gaps(rows, self.x), self.theta)
        mean = self.mean + across @ self._weights
        half = solve_triangular(self._factor, across.T, lower=True, check_finite=False)
        variance = np.exp(self.theta[-2]) - np.einsum("ij,ij->j", half, half)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def with_lies(self, rows: "np.ndarray") -> "Surrogate":
        """The same model told that the running trials at `rows` will score what it expects of
        them (the kriging believer of Ginsbourger et al. 2010): it stops being curious there."""
        import numpy as np

        if not len(rows):
            return self
        lies, _ = self.predict(rows)
        none = np.zeros(len(rows))
        return Surrogate(
            self.frame,
            np.vstack([self.x, rows]),
            np.concatenate([self.y, lies]),
            np.concatenate([self.extra, none]),
            self.theta,
            self.mean,
        )

    def before(self, count: int) -> "Surrogate":
        """The same model as if only the first `count` scores were known."""
        return Surrogate(self.frame, self.x[:count], self.y[:count], self.extra[:count], self.theta, self.mean)


def kernel(gaps: "np.ndarray", theta: "np.ndarray") -> "np.ndarray":
    """Matérn-5/2 from squared distances along each axis. theta: log lengths, log variance, log noise."""
    import numpy as np

    weights = np.exp(-2.0 * theta[:-2])
    r = _ROOT5 * np.sqrt(np.tensordot(weights, gaps, axes=1))
    return np.exp(theta[-2]) * (1.0 + r + r * r / 3.0) * np.exp(-r)


def fit(
    frame: Frame,
    x: "np.ndarray",
    y: "np.ndarray",
    extra: "np.ndarray | None" = None,
    priors: Priors | None = None,
    mean: float = 0.0,
) -> Surrogate:
    """The surrogate with the most probable hyperparameters."""
    import numpy as np
    from scipy.optimize import minimize

    priors = priors or Priors()
    extra = np.zeros(len(y)) if extra is None else extra
    centre, spread = _prior(frame, priors)
    gaps = frame.gaps(x, x)
    bounds = list(zip(centre - 4 * spread, centre + 4 * spread, strict=True))
    starts = [centre.copy(), centre.copy()]
    starts[1][:-2] -= 0.7
    starts[1][-1] += 2.0
    few = len(y) <= _FEW  # with many scores one start finds the same, and a fit takes long
    best = None
    for start in starts if few else starts[:1]:
        found = minimize(
            _loss,
            start,
            args=(gaps, y - mean, extra, centre, spread),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 40 if few else 25, "ftol": 1e-6},
        )
        if best is None or found.fun < best.fun - 1e-9:
            best = found
    return Surrogate(frame, x, y, extra, best.x, mean)


def _prior(frame: Frame, priors: Priors) -> tuple["np.ndarray", "np.ndarray"]:
    import numpy as np

    widening = 0.5 * np.log(max(len(frame.axes), 1))
    lengths = [priors.categorical if categorical else priors.lengths for categorical in frame.categorical]
    centre = [mean + widening for mean, _ in lengths] + [priors.variance[0], priors.noise[0]]
    spread = [sd for _, sd in lengths] + [priors.variance[1], priors.noise[1]]
    return np.array(centre), np.array(spread)


def _loss(theta: Any, gaps: Any, y: Any, extra: Any, centre: Any, spread: Any) -> tuple[float, Any]:
    """Negative log posterior of the hyperparameters with its gradient (Rasmussen & Williams eq. 5.9)."""
    import numpy as np
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    n = len(y)
    weights = np.exp(-2.0 * theta[:-2])
    r = _ROOT5 * np.sqrt(np.tensordot(weights, gaps, axes=1))
    decay = np.exp(theta[-2]) * np.exp(-r)
    k = decay * (1.0 + r + r * r / 3.0)
    noise = np.exp(theta[-1])
    full = k.copy()
    full[np.diag_indices(n)] += noise + extra + 1e-8
    off = (theta - centre) / spread
    try:
        factor = cho_factor(full, lower=True, check_finite=False)
    except LinAlgError:
        return 1e10, off / spread
    solved = cho_solve(factor, y, check_finite=False)
    inverse = cho_solve(factor, np.eye(n), check_finite=False)
    value = 0.5 * y @ solved + np.log(np.diag(factor[0])).sum() + 0.5 * (off @ off)
    outer = inverse - np.outer(solved, solved)
    slope = np.empty_like(theta)
    common = outer * decay * (5.0 / 3.0) * (1.0 + r)
    slope[:-2] = 0.5 * weights * np.tensordot(gaps, common, axes=([1, 2], [0, 1]))
    slope[-2] = 0.5 * np.sum(outer * k)
    slope[-1] = 0.5 * noise * np.trace(outer)
    return float(value), slope + off / spread

"""Policy `cmaes`: CMA-ES (Hansen 2016, arXiv 1604.00772) for numeric parameters.

It drives the `cmaes` package, the one under Optuna's CmaEsSampler, and not that sampler: the
sampler keeps its evolved state inside its own trials, so that on a study rebuilt from a journal
it never leaves its first generation. Here the generations are replayed from the journal.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core import CategoricalParam, IntParam, Objective, Proposal, Scalar, Space, StudyView
from overnight_policy_optuna.sequential import Known, Point, SequentialConfig, SequentialPolicy, draw, require

if TYPE_CHECKING:
    from cmaes import CMA


@dataclass(frozen=True)
class Axis:
    """One numeric parameter, scaled to 0 … 1 (in its logarithm with `log`). A whole number
    owns the interval of ±½ around it, so that the ends are as likely as the middle."""

    name: str
    low: float
    high: float
    log: bool
    whole: bool

    def scale(self, value: Any) -> float:
        """From the parameter's unit to 0 … 1."""
        return (self._bend(value) - self._bend(self.low)) / (self._bend(self.high) - self._bend(self.low))

    def unscale(self, place: float) -> Scalar:
        """From 0 … 1 to the parameter's unit."""
        bent = self._bend(self.low) + place * (self._bend(self.high) - self._bend(self.low))
        value = min(max(math.exp(bent) if self.log else bent, self.low), self.high)
        return min(max(round(value), math.ceil(self.low)), math.floor(self.high)) if self.whole else value

    def _bend(self, value: float) -> float:
        return math.log(value) if self.log else value


class CmaEs(SequentialPolicy):
    """CMA-ES: evolves a normal distribution over the numeric parameters, for 50 trials and more."""

    class Config(SequentialConfig):
        """sigma: initial standard deviation, as a share of each parameter's range. population:
        trials per generation; None = 4 + 3 ln(number of numeric parameters)."""

        sigma: float = Field(default=0.25, gt=0, le=1)
        population: int | None = Field(default=None, ge=4)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        require("cmaes", "cmaes")
        self._sigma, self._population = config.sigma, config.population

    def propose(self, view: StudyView, known: Known, seed: int) -> Proposal:
        """A draw from the distribution that the ended trials evolved. Categorical parameters,
        which CMA-ES cannot model, are drawn at random; the rationale says so."""
        point = draw(view.space, seed)
        axes = axes_of(view.space)
        if not axes:
            return Proposal(point, rationale="random draw: no numeric parameter for CMA-ES")
        optimizer = self._evolved(axes, known, view.objective)
        optimizer.reseed_rng(seed)
        for axis, place in zip(axes, optimizer.ask(), strict=True):
            point[axis.name] = axis.unscale(float(place))
        random = [name for name, param in view.space.items() if isinstance(param, CategoricalParam)]
        why = f"CMA-ES: generation {optimizer.generation + 1}, {len(known.ended)} trials ranked"
        if known.failed:
            why += f" ({len(known.failed)} failed, last)"
        if random:
            why += f"; {', '.join(random)} at random"
        return Proposal(view.space.check(point), rationale=why + known.left_out())

    def _evolved(self, axes: list[Axis], known: Known, objective: Objective) -> "CMA":
        """The optimiser after all full generations; a collapsed one begins anew (Hansen 2016, B.3)."""
        optimizer = self._fresh(axes, known.space)
        for ranked in generations(known.ended, optimizer.population_size, objective):
            # CMA-ES uses ranks alone, so ranks are what it is told: a failed trial comes last
            # without a score being made up for it.
            optimizer.tell([(_place(axes, point), float(rank)) for rank, point in enumerate(ranked)])
            if optimizer.should_stop():
                optimizer = self._fresh(axes, known.space)
        return optimizer

    def _fresh(self, axes: list[Axis], space: Space) -> "CMA":
        import numpy as np
        from cmaes import CMA

        return CMA(
            mean=_place(axes, space.defaults()),
            sigma=self._sigma,
            bounds=np.array([[0.0, 1.0]] * len(axes)),
            n_max_resampling=10 * len(axes),
            seed=0,  # `propose` reseeds before every draw
            population_size=self._population,
        )


def axes_of(space: Space) -> list[Axis]:
    """The parameters that CMA-ES can move: numeric, with more than one value."""
    axes = []
    for name, param in space.items():
        if isinstance(param, CategoricalParam) or param.low == param.high:
            continue
        whole = isinstance(param, IntParam)
        half = 0.5 if whole else 0.0
        axes.append(Axis(name, param.low - half, param.high + half, param.log, whole))
    return axes


def generations(ended: Iterable[tuple[Point, float | None]], size: int, objective: Objective) -> Iterator[list[Point]]:
    """Ended trials in groups of `size`, best first and failed ones last, the unfinished group left out.

    A group is full when half of it is scored, since that half is what the distribution moves
    to; of the failed ones in a longer group only the latest count.
    """
    sign = -1.0 if objective.direction == "maximize" else 1.0
    scored: list[tuple[float, Point]] = []
    failed: list[Point] = []
    for point, score in ended:
        if score is None:
            failed.append(point)
        else:
            scored.append((sign * score, point))
        if len(scored) >= size // 2 and len(scored) + len(failed) >= size:
            best = [point for _, point in sorted(scored, key=lambda pair: pair[0])]
            yield best + failed[len(failed) - (size - len(best)) :]
            scored, failed = [], []


def _place(axes: list[Axis], point: Point) -> Any:
    import numpy as np

    return np.clip([axis.scale(point[axis.name]) for axis in axes], 0.0, 1.0)

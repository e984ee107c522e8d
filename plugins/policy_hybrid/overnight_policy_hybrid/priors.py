"""Prior points: what a person or an earlier study holds to be good, tried before any model exists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from core import InvalidParams, RecordedStudy, Scalar, SetupError, Space, recorded_study
from overnight_policy_hybrid.frame import Point
from overnight_policy_hybrid.known import fitting


@dataclass(frozen=True)
class PriorPoint:
    """point: of this study's space. source: who holds it to be good, for the rationale."""

    point: Point
    source: str


class Priors:
    """The prior points of a configuration; the earlier study is read when they are first asked for."""

    def __init__(self, given: Sequence[Mapping[str, Scalar]], memory: str | None) -> None:
        """Raises SetupError if `memory` is no study that can be read."""
        self._given = given
        self._study: RecordedStudy | None = None if memory is None else recorded_study(memory)

    def points(self, space: Space) -> list[PriorPoint]:
        """The user's first, then the earlier study's best. What they leave out is the default.
        Raises SetupError for a given one that does not fit the space."""
        found = [
            PriorPoint(_given(space, i, point), f"point {i} of policy.priors") for i, point in enumerate(self._given)
        ]
        if self._study is not None:
            found += [PriorPoint(point, why) for point, why in _remembered(self._study, space)]
        return found


def _given(space: Space, index: int, point: Mapping[str, Scalar]) -> Point:
    try:
        return space.check({**space.defaults(), **point})
    except InvalidParams as error:
        raise SetupError(f"policy.priors: point {index}: {error}") from None


def _remembered(study: RecordedStudy, space: Space) -> list[tuple[Point, str]]:
    """The earlier study's distinct points that score above its median, best first. Runs of one
    point are averaged, so that a lucky one counts less; parameters that this space lacks are left out."""
    runs: dict[tuple[tuple[str, bool, Scalar], ...], list[float]] = {}
    points: dict[tuple[tuple[str, bool, Scalar], ...], tuple[Point, int]] = {}
    for trial in study.trials:
        shared = {name: value for name, value in trial.proposal.params.items() if name in space}
        point = fitting(space, {**space.defaults(), **shared})
        if trial.score is None or not shared or point is None:
            continue
        key = tuple((name, isinstance(value, bool), value) for name, value in point.items())
        runs.setdefault(key, []).append(study.objective.gain(trial.score, 0.0))
        points.setdefault(key, (point, trial.number))
    ranked = sorted(runs, key=lambda key: -fmean(runs[key]))
    return [
        (points[key][0], f"trial {points[key][1]} of the earlier study {study.name}")
        for key in ranked[: (len(ranked) + 1) // 2]
    ]

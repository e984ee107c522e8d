"""Policy `grid`: every combination of a few values per parameter."""

import itertools
import math
from collections.abc import Mapping

from pydantic import Field

from core import PluginConfig, Proposal, Scalar, SetupError, Space, StudyView, Trial
from overnight_policy_basic.draw import generator

_LARGEST = 1_000_000


class GridSearch:
    """Tries every combination of a few values per parameter."""

    class Config(PluginConfig):
        """points: values per numeric parameter (or a mapping by name; others get 3), ends of the
        range included; categorical parameters use all choices. shuffle: seeded random order.
        default_first: whether trial 1 is the task author's own configuration."""

        points: int | dict[str, int] = Field(default=3)
        shuffle: bool = True
        default_first: bool = True

    def __init__(self, config: Config) -> None:
        self._config = config
        counts = [config.points] if isinstance(config.points, int) else list(config.points.values())
        if any(count < 1 for count in counts):
            raise SetupError("policy.points: at least 1 value per parameter is needed")

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next points that no trial had yet; empty when the grid is exhausted."""
        taken = [trial.proposal.params for trial in (*view.trials, *view.running)]
        points = self._points(view.space, view.seed)
        proposals = []
        for number, params in enumerate(points, 1):
            if len(proposals) == n:
                break
            if params not in taken:
                taken.append(params)
                proposals.append(Proposal(params, rationale=self._why(view.space, params, number, len(points))))
        return proposals

    def tell(self, trial: Trial) -> None:
        """A grid learns nothing."""

    def _points(self, space: Space, seed: int) -> list[dict[str, Scalar]]:
        axes = [param.grid(self._count(name)) for name, param in space.items()]
        size = math.prod(len(axis) for axis in axes)
        if size > _LARGEST:
            raise SetupError(f"policy.points: the grid has {size} points; choose fewer points or another policy")
        grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]
        if self._config.shuffle:
            generator(seed, 0, "grid").shuffle(grid)
        if self._config.default_first:
            first = space.defaults()
            return [first, *(point for point in grid if point != first)]
        return grid

    def _count(self, name: str) -> int:
        points = self._config.points
        return points.get(name, 3) if isinstance(points, Mapping) else points

    def _why(self, space: Space, params: dict[str, Scalar], number: int, size: int) -> str:
        if self._config.default_first and params == space.defaults():
            return "default configuration"
        return f"grid point {number} of {size}"

"""Policy `grid`: every combination of a few values per parameter."""

import difflib
import math
from collections.abc import Iterator
from typing import Any

from pydantic import field_validator

from core import PluginConfig, Proposal, Scalar, SetupError, Space, StudyView, Trial
from overnight_policy_basic.draw import generator, key, taken

_POINTS = 3


class GridSearch:
    """Tries every combination of a few values per parameter."""

    class Config(PluginConfig):
        """points: values per numeric parameter, ends of the range included; a mapping by name
        gives each its own (others get 3). Categorical parameters use all choices. shuffle:
        seeded random order, so that a budget smaller than the grid covers it evenly.
        default_first: whether trial 1 is the task author's own configuration."""

        points: int | dict[str, int] = _POINTS
        shuffle: bool = True
        default_first: bool = True

        @field_validator("points", mode="before")
        @classmethod
        def _counts(cls, points: Any) -> Any:
            for count in points.values() if isinstance(points, dict) else [points]:
                if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                    raise ValueError(
                        f"must be a whole number of at least 1, or such a number per parameter, not {count!r}"
                    )
            return points

    def __init__(self, config: Config) -> None:
        self._config = config

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next points that no trial had yet; empty when the grid is exhausted."""
        seen = taken(view)
        proposals: list[Proposal] = []
        for params, rationale in self._points(view.space, view.seed):
            if len(proposals) == n:
                break
            if key(params) not in seen:
                proposals.append(Proposal(params, rationale=rationale))
        return proposals

    def tell(self, trial: Trial) -> None:
        """A grid learns nothing."""

    def _points(self, space: Space, seed: int) -> Iterator[tuple[dict[str, Scalar], str]]:
        """Every point once, with its rationale, in the order in which they are tried."""
        axes = self._axes(space)
        size = math.prod(len(axis) for axis in axes.values())
        first = space.defaults() if self._config.default_first else None
        on_grid = first is not None and all(first[name] in axis for name, axis in axes.items())
        if first is not None:
            yield first, f"default configuration{f' (grid point 1 of {size})' if on_grid else ''}"
        number = int(on_grid)
        for place in _shuffled(size, seed) if self._config.shuffle else range(size):
            params = _point(axes, place)
            if first is None or key(params) != key(first):
                number += 1
                yield params, f"grid point {number} of {size}"

    def _axes(self, space: Space) -> dict[str, list[Scalar]]:
        points = self._config.points
        if isinstance(points, int):
            return {name: param.grid(points) for name, param in space.items()}
        for name in points:
            if name not in space:
                near = difflib.get_close_matches(name, space, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise SetupError(f"policy.points.{name}: no such parameter.{hint} The space has: {', '.join(space)}")
        return {name: param.grid(points.get(name, _POINTS)) for name, param in space.items()}


def _point(axes: dict[str, list[Scalar]], place: int) -> dict[str, Scalar]:
    """The grid's point number `place`, the last parameter changing fastest."""
    params = {}
    for name in reversed(axes):
        place, index = divmod(place, len(axes[name]))
        params[name] = axes[name][index]
    return {name: params[name] for name in axes}


def _shuffled(size: int, seed: int) -> Iterator[int]:
    """0 … size - 1 in random order, one at a time: a Fisher-Yates shuffle that remembers only
    what it moved, so that a grid of billions costs as much as the points that are tried."""
    rng = generator(seed, 0, "grid")
    moved: dict[int, int] = {}
    for place in range(size):
        other = rng.randrange(place, size)
        yield moved.get(other, other)
        moved[other] = moved.pop(place, place)

"""The frame: a search space as coordinates that a Gaussian process can measure distances in."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core import CategoricalParam, IntParam, Scalar, Space

if TYPE_CHECKING:
    import numpy as np

Point = dict[str, Scalar]


@dataclass(frozen=True)
class Axis:
    """One parameter with more than one value.

    Numeric ones run from 0 to 1 (in the logarithm with `log`); a whole number of `levels` values
    is only ever placed on one of them, so that the model sees what is trained. A categorical
    one's coordinate is its position, and any two positions are the distance 1 apart.
    """

    name: str
    low: float
    high: float
    log: bool
    levels: int | None
    choices: tuple[Scalar, ...] = ()

    def place(self, value: Any) -> float:
        """From the parameter's unit to a coordinate."""
        if self.choices:
            return float(position(self.choices, value))
        return (self._bend(value) - self._bend(self.low)) / (self._bend(self.high) - self._bend(self.low))

    def value(self, place: float) -> Scalar:
        """From a coordinate to the parameter's unit."""
        if self.choices:
            return self.choices[round(place)]
        bent = self._bend(self.low) + place * (self._bend(self.high) - self._bend(self.low))
        found = min(max(math.exp(bent) if self.log else bent, self.low), self.high)
        return int(min(max(round(found), self.low), self.high)) if self.levels else found

    def snap(self, places: "np.ndarray") -> "np.ndarray":
        """Coordinates moved to where a value of this parameter is."""
        import numpy as np

        if self.choices:
            return np.clip(np.rint(places), 0, len(self.choices) - 1)
        places = np.clip(places, 0.0, 1.0)
        if not self.levels:
            return places
        low, high = self._bend(self.low), self._bend(self.high)
        bent = low + places * (high - low)
        found = np.clip(np.rint(np.exp(bent) if self.log else bent), self.low, self.high)
        return ((np.log(found) if self.log else found) - low) / (high - low)

    def draw(self, uniform: "np.ndarray") -> "np.ndarray":
        """Coordinates from draws in 0 … 1, every value as likely as a uniform sample makes it."""
        import numpy as np

        if self.choices:
            return np.minimum(np.floor(uniform * len(self.choices)), len(self.choices) - 1)
        if not self.levels:
            return uniform
        low, high = self._bend(self.low - 0.5), self._bend(self.high + 0.5)
        bent = low + uniform * (high - low)
        inner_low, inner_high = self._bend(self.low), self._bend(self.high)
        return self.snap((bent - inner_low) / (inner_high - inner_low))

    def _bend(self, value: float) -> float:
        return math.log(value) if self.log else value


class Frame:
    """The axes of a space; parameters with a single value have none."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.axes = [axis for axis in map(_axis, space, space.values()) if axis is not None]
        self.categorical = [bool(axis.choices) for axis in self.axes]

    def place(self, points: Iterable[Point]) -> "np.ndarray":
        """Points of the space as rows of coordinates."""
        import numpy as np

        rows = [[axis.place(point[axis.name]) for axis in self.axes] for point in points]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.axes))

    def point(self, row: Sequence[float]) -> Point:
        """A row of coordinates as a point of the space."""
        found = self.space.defaults()
        found.update({axis.name: axis.value(float(place)) for axis, place in zip(self.axes, row, strict=True)})
        return self.space.check(found)

    def draw(self, uniform: "np.ndarray") -> "np.ndarray":
        """Rows of draws in 0 … 1 as rows of coordinates."""
        import numpy as np

        if not self.axes:
            return uniform[:, :0]
        return np.column_stack([axis.draw(uniform[:, j]) for j, axis in enumerate(self.axes)])

    def snap(self, rows: "np.ndarray") -> "np.ndarray":
        """Rows of coordinates moved to points of the space."""
        import numpy as np

        return np.column_stack([axis.snap(rows[:, j]) for j, axis in enumerate(self.axes)]) if self.axes else rows

    def gaps(self, a: "np.ndarray", b: "np.ndarray") -> "np.ndarray":
        """Squared distances along each axis: (axes, rows of a, rows of b)."""
        import numpy as np

        gaps = (a.T[:, :, None] - b.T[:, None, :]) ** 2
        for j, categorical in enumerate(self.categorical):
            if categorical:
                gaps[j] = np.minimum(gaps[j], 1.0)
        return gaps


def _axis(name: str, param: Any) -> Axis | None:
    if isinstance(param, CategoricalParam):
        return Axis(name, 0.0, 1.0, False, None, param.choices) if len(param.choices) > 1 else None
    if param.low == param.high:
        return None
    levels = param.high - param.low + 1 if isinstance(param, IntParam) else None
    return Axis(name, param.low, param.high, param.log, levels)


def position(choices: tuple[Scalar, ...], value: Any) -> int:
    for position, choice in enumerate(choices):
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return position
    raise ValueError(f"{value!r} is not one of {list(choices)}")

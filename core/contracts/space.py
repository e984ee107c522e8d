"""The search space: which parameters a policy may choose, from which values."""

import difflib
import math
import random
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from core.contracts.config import PluginConfig
from core.contracts.errors import InvalidParams

Scalar = bool | int | float | str


class FloatParam(PluginConfig):
    """A real number in [low, high]; `log` searches its logarithm."""

    type: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    default: float

    @model_validator(mode="after")
    def _ordered(self) -> "FloatParam":
        _check_range(self.low, self.high, self.default, self.log)
        return self

    def sample(self, rng: random.Random) -> float:
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
            return min(max(drawn, self.low), self.high)
        return rng.uniform(self.low, self.high)

    def grid(self, points: int) -> list[Scalar]:
        """`points` values from low to high, evenly spaced (in the logarithm with `log`)."""
        if points == 1 or self.low == self.high:
            return [self.default]
        steps = [i / (points - 1) for i in range(points)]
        if self.log:
            ratio = self.high / self.low
            inner = [self.low * ratio**step for step in steps]
        else:
            inner = [self.low + (self.high - self.low) * step for step in steps]
        return [self.low, *inner[1:-1], self.high]

    def check(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not a number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{value!r} is outside {self.low:g} … {self.high:g}")
        return float(value)


class IntParam(PluginConfig):
    """A whole number in [low, high]; `log` searches its logarithm."""

    type: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    default: int

    @model_validator(mode="after")
    def _ordered(self) -> "IntParam":
        _check_range(self.low, self.high, self.default, self.log)
        return self

    def sample(self, rng: random.Random) -> int:
        if self.log:
            drawn = round(math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5))))
            return min(max(drawn, self.low), self.high)
        return rng.randint(self.low, self.high)

    def grid(self, points: int) -> list[Scalar]:
        """At most `points` distinct whole numbers from low to high."""
        if points == 1 or self.low == self.high:
            return [self.default]
        real = FloatParam(low=self.low, high=self.high, log=self.log, default=self.default)
        return list(dict.fromkeys(round(float(value)) for value in real.grid(points)))

    def check(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise ValueError(f"{value!r} is not a whole number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{value!r} is outside {self.low} … {self.high}")
        return int(value)


class CategoricalParam(PluginConfig):
    """One of a list of values, in no order."""

    type: Literal["categorical"] = "categorical"
    choices: tuple[Scalar, ...] = Field(min_length=1)
    default: Scalar

    @model_validator(mode="after")
    def _known(self) -> "CategoricalParam":
        if self.default not in self.choices:
            raise ValueError(f"default {self.default!r} is not one of {list(self.choices)}")
        return self

    def sample(self, rng: random.Random) -> Scalar:
        return rng.choice(self.choices)

    def grid(self, points: int) -> list[Scalar]:
        """All choices, whatever `points` says."""
        return list(self.choices)

    def check(self, value: Any) -> Scalar:
        for choice in self.choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
        raise ValueError(f"{value!r} is not one of {list(self.choices)}")


Param = Annotated[FloatParam | IntParam | CategoricalParam, Field(discriminator="type")]


def _without_nulls(node: Any) -> Any:
    if not isinstance(node, Mapping):
        return node
    kept = {name: param for name, param in node.items() if param is not None}
    return {
        name: {key: value for key, value in param.items() if value is not None} if isinstance(param, Mapping) else param
        for name, param in kept.items()
    }


# A task's `space` in its Config. Configurations are merged, so null takes away: `space.beta: null` a
# parameter, `low: null` a key that another type of parameter does not have.
SpaceConfig = Annotated[dict[str, Param], BeforeValidator(_without_nulls)]


class Space(Mapping[str, FloatParam | IntParam | CategoricalParam]):
    """The parameters a policy may choose, by name. Immutable."""

    def __init__(self, params: Mapping[str, FloatParam | IntParam | CategoricalParam]) -> None:
        self._params = dict(params)

    def __getitem__(self, name: str) -> FloatParam | IntParam | CategoricalParam:
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def defaults(self) -> dict[str, Scalar]:
        """The task author's own settings: what a study tries first."""
        return {name: param.default for name, param in self._params.items()}

    def sample(self, rng: random.Random) -> dict[str, Scalar]:
        """One point drawn uniformly (in the logarithm where a parameter says `log`)."""
        return {name: param.sample(rng) for name, param in self._params.items()}

    def check(self, params: Mapping[str, Any]) -> dict[str, Scalar]:
        """The same point with its types made exact, e.g. 8.0 → 8 for a whole number.

        Raises InvalidParams for a missing, unknown or out-of-range parameter.
        """
        for name in params:
            if name not in self._params:
                near = difflib.get_close_matches(name, self._params, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise InvalidParams(f"unknown parameter {name!r}.{hint} The space has: {', '.join(self._params)}")
        checked: dict[str, Scalar] = {}
        for name, param in self._params.items():
            if name not in params:
                raise InvalidParams(f"parameter {name!r} is missing")
            try:
                checked[name] = param.check(params[name])
            except (ValueError, OverflowError) as error:
                raise InvalidParams(f"parameter {name!r}: {error}") from None
        return checked


def _check_range(low: float, high: float, default: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("low and high must be finite")
    if low > high:
        raise ValueError(f"low {low:g} is above high {high:g}")
    if log and low <= 0:
        raise ValueError(f"log needs low above 0, got {low:g}")
    if not low <= default <= high:
        raise ValueError(f"default {default:g} is outside {low:g} … {high:g}")

"""A search space in Optuna's words, for whoever hands it to one of Optuna's samplers or evaluators."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.contracts.space import CategoricalParam, FloatParam, IntParam, Scalar, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def optuna_distributions(space: Space) -> dict[str, "BaseDistribution"]:
    """Optuna's form of a search space; a categorical's choices by position, since Optuna takes True
    and 1 for the same choice. Loads optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, BaseDistribution] = {}
    for name, param in space.items():
        match param:
            case FloatParam():
                made[name] = FloatDistribution(param.low, param.high, log=param.log)
            case IntParam():
                made[name] = IntDistribution(param.low, param.high, log=param.log)
            case CategoricalParam():
                made[name] = CategoricalDistribution(range(len(param.choices)))
    return made


def optuna_params(space: Space, point: Mapping[str, Scalar]) -> dict[str, Any]:
    """A point of the space as Optuna's parameters."""
    return {name: _position(space[name], value) for name, value in point.items()}


def from_optuna(space: Space, params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Optuna's parameters as a point of the space."""
    return {
        name: param.choices[params[name]] if isinstance(param, CategoricalParam) else params[name]
        for name, param in space.items()
    }


def _position(param: Any, value: Any) -> Any:
    if not isinstance(param, CategoricalParam):
        return value
    chosen = param.check(value)  # the very object among the choices
    return next(position for position, choice in enumerate(param.choices) if choice is chosen)

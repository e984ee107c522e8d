"""Optuna and SMAC used directly, as their documentation shows it, on the same tables."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from policies_tables import Point, Table

from core import CategoricalParam, IntParam, Space

Score = Callable[[Point], float]


def optuna_tpe(table: Table, score: Score, trials: int, seed: int) -> Iterator[Point]:
    """`optuna.create_study(sampler=TPESampler(seed))`, Optuna 5's defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), direction=table.objective.direction)
    for _ in range(trials):
        trial = study.ask()
        point = {name: _suggest(trial, name, param) for name, param in table.space.items()}
        study.tell(trial, score(point))
        yield point


def _suggest(trial: Any, name: str, param: Any) -> Any:
    if isinstance(param, CategoricalParam):
        return trial.suggest_categorical(name, param.choices)
    suggest = trial.suggest_int if isinstance(param, IntParam) else trial.suggest_float
    return suggest(name, param.low, param.high, log=param.log)


def smac(table: Table, score: Score, trials: int, seed: int) -> Iterator[Point]:
    """SMAC's HyperparameterOptimizationFacade, one seed a configuration as everyone here."""
    from smac import HyperparameterOptimizationFacade as Facade
    from smac import Scenario
    from smac.runhistory.dataclasses import TrialValue

    logging.getLogger("smac").setLevel(logging.ERROR)
    sign = -1.0 if table.objective.direction == "maximize" else 1.0
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            _config_space(table.space, seed), deterministic=True, n_trials=trials, seed=seed, output_directory=folder
        )
        facade = Facade(scenario, lambda config, seed: 0.0, overwrite=True, logging_level=logging.ERROR)
        for _ in range(trials):
            asked = facade.ask()
            point = {name: _plain(param, asked.config[name]) for name, param in table.space.items()}
            facade.tell(asked, TrialValue(cost=sign * score(point)))
            yield point


def _config_space(space: Space, seed: int) -> Any:
    from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

    found = ConfigurationSpace(seed=seed)
    for name, param in space.items():
        if isinstance(param, CategoricalParam):
            found.add(Categorical(name, list(param.choices), default=param.default))
        else:
            kind = Integer if isinstance(param, IntParam) else Float
            found.add(kind(name, (param.low, param.high), log=param.log, default=param.default))
    return found


def _plain(param: Any, value: Any) -> Any:
    if isinstance(param, CategoricalParam):
        return next(choice for choice in param.choices if choice == value)
    return int(value) if isinstance(param, IntParam) else float(value)

"""Optuna's samplers as policies: the contract, and that they learn."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from core import Space
from core.plugins import discover
from core.testing import PolicyConformance
from core.testing.trials import MINIMIZE, SPACES, campaign


class TestTpe(PolicyConformance):
    name = "tpe"


class TestGaussianProcess(PolicyConformance):
    name = "gp"


class TestCmaEs(PolicyConformance):
    name = "cmaes"


def _loss(params: Mapping[str, Any]) -> float:
    return (params["x"] - 0.3) ** 2 + (math.log10(params["y"]) + 2) ** 2 / 4 + (params["k"] - 6) ** 2 / 20


def _best(policy: str, space: Space, trials: int, seed: int) -> float:
    done = campaign(discover().build("policy", {"name": policy}), space, _loss, trials, MINIMIZE, seed)
    return min(trial.score for trial in done if trial.score is not None)


@pytest.mark.parametrize(("policy", "trials", "factor"), [("tpe", 40, 0.6), ("gp", 20, 0.4), ("cmaes", 60, 0.8)])
def test_it_finds_a_better_point_than_random_search(policy: str, trials: int, factor: float) -> None:
    seeds = range(3)
    ours = sum(_best(policy, SPACES["numbers"], trials, seed) for seed in seeds)
    random = sum(_best("random", SPACES["numbers"], trials, seed) for seed in seeds)
    assert ours < factor * random


def test_a_failed_region_is_not_scored_but_known() -> None:
    """A failed trial must never be told with a value: no score, however low, is true of it."""
    from overnight_policy_optuna.bridge import build_study

    from core.testing.trials import failed, scored, view

    space = SPACES["one"]
    trials = [scored(1, 0.5, {"x": 0.2}), failed(2, {"x": 0.9})]
    from optuna.samplers import RandomSampler

    study = build_study(view(space, trials), [{"x": 0.4}], RandomSampler(seed=0))
    assert [(t.state.name, t.value) for t in study.trials] == [("COMPLETE", 0.5), ("FAIL", None), ("RUNNING", None)]

"""The parts of `hybrid`: what its model believes, whom its bandit trusts, which points it refuses."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core import Space, Trial
from core.testing.trials import SPACES, failed, scored, view
from overnight_policy_hybrid.arms import outside_next, record
from overnight_policy_hybrid.known import sort_out
from overnight_policy_hybrid.model import Model, dead_end

NUMBERS = SPACES["numbers"]


def drawn(space: Space, count: int) -> list[dict[str, Any]]:
    return [space.sample(random.Random(i)) for i in range(count)]


def loss(params: Mapping[str, Any]) -> float:
    """Smooth, with its optimum well away from the defaults."""
    return (params["x"] - 0.7) ** 2 + (math.log10(params["y"]) + 1) ** 2 / 4 + (params["k"] - 7) ** 2 / 20


def by(arm: str, trial: Trial) -> Trial:
    return replace(trial, proposal=replace(trial.proposal, rationale=f"{arm}: as a test says"))


def test_a_failure_teaches_no_score() -> None:
    """A penalty would drag the surrogate down around it; the score model sees completed trials only."""
    trials = [scored(i, -loss(params), params) for i, params in enumerate(drawn(NUMBERS, 8), 1)]
    point = {"x": 0.6, "y": 0.05, "k": 8}
    plain, warned = (Model(sort_out(view(NUMBERS, told), [])) for told in (trials, [*trials, failed(9, point)]))
    rows = sort_out(view(NUMBERS), []).frame.place([point])
    assert warned.surrogate.predict(rows)[0] == plain.surrogate.predict(rows)[0]
    assert plain.feasibility is None
    assert warned.feasibility is not None
    assert warned.feasibility.chance(rows)[0] < 0.5


def test_the_bandit_shifts_share_to_the_arm_that_sets_new_bests() -> None:
    points = drawn(NUMBERS, 12)

    def share(winner: str) -> float:
        trials = []
        for i, params in enumerate(points, 1):
            arm = "llm" if i % 2 else "model"
            trials.append(by(arm, scored(i, i / 12 if arm == winner else 0.0, params)))
        known = sort_out(view(NUMBERS, trials), [])
        assert record(known)[winner == "llm"] == (6, 0)
        return sum(outside_next(known, seed) for seed in range(100)) / 100

    assert share("llm") > 0.9
    assert share("model") < 0.1


def test_hopeless_outside_points_are_vetoed_and_promising_ones_are_not() -> None:
    trials = [scored(i, -loss(params), params) for i, params in enumerate(drawn(NUMBERS, 25), 1)]
    model = Model(sort_out(view(NUMBERS, trials), []))
    assert model.veto({"x": -0.9, "y": 1e-5, "k": 0}) == "its upper 90 % bound is below the best mean"
    assert model.veto({"x": 0.7, "y": 0.1, "k": 7}) is None


def test_noise_in_the_intervals_makes_the_model_believe_a_lucky_score_less() -> None:
    points = drawn(NUMBERS, 12)
    lucky = {**points[0], "x": points[0]["x"] * 0.98}

    def believed(width: float) -> float:
        told = []
        for i, params in enumerate([*points, lucky], 1):
            trial = scored(i, 1.0 if i == 13 else 0.5 + 0.01 * (i % 3), params)
            assert trial.evaluation is not None
            value = trial.evaluation.value
            interval = replace(trial.evaluation, low=value - width, high=value + width)
            told.append(replace(trial, evaluation=interval))
        model = Model(sort_out(view(NUMBERS, told), []))
        return float(model.means[12] - model.means[:12].max())

    assert believed(0.5) < 0.5 * believed(0.001)


def test_repeats_and_what_is_hardly_different_from_a_failure_are_dead_ends() -> None:
    trials = [scored(1, 0.5, {"x": 0.1, "y": 1e-2, "k": 4}), failed(2, {"x": 0.6, "y": 1e-2, "k": 4})]
    known = sort_out(view(NUMBERS, trials), [])
    assert dead_end(known, {"x": 0.1, "y": 1e-2, "k": 4}) == "it was tried before"
    assert dead_end(known, {"x": 0.61, "y": 1e-2, "k": 4}) == "one hardly different from it failed"
    assert dead_end(known, {"x": 0.11, "y": 1e-2, "k": 4}) is None
    assert dead_end(known, {"x": 0.6, "y": 1e-2, "k": 5}) is None

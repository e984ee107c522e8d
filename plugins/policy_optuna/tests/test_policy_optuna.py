"""Optuna's samplers and CMA-ES as policies: the contract, that they learn, and from what."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from core import CategoricalParam, FloatParam, IntParam, Policy, SetupError, Space, Trial
from core.errors import UsageError
from core.plugins import discover
from core.testing import PolicyConformance
from core.testing.trials import (
    MAXIMIZE,
    MINIMIZE,
    MIXED,
    SPACES,
    campaign,
    cancelled,
    failed,
    one_at_a_time,
    running,
    scored,
    view,
)

ALL = pytest.mark.parametrize("name", ["tpe", "gp", "cmaes"])
NUMBERS = SPACES["numbers"]


class TestTpe(PolicyConformance):
    name = "tpe"


@pytest.mark.slow
class TestGaussianProcess(PolicyConformance):
    name = "gp"


class TestCmaEs(PolicyConformance):
    name = "cmaes"


def make(name: str, **options: Any) -> Policy:
    return discover().build("policy", {"name": name, **options})


def drawn(space: Space, count: int) -> list[dict[str, Any]]:
    return [proposal.params for proposal in make("random").ask(view(space), count)]


def loss(params: Mapping[str, Any]) -> float:
    """Smooth, with its optimum well away from the defaults."""
    return (params["x"] - 0.7) ** 2 + (math.log10(params["y"]) + 1) ** 2 / 4 + (params["k"] - 7) ** 2 / 20


def best(policy: str, trials: int, seed: int) -> float:
    done = campaign(make(policy), NUMBERS, loss, trials, MINIMIZE, seed)
    return min(trial.score for trial in done if trial.score is not None)


@pytest.mark.parametrize(
    ("policy", "trials", "factor"),
    [("tpe", 40, 0.5), ("cmaes", 80, 0.25), pytest.param("gp", 20, 0.25, marks=pytest.mark.slow)],
)
def test_it_beats_random_search_by_far(policy: str, trials: int, factor: float) -> None:
    seeds = range(4)
    ours = sum(best(policy, trials, seed) for seed in seeds)
    assert ours < factor * sum(best("random", trials, seed) for seed in seeds)


def rising_to_a_cliff(params: Mapping[str, Any]) -> float | None:
    """The score rises with the learning rate until training collapses above 3e-4."""
    place = math.log10(params["lr"])
    return None if place > -3.5 else 1 + place / 10 - (params["t"] - 0.8) ** 2


@pytest.mark.parametrize(
    ("policy", "share"), [("tpe", 0.45), ("cmaes", 0.45), pytest.param("gp", 0.45, marks=pytest.mark.slow)]
)
def test_it_does_not_walk_into_failures_over_and_over(policy: str, share: float) -> None:
    """Ignoring failed trials, TPE was measured to fail in 93 % and the Gaussian process in 82 %."""
    lr = FloatParam(low=1e-6, high=1e-2, log=True, default=1e-5)
    space = Space({"lr": lr, "t": FloatParam(low=0.5, high=1.5, default=1.0), "k": IntParam(low=1, high=8, default=2)})
    done = [trial for seed in range(3) for trial in campaign(make(policy), space, rising_to_a_cliff, 30, seed=seed)[6:]]
    assert sum(trial.score is None for trial in done) < share * len(done)


@ALL
def test_several_at_once_are_what_one_at_a_time_would_be(name: str) -> None:
    trials = [scored(i, i / 10, params) for i, params in enumerate(drawn(NUMBERS, 6), 1)]
    for where in (view(NUMBERS), view(NUMBERS, trials)):
        assert make(name).ask(where, 3) == one_at_a_time(make(name), where, 3)


@ALL
def test_a_loss_is_minimised_as_its_negative_is_maximised(name: str) -> None:
    points = drawn(NUMBERS, 12)
    up = [scored(i, -loss(params), params) for i, params in enumerate(points, 1)]
    down = [scored(i, loss(params), params) for i, params in enumerate(points, 1)]
    highest = make(name).ask(view(NUMBERS, up, objective=MAXIMIZE), 1)
    assert highest == make(name).ask(view(NUMBERS, down, objective=MINIMIZE), 1)
    assert highest != make(name).ask(view(NUMBERS, down, objective=MAXIMIZE), 1)


@pytest.mark.parametrize("options", [{"name": "tpe"}, {"name": "gp"}, {"name": "cmaes", "population": 4}], ids=str)
def test_scores_and_failures_matter_and_cancelled_trials_do_not(options: dict[str, Any]) -> None:
    *points, last = *drawn(NUMBERS, 11), {"x": 0.6, "y": 0.05, "k": 8}
    trials = [scored(i, -loss(params), params) for i, params in enumerate(points, 1)]

    def after(twelfth: Trial) -> list[dict[str, Any]]:
        return [make(**options).ask(view(NUMBERS, [*trials, twelfth], seed=seed), 1)[0].params for seed in range(3)]

    unknown = after(cancelled(12, last))
    assert after(replace(failed(12, last), error_kind="executor")) == unknown, (
        "a lost machine is no fault of the settings"
    )
    assert after(scored(12, -loss(last), last)) != unknown
    assert after(failed(12, last)) != unknown


@ALL
def test_trials_outside_the_search_space_are_left_out(name: str) -> None:
    """The range of a parameter may have changed between a study and its resume."""
    trials = [scored(i, i / 10, params) for i, params in enumerate(drawn(NUMBERS, 6), 1)]
    found = make(name).ask(view(NUMBERS, [*trials, scored(7, 9.0, {"x": 99.0, "y": 1e-3, "k": 3})]), 1)[0]
    assert NUMBERS.check(found.params) == found.params
    assert found.rationale.endswith("; 1 outside the search space left out")


def test_true_and_one_are_different_choices() -> None:
    from core import from_optuna, optuna_params

    space = Space({"flag": CategoricalParam(choices=(True, 1, 0, "no", False), default=1)})
    assert [optuna_params(space, {"flag": flag})["flag"] for flag in (True, 1, 0, "no", False)] == [0, 1, 2, 3, 4]
    assert [repr(from_optuna(space, {"flag": place})["flag"]) for place in range(5)] == [
        "True",
        "1",
        "0",
        "'no'",
        "False",
    ]


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_rationales_say_what_a_proposal_rests_on(name: str) -> None:
    label = {"tpe": "TPE", "gp": "Gaussian process"}[name]
    points = drawn(NUMBERS, 8)
    trials = [scored(i, i / 10, params) for i, params in enumerate(points[:6], 1)]

    def why(*arguments: Any) -> str:
        return make(name).ask(view(NUMBERS, *arguments), 1)[0].rationale

    assert why() == "default configuration"
    assert why(trials[:4]) == f"random draw: {label} starts at 5 scored trials, there are 4"
    assert why(trials) == f"{label}: expected improvement over 6 scored trials"
    pending = [running(8, points[7])]
    assert why([*trials, failed(7, points[6])], pending) == (
        f"{label}: expected improvement over 6 scored trials, away from 1 failed and 1 running"
    )


def test_cmaes_says_its_generation_and_what_it_cannot_model() -> None:
    trials = [scored(i, i / 10, params) for i, params in enumerate(drawn(MIXED, 9), 1)]
    found = make("cmaes").ask(view(MIXED, [*trials, failed(10, drawn(MIXED, 10)[9])]), 1)[0]
    # Four numeric parameters make generations of 4 + 3 ln 4 = 8.
    assert found.rationale == "CMA-ES: generation 2, 10 trials ranked (1 failed, last); loss, bf16 at random"
    only = make("cmaes", default_first=False).ask(view(SPACES["choices"]), 1)[0]
    assert only.rationale == "random draw: no numeric parameter for CMA-ES"


def test_cmaes_narrows_down_over_generations() -> None:
    """Optuna's own sampler, given a study rebuilt from a journal, never left its first generation."""
    done = campaign(make("cmaes", population=6), NUMBERS, loss, 90, MINIMIZE)
    early, late = ([abs(trial.proposal.params["x"] - 0.7) for trial in part] for part in (done[1:19], done[-18:]))
    assert sum(late) < 0.2 * sum(early)


def test_a_generation_waits_until_half_of_it_is_scored() -> None:
    from overnight_policy_optuna.cmaes import generations

    ended = [({"x": i}, None if i < 5 else float(i)) for i in range(8)]
    assert list(generations(ended[:6], 4, MAXIMIZE)) == []
    assert [[point["x"] for point in ranked] for ranked in generations(ended, 4, MAXIMIZE)] == [[6, 5, 3, 4]]
    assert [[point["x"] for point in ranked] for ranked in generations(ended, 4, MINIMIZE)] == [[5, 6, 3, 4]]


def test_a_collapsed_cmaes_begins_anew() -> None:
    """Told the same point again and again, its distribution shrinks to nothing."""
    space, point = SPACES["one"], {"x": 0.25}
    policy = make("cmaes")
    found = [policy.ask(view(space, [scored(i, 0.5, point) for i in range(count)]), 1)[0] for count in (40, 2000)]
    assert abs(found[0].params["x"] - 0.25) < 0.02
    for proposal in found:
        assert space.check(proposal.params) == proposal.params


def test_every_whole_number_is_as_likely_to_cmaes() -> None:
    from overnight_policy_optuna.cmaes import axes_of

    axes = axes_of(Space({"k": IntParam(low=1, high=4, default=1), "b": IntParam(low=1, high=8, log=True, default=2)}))
    assert [axes[0].unscale(place / 8) for place in (0, 1, 3, 5, 7, 8)] == [1, 1, 2, 3, 4, 4]
    for axis in axes:
        assert [axis.unscale(axis.scale(value)) for value in (1, 2, 3, 4)] == [1, 2, 3, 4]


def test_a_failed_trial_is_never_told_with_a_score_that_could_be_the_best() -> None:
    from optuna.samplers import RandomSampler

    from overnight_policy_optuna.bridge import build_study
    from overnight_policy_optuna.sequential import sort_out

    trials = [scored(1, 0.2, {"x": 0.1}), scored(2, 0.5, {"x": 0.2}), failed(3, {"x": 0.9}), scored(4, 0.3, {"x": 0.3})]
    known = sort_out(view(SPACES["one"], trials), [{"x": 0.4}])
    told = build_study(known, MAXIMIZE, RandomSampler(seed=0)).trials
    assert [(t.state.name, t.value) for t in told] == [
        ("COMPLETE", 0.2),
        ("COMPLETE", 0.5),
        ("RUNNING", None),
        ("COMPLETE", 0.3),
        ("RUNNING", None),
    ]
    told = build_study(known, MAXIMIZE, RandomSampler(seed=0), constrained=True).trials
    assert [(t.state.name, t.value, *t.constraints.values()) for t in told] == [
        ("COMPLETE", 0.2, -1.0),
        ("COMPLETE", 0.5, -1.0),
        ("COMPLETE", 0.3, 1.0),  # the median of the scores, and infeasible
        ("COMPLETE", 0.3, -1.0),
        ("RUNNING", None),
    ]


def test_the_gaussian_process_gives_torch_its_threads_back() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        trials = [scored(i, i / 10, params) for i, params in enumerate(drawn(SPACES["one"], 6), 1)]
        make("gp").ask(view(SPACES["one"], trials), 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_missing_package_is_said_with_the_command_that_installs_it() -> None:
    from overnight_policy_optuna.sequential import require

    with pytest.raises(SetupError, match=r"policy 'gp' needs no_such_package.*`pip install no_such_package`"):
        require("no_such_package", "gp")


@pytest.mark.parametrize(
    ("policy", "option", "value"),
    [("tpe", "startup_trials", 0), ("tpe", "candidates", 0), ("cmaes", "sigma", 0), ("cmaes", "population", 3)],
)
def test_settings_that_cannot_work_are_refused(policy: str, option: str, value: int) -> None:
    with pytest.raises(UsageError, match=rf"^policy\.{option}: .*got {value}"):
        make(policy, **{option: value})


def test_optuna_says_nothing(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    trials = [scored(i, i / 10, params) for i, params in enumerate(drawn(MIXED, 6), 1)]
    for name in ("tpe", "gp", "cmaes"):
        make(name).ask(view(MIXED, [*trials, failed(7, MIXED.defaults())]), 2)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []

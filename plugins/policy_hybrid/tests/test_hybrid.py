"""Policy `hybrid`: what it tries in which order, what it keeps away from, and that it learns fast."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from core import CategoricalParam, FloatParam, IntParam, Policy, Proposal, SetupError, Space, Trial
from core.errors import UsageError
from core.plugins import discover
from core.testing.trials import (
    MAXIMIZE,
    MINIMIZE,
    MIXED,
    SPACES,
    cancelled,
    failed,
    running,
    scored,
    view,
)

NUMBERS = SPACES["numbers"]
PRIORS = [{"x": 0.7, "y": 0.1, "k": 7}, {"x": 0.5}, {"k": 9}]


def make(**options: Any) -> Policy:
    return discover().build("policy", {"name": "hybrid", **options})


def drawn(space: Space, count: int) -> list[dict[str, Any]]:
    return [space.sample(random.Random(i)) for i in range(count)]


def loss(params: Mapping[str, Any]) -> float:
    """Smooth, with its optimum well away from the defaults."""
    return (params["x"] - 0.7) ** 2 + (math.log10(params["y"]) + 1) ** 2 / 4 + (params["k"] - 7) ** 2 / 20


def campaign(
    policy: Policy,
    space: Space,
    score: Callable[[Mapping[str, Any]], float | None],
    count: int,
    objective: Any = MAXIMIZE,
    seed: int = 7,
) -> list[Trial]:
    """As a study records it: with the proposals, rationales and all."""
    done: list[Trial] = []
    for number in range(1, count + 1):
        proposal = policy.ask(view(space, done, objective=objective, seed=seed), 1)[0]
        value = score(proposal.params)
        trial = failed(number) if value is None else scored(number, value)
        done.append(replace(trial, proposal=proposal))
    return done


def arms(trials: list[Trial]) -> list[str]:
    return [trial.proposal.rationale.split(":")[0] for trial in trials]


def by(arm: str, trial: Trial) -> Trial:
    return replace(trial, proposal=replace(trial.proposal, rationale=f"{arm}: as a test says"))


def test_the_default_comes_first_then_draws_then_the_model() -> None:
    done = campaign(make(), NUMBERS, loss, 7, MINIMIZE)
    assert done[0].proposal.params == NUMBERS.defaults()
    assert arms(done) == ["default", "draw", "draw", "draw", "model", "model", "model"]
    assert done[-1].proposal.rationale == "model: Gaussian process, expected improvement on 6 scored"


def test_prior_points_come_second_in_their_order_and_are_filled_up_with_defaults() -> None:
    done = campaign(make(priors=PRIORS), NUMBERS, loss, 5, MINIMIZE)
    assert arms(done) == ["default", "prior", "prior", "prior", "model"]
    assert [trial.proposal.params for trial in done[1:4]] == [{**NUMBERS.defaults(), **prior} for prior in PRIORS]
    assert done[2].proposal.rationale == "prior: point 1 of policy.priors"


def test_a_prior_point_that_was_tried_or_failed_already_is_left_out() -> None:
    twice = [NUMBERS.defaults(), PRIORS[0], PRIORS[0]]
    assert arms(campaign(make(priors=twice), NUMBERS, loss, 3, MINIMIZE)) == ["default", "prior", "draw"]
    close = {"x": 0.701, "y": 0.1, "k": 7}
    found = make(priors=[close]).ask(view(NUMBERS, [failed(1, PRIORS[0])]), 1)[0]
    assert found.rationale.startswith("draw")


def test_prior_points_that_let_down_cost_two_trials() -> None:
    bad = [{"x": -0.9, "k": 0}, {"x": -0.8, "k": 0}, {"x": -0.7, "k": 0}]
    done = campaign(make(priors=bad), NUMBERS, loss, 6, MINIMIZE)
    assert arms(done) == ["default", "prior", "prior", "draw", "model", "model"]


def test_a_prior_point_that_does_not_fit_the_space_is_a_clear_error() -> None:
    with pytest.raises(SetupError, match=r"policy.priors: point 1: parameter 'k': 99 is outside 0 … 9"):
        make(priors=[{"k": 1}, {"k": 99}]).ask(view(NUMBERS), 1)
    with pytest.raises(SetupError, match=r"policy.priors: point 0: unknown parameter 'yy'. Did you mean y"):
        make(priors=[{"yy": 1}]).ask(view(NUMBERS), 1)


def test_it_beats_random_search_by_far_in_fifteen_trials() -> None:
    def best(name: str, seed: int) -> float:
        done = campaign(discover().build("policy", {"name": name}), NUMBERS, loss, 15, MINIMIZE, seed)
        return min(trial.score for trial in done if trial.score is not None)

    assert sum(best("hybrid", seed) for seed in range(2)) < 0.2 * sum(best("random", seed) for seed in range(2))


CLIFF = Space(
    {
        "lr": FloatParam(low=1e-6, high=1e-2, log=True, default=1e-5),
        "t": FloatParam(low=0.5, high=1.5, default=1.0),
        "k": IntParam(low=1, high=8, default=2),
    }
)


def rising_to_a_cliff(params: Mapping[str, Any]) -> float | None:
    """The score rises with the learning rate until training collapses above 3e-4."""
    place = math.log10(params["lr"])
    return None if place > -3.5 else 1 + place / 10 - (params["t"] - 0.8) ** 2


def test_a_failing_half_space_is_avoided_after_a_few_failures() -> None:
    """Told nothing of failures, TPE was measured to fail in 93 % of these trials; told, in 38 %."""
    done = [trial for seed in range(2) for trial in campaign(make(), CLIFF, rising_to_a_cliff, 20, seed=seed)[6:]]
    assert sum(trial.score is None for trial in done) < 0.45 * len(done)
    assert max(trial.score or 0.0 for trial in done) > 0.62, "and the best is found beside the cliff"


def test_failures_count_and_cancelled_or_lost_trials_do_not() -> None:
    *points, last = *drawn(NUMBERS, 9), {"x": 0.6, "y": 0.05, "k": 8}
    trials = [scored(i, -loss(params), params) for i, params in enumerate(points, 1)]

    def after(tenth: Trial) -> list[dict[str, Any]]:
        return [make().ask(view(NUMBERS, [*trials, tenth], seed=seed), 1)[0].params for seed in range(3)]

    unknown = after(cancelled(10, last))
    assert after(replace(failed(10, last), error_kind="executor")) == unknown
    assert after(replace(failed(10, last), error_kind="oom")) != unknown
    assert after(scored(10, -loss(last), last)) != unknown


def test_nothing_is_proposed_twice_until_a_space_is_used_up() -> None:
    space = Space({"k": IntParam(low=1, high=7, default=2)})
    done = campaign(make(), space, lambda params: params["k"] / 7, 8)
    assert sorted(trial.proposal.params["k"] for trial in done[:7]) == list(range(1, 8))
    assert done[7].proposal.params == {"k": 7}
    assert "every point of the space was tried" in done[7].proposal.rationale


def test_running_trials_are_kept_away_from() -> None:
    trials = [scored(i, -loss(params), params) for i, params in enumerate(drawn(NUMBERS, 10), 1)]
    first = make().ask(view(NUMBERS, trials), 1)[0]
    second = make().ask(view(NUMBERS, trials, [running(11, first.params)]), 1)[0]
    assert second.params != first.params
    assert second.rationale.endswith("on 10 scored, 1 running")


def test_several_at_once_are_what_one_at_a_time_would_be() -> None:
    trials = [scored(i, -loss(params), params) for i, params in enumerate(drawn(NUMBERS, 6), 1)]
    for where in (view(NUMBERS), view(NUMBERS, trials)):
        policy = make(priors=PRIORS)
        together = policy.ask(where, 3)
        pending: tuple[Trial, ...] = ()
        for proposal in together:
            one = make(priors=PRIORS).ask(replace(where, running=pending), 1)[0]
            assert one == proposal
            pending = (*pending, Trial(where.proposed + 1 + len(pending), proposal))


def test_a_loss_is_minimised_as_its_negative_is_maximised() -> None:
    points = drawn(NUMBERS, 9)
    up = [scored(i, -loss(params), params) for i, params in enumerate(points, 1)]
    down = [scored(i, loss(params), params) for i, params in enumerate(points, 1)]
    assert make().ask(view(NUMBERS, up), 1) == make().ask(view(NUMBERS, down, objective=MINIMIZE), 1)


def test_the_prior_arm_comes_back_when_progress_stalls_within_its_share() -> None:
    points = sorted(drawn(NUMBERS, 14), key=loss)
    falling = [by("model", scored(i, -loss(params), params)) for i, params in enumerate(points, 1)]
    rising = [by("model", scored(i, -loss(params), params)) for i, params in enumerate(reversed(points), 1)]
    options = {"priors": PRIORS, "prior_points": 0}

    def asked(trials: list[Trial], **more: Any) -> set[str]:
        where = [view(NUMBERS, trials, seed=seed) for seed in range(6)]
        return {make(**options, **more).ask(each, 1)[0].rationale.split(":")[0] for each in where}

    assert "prior" in asked(falling)
    assert asked(falling, outside_share=0.0) == {"model"}
    assert asked(rising) == {"model"}


def test_a_space_of_categories_is_sampled_by_tpe() -> None:
    choices = CategoricalParam(choices=("a", "b", "c", "d"), default="a")
    space = Space({"one": choices, "two": choices, "three": choices})
    done = campaign(make(), space, lambda params: sum(value == "c" for value in params.values()) / 3, 6)
    assert done[-1].proposal.rationale.startswith("model: TPE on 5 scored")


def test_a_space_without_a_choice_is_no_obstacle() -> None:
    space = Space({"k": IntParam(low=3, high=3, default=3)})
    assert [trial.proposal.params for trial in campaign(make(), space, lambda _: 0.5, 7)] == [{"k": 3}] * 7


@pytest.mark.parametrize(
    ("param", "prior"),
    [
        (CategoricalParam(choices=("a",), default="a"), "a"),
        (IntParam(low=3, high=3, default=3), 3),
        (FloatParam(low=0.5, high=0.5, default=0.5), 0.5),
    ],
)
def test_a_space_of_one_point_with_prior_points_is_no_obstacle(param: Any, prior: Any) -> None:
    for options in ({}, {"priors": [{"p": prior}]}, {"priors": [{"p": prior}], "gp_trials": 2}):
        for score in (0.5, None):
            done = campaign(make(**options), Space({"p": param}), lambda _, score=score: score, 6)
            assert [trial.proposal.params for trial in done] == [{"p": prior}] * 6
            assert score is None or "every point of the space was tried" in done[-1].proposal.rationale


def test_past_gp_trials_tpe_takes_over() -> None:
    trials = [scored(i, -loss(params), params) for i, params in enumerate(drawn(NUMBERS, 9), 1)]
    asked = make(gp_trials=8).ask(view(NUMBERS, [*trials, failed(10, PRIORS[0])]), 1)[0]
    assert asked.rationale == "model: TPE on 9 scored, 1 failed"


def test_trials_outside_the_search_space_are_left_out_and_said() -> None:
    trials = [scored(i, i / 10, params) for i, params in enumerate(drawn(NUMBERS, 6), 1)]
    found = make().ask(view(NUMBERS, [*trials, scored(7, 9.0, {"x": 99.0})]), 1)[0]
    assert found.rationale.endswith("; 1 outside the search space left out")


def test_torch_is_never_imported_and_optuna_only_for_tpe() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from core.plugins import discover; from core.testing.trials import *\n"
        "p = discover().build('policy', {'name': 'hybrid'})\n"
        "campaign(p, SPACES['numbers'], lambda q: q['x'], 7)\n"
        "print([m for m in ('torch', 'optuna', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(("option", "value"), [("startup_trials", 0), ("outside_share", 1.5), ("prior_points", -1)])
def test_settings_that_cannot_work_are_refused(option: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"^policy\.{option}: .*got {value}"):
        make(**{option: value})


def test_it_says_nothing(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    trials = [scored(i, 0.5, params) for i, params in enumerate(drawn(MIXED, 6), 1)]
    found: list[Proposal] = make().ask(view(MIXED, [*trials, failed(7, MIXED.defaults())]), 2)
    assert len(found) == 2
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []

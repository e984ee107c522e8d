"""Random and grid search: the contract, and what makes each itself."""

import time
from typing import Any

import pytest

from core import CategoricalParam, FloatParam, IntParam, Policy, SetupError, Space
from core.errors import UsageError
from core.plugins import discover
from core.testing import PolicyConformance
from core.testing.trials import MIXED, campaign, one_at_a_time, scored, view

SMALL = Space({"x": FloatParam(low=0, high=1, default=0.5), "k": IntParam(low=1, high=2, default=1)})
CHOICES = Space({"mode": CategoricalParam(choices=("a", "b", "c", "d"), default="c")})


class TestRandom(PolicyConformance):
    name = "random"


class TestRandomWithoutRepeats(PolicyConformance):
    name = "random"
    options = {"dedupe": True}  # noqa: RUF012 - as plugin authors write it
    finite = True


class TestGrid(PolicyConformance):
    name = "grid"
    finite = True


def make(name: str, **options: Any) -> Policy:
    return discover().build("policy", {"name": name, **options})


def modes(policy: Policy, trials: int, seed: int = 7) -> list[str]:
    return [trial.proposal.params["mode"] for trial in campaign(policy, CHOICES, lambda _: 0.5, trials, seed=seed)]


@pytest.mark.parametrize("options", [{"name": "random"}, {"name": "random", "dedupe": True}, {"name": "grid"}], ids=str)
def test_several_at_once_are_what_one_at_a_time_would_be(options: dict[str, Any]) -> None:
    policy = make(**options)
    for where in (view(MIXED), view(MIXED, [scored(1, 0.5, MIXED.defaults())])):
        assert policy.ask(where, 4) == one_at_a_time(policy, where, 4)


@pytest.mark.parametrize("name", ["random", "grid"])
def test_the_default_configuration_comes_first_unless_told_not_to(name: str) -> None:
    assert make(name).ask(view(MIXED), 1)[0].params == MIXED.defaults()
    assert make(name, default_first=False).ask(view(MIXED), 1)[0].params != MIXED.defaults()


def test_the_grid_is_visited_once_each_and_then_exhausted() -> None:
    policy = make("grid", points=3)
    done = []
    while proposals := policy.ask(view(SMALL, done), 2):
        done += [scored(len(done) + i, 0.5, p.params) for i, p in enumerate(proposals, 1)]
    points = [(trial.proposal.params["x"], trial.proposal.params["k"]) for trial in done]
    assert sorted(points) == [(0.0, 1), (0.0, 2), (0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]
    assert points[0] == (0.5, 1)


def test_grid_points_are_counted() -> None:
    policy = make("grid", points=3)
    whys = [proposal.rationale for proposal in policy.ask(view(SMALL), 9)]
    assert whys == ["default configuration (grid point 1 of 6)", *(f"grid point {i} of 6" for i in range(2, 7))]
    whys = [proposal.rationale for proposal in make("grid", points=2).ask(view(SMALL), 9)]
    assert whys == ["default configuration", *(f"grid point {i} of 4" for i in range(1, 5))]


def test_points_may_be_given_by_name() -> None:
    policy = make("grid", points={"x": 5, "k": 1}, shuffle=False)
    assert [proposal.params["x"] for proposal in policy.ask(view(SMALL), 9)] == [0.5, 0.0, 0.25, 0.75, 1.0]


def test_points_of_a_parameter_that_does_not_exist_are_an_error_with_a_suggestion() -> None:
    with pytest.raises(SetupError, match=r"policy\.points\.learning_rat: no such parameter\. Did you mean learning_ra"):
        make("grid", points={"learning_rat": 3}).ask(view(MIXED), 1)


@pytest.mark.parametrize("points", [0, -1, True, 2.5, "three", {"x": 0}, {"x": True}, [3]], ids=str)
def test_points_must_be_whole_numbers(points: Any) -> None:
    with pytest.raises(UsageError, match=r"^policy\.points: must be a whole number of at least 1"):
        make("grid", points=points)


def test_a_shuffled_grid_covers_every_value_early() -> None:
    """In order, 27 of 2,187 points would never move the first parameter."""
    space = Space({f"p{i}": FloatParam(low=0, high=1, default=0.5) for i in range(7)})
    tried = [proposal.params for proposal in make("grid", default_first=False).ask(view(space), 27)]
    for name in space:
        assert {params[name] for params in tried} == {0.0, 0.5, 1.0}


def test_the_order_of_a_grid_is_the_seed_s() -> None:
    policy = make("grid", default_first=False)
    orders = {tuple(modes(policy, 4, seed)) for seed in range(6)}
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {("a", "b", "c", "d")}
    assert modes(make("grid", shuffle=False, default_first=False), 4) == ["a", "b", "c", "d"]


def test_a_grid_of_quadrillions_costs_no_more_than_what_is_tried() -> None:
    space = Space({f"p{i}": FloatParam(low=0, high=1, default=0.5) for i in range(15)})
    began = time.process_time()
    found = make("grid", points=10).ask(view(space), 100)
    assert time.process_time() - began < 1.0
    assert found[-1].rationale == "grid point 99 of 1000000000000000"


def test_random_draws_cover_a_logarithmic_range_evenly() -> None:
    space = Space({"lr": FloatParam(low=1e-6, high=1e-2, log=True, default=1e-4)})
    draws = [proposal.params["lr"] for proposal in make("random", default_first=False).ask(view(space), 400)]
    below = sum(draw < 1e-4 for draw in draws)
    assert 160 < below < 240


def test_random_search_repeats_itself_unless_told_not_to() -> None:
    assert len(modes(make("random"), 12)) == 12
    assert sorted(modes(make("random", dedupe=True), 12)) == ["a", "b", "c", "d"]


def test_random_draws_are_counted() -> None:
    whys = [proposal.rationale for proposal in make("random").ask(view(MIXED), 3)]
    assert whys == ["default configuration", "random draw 1", "random draw 2"]
    assert make("random", default_first=False).ask(view(MIXED), 1)[0].rationale == "random draw 1"

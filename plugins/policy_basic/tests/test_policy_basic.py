"""Random and grid search: the contract, and what makes each itself."""

from core import FloatParam, IntParam, Space
from core.plugins import discover
from core.testing import PolicyConformance
from core.testing.trials import scored, view


class TestRandom(PolicyConformance):
    name = "random"


class TestGrid(PolicyConformance):
    name = "grid"
    finite = True


def test_the_grid_is_visited_once_each_and_then_exhausted() -> None:
    space = Space({"x": FloatParam(low=0, high=1, default=0.5), "k": IntParam(low=1, high=2, default=1)})
    policy = discover().build("policy", {"name": "grid", "points": 3})
    done = []
    while proposals := policy.ask(view(space, done), 2):
        done += [scored(len(done) + i, 0.5, p.params) for i, p in enumerate(proposals, 1)]
    assert len(done) == 6
    assert len({str(trial.proposal.params) for trial in done}) == 6
    assert done[0].proposal.params == {"x": 0.5, "k": 1}


def test_random_draws_cover_a_logarithmic_range_evenly() -> None:
    space = Space({"lr": FloatParam(low=1e-6, high=1e-2, log=True, default=1e-4)})
    policy = discover().build("policy", {"name": "random", "default_first": False})
    draws = [proposal.params["lr"] for proposal in policy.ask(view(space), 400)]
    below = sum(draw < 1e-4 for draw in draws)
    assert 160 < below < 240

"""Campaigns: what the benchmark and the A/A test play, the same every time."""

import random

from core.contracts import DecisionRule
from core.decision.campaign import Repeated, play
from core.plugins import discover


def runs() -> list[list[float]]:
    rng = random.Random(1)
    return [
        [float(rng.random() < 0.3 + shift) for _ in range(120)] for shift in (rng.gauss(0, 0.04) for _ in range(20))
    ]


def rule(name: str) -> DecisionRule:
    found: DecisionRule = discover().build("decision", {"name": name})
    return found


def test_the_same_runs_give_the_same_campaign() -> None:
    one, two = (play(rule("climb"), Repeated(3, runs()), 12, 3) for _ in range(2))
    assert one == two


def test_certification_is_paid_from_the_trials() -> None:
    played = play(rule("greedy"), Repeated(3, runs()), 12, 3)
    assert played.trials == 12
    assert played.certificate is None or played.certificate.seeds == 3


def test_among_equal_configurations_greedy_claims_what_climb_with_certification_does_not() -> None:
    table = runs()
    greedy = [play(rule("greedy"), Repeated(seed, table), 20, 0).claim for seed in range(20)]
    climb = [play(rule("climb"), Repeated(seed, table), 20, 3) for seed in range(20)]
    assert sum(greedy) / 20 > 0.05
    assert abs(sum(one.claim for one in climb) / 20) < 0.03
    assert sum(bool(one.certificate and one.certificate.confirmed) for one in climb) <= 4

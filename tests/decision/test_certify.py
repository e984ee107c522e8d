"""Certification: it keeps its level where seeds vary, and confirms what is there."""

import random

import pytest

from core.contracts import Objective, RunNoise
from core.decision.certify import certify
from core.decision.power import items_for, power, seeds_for, visible

UP, DOWN = Objective("accuracy"), Objective("loss", "minimize")
NOISE = RunNoise(0.04**2, 4.0, 0, 0.04)


def scores(chance: float, seed: int, n: int = 200) -> dict[str, float]:
    rng = random.Random(seed)
    return {str(i): float(rng.random() < chance) for i in range(n)}


def test_a_large_gain_is_confirmed_with_seeds_items_and_interval() -> None:
    found = certify(7, [scores(0.6, seed) for seed in (1, 2, 3)], scores(0.3, 0), UP, NOISE)
    assert found.confirmed
    assert (found.trial, found.seeds, found.items) == (7, 3, 200)
    assert found.low is not None and found.gain is not None and found.high is not None
    assert 0 < found.low < found.gain < found.high
    assert "3 fresh seeds" in found.reason


def test_a_loss_is_never_confirmed_and_a_smaller_loss_is_a_gain() -> None:
    runs, baseline = [scores(0.3, seed) for seed in (1, 2, 3)], scores(0.6, 0)
    assert not certify(1, runs, baseline, UP, NOISE).confirmed
    assert certify(1, runs, baseline, DOWN, NOISE).confirmed


def test_one_lucky_seed_of_three_confirms_nothing() -> None:
    """What identical runs with a coin for a reward did: two seeds at the baseline, one far above it."""

    def right(count: int) -> dict[str, float]:
        return {str(i): float(i < count) for i in range(200)}

    noise = RunNoise(0.07**2, 14.0, 10, 0.07)
    found = certify(1, [right(9), right(9), right(80)], right(10), UP, noise)
    assert found.low is not None and found.low > 0, "the interval alone would have it"
    assert not found.confirmed
    assert "only 1 of the 3 runs are better than it, so one lucky seed may be all there is" in found.reason
    assert certify(1, [right(25), right(9), right(80)], right(10), UP, noise).confirmed


def test_more_items_do_not_make_up_for_seeds_that_disagree() -> None:
    """Where a paired test on items alone is sure, the seeds' variance is not."""
    runs = [scores(chance, seed, 5000) for seed, chance in enumerate((0.42, 0.30, 0.37), 1)]
    found = certify(1, runs, scores(0.33, 0, 5000), UP, NOISE)
    assert found.gain == pytest.approx(0.033, abs=0.02)
    assert not found.confirmed


@pytest.mark.parametrize("sd", [0.015, 0.04])
def test_at_most_one_in_twenty_equal_configurations_is_confirmed(sd: float) -> None:
    rng, confirmed, campaigns = random.Random(5), 0, 300
    for seed in range(campaigns):
        hard = [rng.gauss(0, 1) for _ in range(100)]
        chances = [[0.5 + 0.1 * h + rng.gauss(0, 0)] for h in hard]

        def run(shift: float, chances: list[list[float]] = chances) -> dict[str, float]:
            return {str(i): float(rng.random() < p + shift) for i, (p,) in enumerate(chances)}

        runs = [run(rng.gauss(0, sd)) for _ in range(3)]
        confirmed += certify(seed, runs, run(0.0), UP, NOISE).confirmed
    assert confirmed / campaigns < 0.08


@pytest.mark.parametrize("runs", [[], [scores(0.5, 1)], [scores(0.5, 1), scores(0.5, 2, 100)]])
def test_one_run_or_other_items_are_no_basis(runs: list[dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="two runs and the same items"):
        certify(1, runs, scores(0.5, 0), UP, NOISE)


def test_power_grows_with_seeds_and_items_and_what_is_asked_for_is_enough() -> None:
    assert power(0.05, 0.0016, 0.2, 3, 200) < power(0.05, 0.0016, 0.2, 10, 200) < power(0.05, 0.0016, 0.2, 10, 2000)
    seeds, items = seeds_for(0.1, 0.0016, 0.2, 400), items_for(0.1, 0.0016, 0.2, 3)
    assert seeds is not None and power(0.1, 0.0016, 0.2, seeds, 400) >= 0.8
    assert items is not None and power(0.1, 0.0016, 0.2, 3, items) >= 0.8
    assert power(visible(0.0016, 0.2, 3, 200), 0.0016, 0.2, 3, 200) == pytest.approx(0.8)


def test_a_gain_that_seeds_hide_no_number_of_items_shows() -> None:
    assert items_for(0.01, 0.0016, 0.2, 3) is None
    assert seeds_for(0.01, 0.0016, 0.2, 50) is None

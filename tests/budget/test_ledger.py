"""The ledger: reserved counts as spent, and no limit is ever passed."""

import re

import pytest

from core.budget.ledger import Cost, Ledger, Price, total
from core.journal.facts import Limits

NOTHING = Cost()


def ledger(
    limits: Limits, spent: Cost = NOTHING, reserved: Cost = NOTHING, trials: int = 0, elapsed: float = 0
) -> Ledger:
    return Ledger(limits, spent, reserved, trials, elapsed)


def test_a_price_is_time_times_rate() -> None:
    cost = Price(usd_per_hour=3.6, gpus=2).of(1800)
    assert (cost.seconds, cost.usd, cost.gpu_hours) == (1800, pytest.approx(1.8), pytest.approx(1.0))


def test_reserved_money_is_as_good_as_spent() -> None:
    left = ledger(Limits(usd=10), Cost(usd=4), Cost(usd=5)).left()
    assert left.usd == pytest.approx(1)
    assert ledger(Limits(usd=10), Cost(usd=4), Cost(usd=5)).refusal(Cost(usd=1.01), 0) is not None
    assert ledger(Limits(usd=10), Cost(usd=4), Cost(usd=5)).refusal(Cost(usd=1.0), 0) is None


def test_no_limit_means_no_refusal() -> None:
    assert ledger(Limits(), Cost(1e9, 1e9, 1e9), trials=10**6, elapsed=1e9).refusal(Cost(1, 1, 1), 1e6) is None


@pytest.mark.parametrize(
    ("limits", "used", "words"),
    [
        (Limits(trials=3), {"trials": 3}, "all 3 trials"),
        (Limits(wall_clock_s=3600), {"elapsed": 3500}, "does not fit in the 1 h"),
        (Limits(usd=2), {"spent": Cost(usd=1.5)}, r"could cost \$1.00, \$0.50 of \$2.00"),
        (Limits(gpu_hours=1), {"spent": Cost(gpu_hours=0.9)}, "0.50 GPU-hours, 0.10 of 1"),
    ],
)
def test_each_limit_refuses_with_its_figures(limits: Limits, used: dict, words: str) -> None:
    refusal = ledger(limits, **used).refusal(Cost(100, 1.0, 0.5), expected_s=200)
    assert refusal is not None
    assert re.search(words, refusal), refusal


def test_costs_add_up() -> None:
    assert total([Cost(1, 2, 3), Cost(10, 20, 30)]) == Cost(11, 22, 33)

"""The plan: the worst case is said before anything is spent, and it is the worst case."""

import pytest

from core.budget.ledger import Price
from core.budget.plan import Times, make_plan, sentence
from core.journal.facts import Limits

HOUR = Times(prepare_s=0.0, train_s=3600.0, evaluate_s=360.0, grace_s=0.0)


@pytest.mark.parametrize(
    ("limits", "price", "said"),
    [
        (Limits(trials=15, usd=20.0), Price(1.0, 1), "up to 15 trials, at most $16.80 of $20.00, on A100 at $1.00"),
        (Limits(trials=15, usd=10.0), Price(1.0, 1), "up to 15 trials (8 if each takes all its time), at most $10.00"),
        (Limits(usd=10.0), Price(1.0, 1), "trials until the budget is used (8 if each takes all its time)"),
        (Limits(trials=2), Price(1.0, 1), "up to 2 trials, at most $2.50 (no limit in US dollars is set)"),
        (Limits(trials=12), Price(), "up to 12 trials, on A100, which costs nothing"),
        (Limits(trials=12, wall_clock_s=28800.0), Price(), "up to 12 trials, for 8 h at most, on A100"),
        (Limits(trials=3, gpu_hours=10.0), Price(0.0, 1), "up to 3 trials, at most 3.6 of 10 GPU-hours"),
        (Limits(trials=3, usd=0.1), Price(1.0, 1), "up to 3 trials (0 if each takes all its time)"),
    ],
)  # fmt: skip
def test_the_plan_says_how_many_trials_and_how_much_at_most(limits: Limits, price: Price, said: str) -> None:
    assert sentence(make_plan(limits, price, HOUR, "A100")).startswith(said)


def test_the_worst_case_counts_grace_times_preparation_and_the_final_test() -> None:
    times = Times(prepare_s=100.0, train_s=1000.0, evaluate_s=10.0, grace_s=1.0)
    plan = make_plan(Limits(trials=2, usd=10.0), Price(3.6, 2), times, "A100")
    assert plan.most is not None
    assert plan.most.usd == pytest.approx((101 + 3 * 11 + 2 * (1001 + 11)) / 1000)
    assert plan.most.gpu_hours == pytest.approx((101 + 3 * 11 + 2 * (1001 + 11)) * 2 / 3600)

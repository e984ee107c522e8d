"""Evaluations: every score has its n and an interval, and what cannot count says why."""

import math

import pytest

from core.contracts import Evaluation, ItemScore
from core.contracts.evaluation import wilson


def items(*scores: float) -> list[ItemScore]:
    return [ItemScore(str(i), score) for i, score in enumerate(scores)]


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 50), (3, 50), (25, 50), (50, 50), (160, 1000)])
def test_our_wilson_interval_is_scipys(hits: int, n: int) -> None:
    from scipy import stats

    reference = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_a_mean_of_zeros_and_ones_gets_a_wilson_interval() -> None:
    evaluation = Evaluation.from_items("test", "accuracy", items(*[1.0] * 30, *[0.0] * 70))
    assert (evaluation.value, evaluation.n, evaluation.interval) == (0.3, 100, "wilson")
    assert evaluation.low < 0.3 < evaluation.high
    assert evaluation.problem() is None


def test_other_scores_get_a_bootstrap_interval_that_is_the_same_every_time() -> None:
    scores = [math.sin(i) for i in range(40)]
    one, two = (Evaluation.from_items("validation", "score", items(*scores)) for _ in range(2))
    assert one == two
    assert one.interval == "bootstrap"
    assert one.low < one.value < one.high


def test_no_items_is_an_error_not_a_score() -> None:
    with pytest.raises(ValueError, match="no items"):
        Evaluation.from_items("test", "accuracy", [])


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        (Evaluation.from_items("test", "a", items(1.0, math.nan)), "is nan"),
        (Evaluation("test", "a", math.inf, 5, 0, 1), "is inf"),
        (Evaluation("test", "a", 0.5, 0, 0, 1), "no items"),
        (Evaluation("test", "a", 0.5, 3, 0.6, 0.7), "outside its own interval"),
        (Evaluation("test", "a", 0.5, 3, 0.4, 0.7, items=tuple(items(1.0))), "carries 1"),
        (Evaluation("test", "a", 1.0, 2, 0.4, 1, items=(ItemScore("x", 1.0), ItemScore("x", 1.0))), "twice"),
    ],
)
def test_what_cannot_count_says_why(evaluation: Evaluation, words: str) -> None:
    problem = evaluation.problem()
    assert problem is not None
    assert words in problem

"""The verdict: it claims what the test split shows and no more."""

from pathlib import Path

import pytest

from core.contracts import Evaluation, Objective
from core.report.verdict import difference, judge
from factories import evaluation, facts, failed, finished, trial

HERE = Path("/nowhere")


def test_newcombes_interval_is_that_of_his_own_example() -> None:
    # Newcombe 1998, table II, contrast (a): 56/70 − 48/80, method 10: 0.0524 to 0.3339
    found = difference(evaluation("test", 56, 70), evaluation("test", 48, 80), Objective("accuracy"))
    assert found.gain == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_for_a_loss_smaller_is_a_gain_and_the_interval_is_turned_round() -> None:
    ours, theirs = (Evaluation("test", "loss", value, 100, value - 0.1, value + 0.2) for value in (1.0, 2.0))
    found = difference(ours, theirs, Objective("loss", "minimize"))
    assert found.gain == pytest.approx(1.0)
    assert found.low == pytest.approx(1.0 - (0.2**2 + 0.1**2) ** 0.5)
    assert found.high == pytest.approx(1.0 + (0.1**2 + 0.2**2) ** 0.5)


def test_a_gain_beyond_its_interval_is_said_with_n_and_its_caveat() -> None:
    verdict = judge(finished(HERE))
    assert verdict.good
    assert "from 0.160 to 0.430: a gain of +0.270" in verdict.sentence
    assert "n=1000" in verdict.sentence
    assert "not confirmed" in verdict.caveats[0]


def test_a_gain_within_its_interval_is_called_none() -> None:
    base, best = (trial(n, 80, "keep", test=evaluation("test", right, 1000)) for n, right in ((0, 160), (1, 180)))
    verdict = judge(facts(HERE, base, best, incumbent=1))
    assert not verdict.good
    assert verdict.sentence.startswith("No gain is shown")


def test_before_the_test_split_is_opened_only_validation_is_spoken_of() -> None:
    verdict = judge(facts(HERE, trial(0, 80), trial(1, 200, "keep"), incumbent=1, state="interrupted"))
    assert "leads" in verdict.sentence
    assert "on validation" in verdict.sentence
    assert "expect less" in verdict.caveats[0]


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ((), "has not been evaluated yet"),
        ((trial(0, 80), failed(1)), "No trial completed"),
        ((trial(0, 80), trial(1, 60)), "None of 1 completed trial beat the starting model"),
    ],
)
def test_other_ends_are_said_plainly(trials: tuple, words: str) -> None:
    assert words in judge(facts(HERE, *trials)).sentence

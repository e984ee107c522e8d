"""The verdict: only what fresh seeds confirmed is called an improvement."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.contracts import Certificate, Decision, Estimate, Evaluation, Objective
from core.report.verdict import difference, judge
from factories import confirmed, evaluation, facts, failed, finished, trial

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


CERTIFICATE = Certificate(11, True, "+0.261 over the baseline", 0.261, 0.2, 0.322, 3, 200, 0.03, 6.0)


def test_however_large_a_gain_of_one_run_on_test_is_it_is_no_improvement() -> None:
    verdict = judge(finished(HERE))
    assert not verdict.good
    assert "improve" not in verdict.sentence
    assert verdict.sentence.startswith("Trial 11 leads")
    assert "not confirmed" in verdict.caveats[0]
    assert any("+0.270" in caveat and "n=1000" in caveat and "one training run" in caveat for caveat in verdict.caveats)


def test_a_confirmed_gain_is_an_improvement_with_its_seeds_and_items() -> None:
    verdict = judge(confirmed(HERE, CERTIFICATE))
    assert verdict.good
    assert "improves accuracy by 0.261" in verdict.sentence
    assert "3 fresh training seeds on 200 validation items" in verdict.sentence


def test_a_failed_certification_is_called_that_with_its_interval() -> None:
    refused = replace(CERTIFICATE, confirmed=False, gain=0.01, low=-0.02, reason="+0.010 over the baseline")
    verdict = judge(confirmed(HERE, refused))
    assert not verdict.good
    assert "leads, unconfirmed" in verdict.sentence
    assert "no improvement is shown: +0.010 over the baseline" in verdict.caveats[0]


def test_the_reason_why_there_was_no_certification_is_said() -> None:
    verdict = judge(finished(HERE, certification="the budget of 4 trials is too small"))
    assert "not confirmed (the budget of 4 trials is too small)" in verdict.caveats[0]


def test_a_second_opening_of_the_test_split_is_said_for_ever() -> None:
    assert any("opened 2 times" in caveat for caveat in judge(finished(HERE, test_openings=2)).caveats)


def test_the_shrunken_estimate_the_chance_and_the_seeds_noise_stand_beside_the_score() -> None:
    believed = Estimate(1, 0.35, 0.31, 0.39, 0.19, 0.15, 0.23, 0.97)
    best = trial(1, 200)
    best = replace(best, decision=Decision("keep", "leads", leader=1, estimate=believed))
    said = " ".join(judge(facts(HERE, trial(0, 80), best, incumbent=1)).caveats)
    for words in (
        "Believed score 0.350",
        "truly beats the starting model: 97 %",
        "between seeds",
        "no configuration was",
    ):
        assert words in said


def test_before_the_test_split_is_opened_only_validation_is_spoken_of() -> None:
    verdict = judge(facts(HERE, trial(0, 80), trial(1, 200, "keep"), incumbent=1, state="interrupted"))
    assert "leads" in verdict.sentence
    assert "on validation" in verdict.sentence
    assert "expect less" in verdict.caveats[0]
    assert "test split is opened when the study finishes" in verdict.caveats[-1]


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

"""Greedy and margin: the contract, and what makes each itself."""

from dataclasses import replace

import pytest

from core import Decision, Evaluation, ItemScore, Proposal, Trial
from core.errors import UsageError
from core.plugins import discover
from core.testing import DecisionConformance
from core.testing.trials import MAXIMIZE, MINIMIZE, scored

BOTH = pytest.mark.parametrize("rule", ["greedy", "margin"])


class TestGreedy(DecisionConformance):
    name = "greedy"


class TestMargin(DecisionConformance):
    name = "margin"


class TestClimb(DecisionConformance):
    name = "climb"


class TestPaired(DecisionConformance):
    name = "paired"


class TestRepeat(DecisionConformance):
    name = "repeat"


def judge(rule: str, candidate: Trial, incumbent: Trial, objective=MAXIMIZE, **options: float) -> Decision:
    return discover().build("decision", {"name": rule, **options}).decide(candidate, incumbent, [], objective)


def decide(rule: str, ours: list[float], theirs: list[float], objective=MAXIMIZE, **options: float) -> Decision:
    return judge(rule, scored(1, 0, items=ours), scored(0, 0, items=theirs), objective, **options)


def renamed(trial: Trial) -> Trial:
    items = tuple(ItemScore(f"other-{item.id}", item.score) for item in trial.evaluation.items)
    return replace(trial, evaluation=replace(trial.evaluation, items=items))


def summary(number: int, value: float, low: float, high: float, items: tuple[ItemScore, ...] = ()) -> Trial:
    evaluation = Evaluation("validation", "f1", value, 100, low, high, "bootstrap", items)
    return Trial(number, Proposal(), "completed", evaluation)


def test_greedy_keeps_one_more_right_item_and_margin_does_not() -> None:
    theirs = [1.0] * 50 + [0.0] * 50
    ours = [1.0] * 51 + [0.0] * 49
    assert decide("greedy", ours, theirs).verdict == "keep"
    assert decide("margin", ours, theirs, z=2.0).verdict == "discard"


@BOTH
def test_the_standard_error_is_the_paired_one(rule: str) -> None:
    theirs = [1.0, 0.0] * 50
    ours = [1.0] * 20 + theirs[20:]
    evidence = decide(rule, ours, theirs).evidence
    # 10 of 100 items changed from wrong to right: mean .1, sd of the differences .3015
    assert evidence["gain"] == pytest.approx(0.1)
    assert evidence["standard_error"] == pytest.approx(0.03015, abs=1e-4)
    assert evidence["items"] == "paired"
    assert evidence["n"] == 100


@BOTH
def test_items_are_paired_by_id_not_by_position(rule: str) -> None:
    incumbent = scored(0, 0, items=[1.0] * 50 + [0.0] * 50)
    backwards = replace(incumbent.evaluation, items=incumbent.evaluation.items[::-1])
    found = judge(rule, replace(incumbent, number=1, evaluation=backwards), incumbent)
    assert found.evidence["items"] == "paired"
    assert found.evidence["standard_error"] == 0.0


@BOTH
def test_other_items_are_compared_unpaired_which_the_evidence_says(rule: str) -> None:
    ours, theirs = scored(1, 0, items=[1.0] * 60 + [0.0] * 40), scored(0, 0, items=[1.0] * 50 + [0.0] * 50)
    found = judge(rule, renamed(ours), theirs)
    # sqrt(.6*.4/99 + .5*.5/99)
    assert found.evidence["standard_error"] == pytest.approx(0.07036, abs=1e-4)
    assert found.evidence["items"] == "unpaired"
    assert "different items" in found.reason


@BOTH
def test_without_item_scores_the_intervals_stand_in(rule: str) -> None:
    found = judge(rule, summary(1, 0.9, 0.8608, 0.9392), summary(0, 0.1, 0.0608, 0.1392))
    assert found.evidence["standard_error"] == pytest.approx(0.02 * 2**0.5, rel=1e-3)
    assert found.evidence["items"] == "missing"
    assert found.verdict == "keep"


@BOTH
def test_item_scores_that_do_not_make_up_the_score_are_not_used(rule: str) -> None:
    """A corpus F1 is not the mean of its items, whose spread is then not the score's."""
    items = tuple(ItemScore(str(i), 1.0) for i in range(100))
    found = judge(rule, summary(1, 0.7, 0.6, 0.8, items), summary(0, 0.5, 0.4, 0.6, items))
    assert found.evidence["items"] == "missing"
    assert found.evidence["standard_error"] > 0.05


def test_margin_keeps_nothing_whose_error_nobody_knows() -> None:
    found = decide("margin", [1.0], [0.0])
    assert found.verdict == "discard"
    assert found.evidence["standard_error"] is None
    assert decide("greedy", [1.0], [0.0]).verdict == "keep"
    assert decide("margin", [1.0], [0.0], z=0.0).verdict == "keep"


def test_min_gain_is_asked_for_beside_the_standard_errors() -> None:
    theirs, ours = [0.0] * 400 + [1.0] * 100, [0.0] * 380 + [1.0] * 120
    assert decide("margin", ours, theirs, z=1.0).verdict == "keep"
    assert decide("margin", ours, theirs, z=1.0, min_gain=0.05).verdict == "discard"


@pytest.mark.parametrize("option", ["z", "min_gain"])
def test_negative_margins_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match=f"decision.{option}: "):
        discover().build("decision", {"name": "margin", option: -1.0})


@BOTH
def test_the_reason_is_a_sentence_with_figures(rule: str) -> None:
    theirs = [1.0] * 80 + [0.0] * 420
    ours = [1.0] * 206 + [0.0] * 294
    assert decide(rule, ours, theirs).reason.startswith("0.412 > 0.160 by 0.252 ± 0.019 (n=500, same items)")
    assert decide(rule, theirs, ours).reason.startswith("0.160 < 0.412 by 0.252 ± 0.019 (n=500, same items)")
    assert decide(rule, ours, ours).reason.startswith("0.412 = 0.412 by 0.000 ± 0.000 (n=500, same items)")
    lower = decide(rule, theirs, ours, MINIMIZE)
    assert lower.verdict == "keep"
    assert lower.reason.startswith("0.160 < 0.412 by 0.252 ± 0.019 (n=500, same items; lower is better)")


@BOTH
def test_small_differences_are_written_with_enough_digits(rule: str) -> None:
    theirs = [2.0 + i * 1e-6 for i in range(100)]
    ours = [score - 1e-4 - (i % 2) * 1e-5 for i, score in enumerate(theirs)]
    assert decide(rule, ours, theirs, MINIMIZE).reason.startswith("1.99994450 < 2.00004950 by 0.00010500 ± 0.00000050 ")


@BOTH
def test_nothing_is_ever_called_confirmed(rule: str) -> None:
    """Only fresh training seeds confirm; a single score never does."""
    for ours, theirs in (([1.0] * 500, [0.0] * 500), ([0.0] * 500, [1.0] * 500)):
        found = decide(rule, ours, theirs)
        assert "confirm" not in f"{found.reason} {found.evidence}".lower()

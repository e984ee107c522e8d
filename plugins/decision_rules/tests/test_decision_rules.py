"""Greedy and margin: the contract, and what makes each itself."""

import pytest

from core.plugins import discover
from core.testing import DecisionConformance
from core.testing.trials import MAXIMIZE, scored


class TestGreedy(DecisionConformance):
    name = "greedy"


class TestMargin(DecisionConformance):
    name = "margin"


def decide(rule: str, ours: list[float], theirs: list[float], **options: float):
    built = discover().build("decision", {"name": rule, **options})
    return built.decide(scored(1, 0, items=ours), scored(0, 0, items=theirs), [], MAXIMIZE)


def test_greedy_keeps_one_more_right_item_and_margin_does_not() -> None:
    theirs = [1.0] * 50 + [0.0] * 50
    ours = [1.0] * 51 + [0.0] * 49
    assert decide("greedy", ours, theirs).verdict == "keep"
    assert decide("margin", ours, theirs, z=2.0).verdict == "discard"


def test_the_standard_error_is_the_paired_one() -> None:
    theirs = [1.0, 0.0] * 50
    ours = [1.0] * 20 + theirs[20:]
    evidence = decide("margin", ours, theirs).evidence
    # 10 of 100 items changed from wrong to right: mean .1, sd of the differences .3015
    assert evidence["gain"] == pytest.approx(0.1)
    assert evidence["standard_error"] == pytest.approx(0.03015, abs=1e-4)
    assert evidence["items"] == "paired"


def test_min_gain_is_asked_for_beside_the_standard_errors() -> None:
    theirs, ours = [0.0] * 400 + [1.0] * 100, [0.0] * 380 + [1.0] * 120
    assert decide("margin", ours, theirs, z=1.0).verdict == "keep"
    assert decide("margin", ours, theirs, z=1.0, min_gain=0.05).verdict == "discard"

"""Paired and repeat: what each asks for before it keeps."""

from dataclasses import replace

import pytest
from scipy import stats

from core import Proposal, Trial
from core.plugins import discover
from core.testing.trials import MAXIMIZE, MINIMIZE, scored


def rule(name: str, **options: float):
    return discover().build("decision", {"name": name, **options})


def test_paired_is_mcnemars_exact_test() -> None:
    theirs = [1.0] * 50 + [0.0] * 50
    ours = [0.0] * 5 + [1.0] * 60 + [0.0] * 35  # 5 lost, 15 won
    found = rule("paired").decide(scored(1, 0, items=ours), scored(0, 0, items=theirs), [], MAXIMIZE)
    assert found.evidence["p"] == pytest.approx(stats.binomtest(15, 20, alternative="greater").pvalue)
    assert found.verdict == "keep"
    assert rule("paired", level=0.01).decide(
        scored(1, 0, items=ours), scored(0, 0, items=theirs), [], MAXIMIZE
    ).verdict == "discard"  # fmt: skip
    assert found.evidence["would_change"] == "15 of 20 differing items won"


def test_paired_bootstraps_scores_that_are_not_right_or_wrong() -> None:
    theirs = [2.0 + 0.1 * (i % 5) for i in range(60)]
    ours = [score - 0.05 - 0.01 * (i % 3) for i, score in enumerate(theirs)]
    found = rule("paired").decide(scored(1, 0, items=ours), scored(0, 0, items=theirs), [], MINIMIZE)
    assert found.verdict == "keep"
    assert found.evidence["test"] == "paired bootstrap"
    assert found.evidence["low"] > 0


def repeat(first: float, second: float, incumbent: Trial) -> list[str]:
    one = scored(1, first, {"x": 1.0})
    judge = rule("repeat")
    found = judge.decide(one, incumbent, [incumbent], MAXIMIZE)
    two = replace(scored(2, second), proposal=Proposal({"x": 1.0}, parent=1, retest=True))
    return [found.verdict, judge.decide(two, incumbent, [incumbent, replace(one, decision=found)], MAXIMIZE).verdict]


def test_repeat_keeps_what_beats_the_incumbent_over_two_seeds() -> None:
    assert repeat(0.4, 0.35, scored(0, 0.3)) == ["retest", "keep"]
    assert repeat(0.4, 0.15, scored(0, 0.3)) == ["retest", "discard"]
    assert rule("repeat").decide(scored(1, 0.2), scored(0, 0.3), [], MAXIMIZE).verdict == "discard"

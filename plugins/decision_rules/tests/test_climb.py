"""Climb: the belief is the exact posterior, and a lucky score leads no longer than its children allow."""

from dataclasses import replace

import numpy as np
import pytest

from core import Decision, Proposal, Trial
from core.plugins import discover
from core.testing.trials import MAXIMIZE, failed, scored
from overnight_decision_rules.belief import Node, posterior
from overnight_decision_rules.tree import Model, grow


def rule(**options: float):
    return discover().build("decision", {"name": "climb", **options})


def trial(number: int, value: float, params: dict[str, float], parent: int | None = None) -> Trial:
    return replace(scored(number, value, params), proposal=Proposal(params, parent=parent))


def study(scores: list[tuple[float, int | None]], **options: float) -> list[Decision]:
    """The decisions of a study in which each trial has a score and a parent."""
    judge, history, incumbent = rule(**options), [scored(0, 0.3)], scored(0, 0.3)
    trials, decisions = {0: incumbent}, []
    for number, (value, parent) in enumerate(scores, 1):
        candidate = trials[number] = trial(number, value, {"x": float(number)}, parent)
        decisions.append(judge.decide(candidate, incumbent, history, MAXIMIZE))
        history.append(replace(candidate, decision=decisions[-1]))
        incumbent = trials[decisions[-1].leader]
    return decisions


def test_the_posterior_is_that_of_the_dense_gaussian() -> None:
    nodes = [
        Node(-1, variance=0.5, scores=[1.0]), Node(0, 0.0, 9.0), Node(1, 0.0, 2.0, 1.5, [3.0, 2.0]),
        Node(2, -0.3, 1.0, 1.5, [4.0]), Node(2, -0.3, 1.0, 1.5, []), Node(4, -0.3, 1.0, 1.5, [1.0]),
    ]  # fmt: skip
    n = len(nodes)
    precision, pull = np.zeros((n, n)), np.zeros(n)
    for i, node in enumerate(nodes):
        precision[i, i] += len(node.scores) / node.variance
        pull[i] += sum(node.scores) / node.variance
        if node.parent >= 0:
            p, w = node.parent, 1 / node.spread
            precision[i, i] += w
            precision[p, p] += w
            precision[i, p] -= w
            precision[p, i] -= w
            pull[i] += w * node.effect
            pull[p] -= w * node.effect
    covariance = np.linalg.inv(precision)
    found = posterior(nodes)
    assert found.mean == pytest.approx(list(covariance @ pull))
    assert found.variance == pytest.approx(list(np.diag(covariance)))
    assert found.with_root == pytest.approx(list(covariance[:, 0]))


def test_the_leaders_estimate_is_shrunken_and_has_a_chance() -> None:
    (first,) = study([(0.42, 0)])
    assert first.leader == 1
    assert first.estimate is not None
    assert 0.3 < first.estimate.score < 0.42
    assert 0.5 < first.estimate.chance < 1.0
    assert first.estimate.low < first.estimate.score < first.estimate.high


def test_a_lucky_score_is_undone_by_its_children() -> None:
    decisions = study([(0.36, 0), (0.45, 1), *[(0.31, 2)] * 6], repeats=0)
    assert decisions[1].leader == 2
    assert decisions[-1].leader == 1
    assert 1 in decisions[-2].contenders


def test_the_first_configuration_is_repeated_to_learn_the_noise_and_no_other() -> None:
    decisions = study([(0.36, 0), (0.46, 1)], repeats=1)
    assert [one.verdict for one in decisions] == ["retest", "keep"]
    assert decisions[0].leader == 1


def test_repeats_are_evidence_on_one_configuration_and_give_the_noise() -> None:
    same = [trial(n, value, {"x": 1.0}) for n, value in ((1, 0.30), (2, 0.40), (3, 0.35))]
    tree = grow(scored(0, 0.3), same, MAXIMIZE, Model())
    assert len(tree.nodes) == 3
    assert tree.noise.repeats == 2
    # (4 × (.04² + .4 se²) + .005) / 6
    assert tree.noise.variance == pytest.approx((4 * (0.0016 + 0.4 * (0.1 / 3.92) ** 2) + 0.005) / 6, rel=1e-4)


def test_a_crash_of_a_score_tells_nothing_of_its_parent() -> None:
    with_crash = study([(0.40, 0), (0.41, 1), (0.02, 1)], repeats=0)[-1]
    without = study([(0.40, 0), (0.41, 1)], repeats=0)[-1]
    assert with_crash.evidence["outlier"] is True
    assert with_crash.verdict == "discard"
    assert with_crash.estimate == without.estimate


def test_failed_trials_are_no_scores() -> None:
    candidate, baseline = trial(2, 0.4, {"x": 1.0}), scored(0, 0.3)
    alone = rule().decide(candidate, baseline, [baseline], MAXIMIZE)
    assert rule().decide(candidate, baseline, [baseline, failed(1)], MAXIMIZE) == alone


def test_it_returns_only_to_trials_whose_checkpoint_was_kept() -> None:
    decisions = study([(0.30 + 0.01 * (n % 7), max(0, n - 3)) for n in range(30)], contenders=2)
    allowed = {0}
    for number, decision in enumerate(decisions, 1):
        assert decision.leader in allowed | {0, number}
        allowed = {*decision.contenders, decision.leader}
        assert len(decision.contenders) <= 2

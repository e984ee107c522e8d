"""The tree of a study's configurations, read off its trials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core import BASELINE, Evaluation, Objective, RunNoise, Trial, same_configuration
from overnight_decision_rules.belief import Node

_HALF = 2 * 1.959963984540054


@dataclass(frozen=True)
class Model:
    """What the belief assumes. effect: mean of what a child adds to its parent, as a share of the prior's
    seed standard deviation. spread: its standard deviation, likewise, where the data do not say
    otherwise; weight: how many observed effects the prior counts for. outlier: a run so many predictive
    standard deviations below its parent is a failure and tells nothing of its family."""

    effect: float = -0.1
    spread: float = 0.75
    weight: float = 4.0
    outlier: float = 3.5


@dataclass(frozen=True)
class Tree:
    """nodes: the baseline, then the common mean of configurations without a parent, then one per
    configuration. place: trial number → its node, for the trials that count. noise: of one run."""

    nodes: list[Node]
    place: dict[int, int]
    noise: RunNoise


def grow(baseline: Trial, trials: Sequence[Trial], objective: Objective, model: Model) -> Tree:
    """The tree of the completed trials, in the order given. Larger is better in it."""
    assert baseline.evaluation is not None
    noise = RunNoise.of(trials, baseline.evaluation)
    sign = 1.0 if objective.direction == "maximize" else -1.0
    usual = model.spread * noise.prior_sd
    root = Node(-1, variance=max(_within(baseline.evaluation), 1e-12), scores=[sign * baseline.evaluation.value])
    nodes = [root, Node(0, 0.0, (10 * noise.prior_sd) ** 2)]
    place: dict[int, int] = {BASELINE: 0}
    known: dict[str, int] = {}
    for trial in trials:
        if trial.number == BASELINE or trial.score is None:
            continue
        score, key = sign * trial.score, same_configuration(trial)
        at = known.get(key)
        parent = _parent(trial, place) if at is None else nodes[at].parent
        if _outlier(score, nodes[parent], noise.variance, usual**2, model.outlier):
            continue
        if at is None:
            named = parent > 1
            nodes.append(Node(parent, model.effect * noise.prior_sd if named else 0.0, 0.0, noise.variance))
            at = known[key] = len(nodes) - 1
        nodes[at].scores.append(score)
        place[trial.number] = at
    _spreads(nodes, noise.variance, usual**2, model.weight)
    return Tree(nodes, place, noise)


def _parent(trial: Trial, place: dict[int, int]) -> int:
    """The node of the trial that it varies; the common mean where it varies none, or the baseline, from
    which training leads far."""
    at = place.get(trial.proposal.parent) if trial.proposal.parent is not None else None
    return at if at else 1


def _outlier(score: float, parent: Node, variance: float, spread: float, most: float) -> bool:
    if not parent.scores:
        return False
    return score < parent.mean - most * math.sqrt(spread + variance * (1 + 1 / len(parent.scores)))


def _spreads(nodes: list[Node], variance: float, usual: float, weight: float) -> None:
    """Empirical Bayes: the variance of effects, among the children of trials and among the rest apart.

    Siblings are compared with one another and not with their parent, whose luck they would all show.
    """
    families: dict[int, list[Node]] = {}
    for node in nodes[2:]:
        families.setdefault(node.parent, []).append(node)
    first = families.pop(1, [])
    children = [node for family in families.values() for node in family]
    among = [_among(first, variance)]
    within = [_among(family, variance) for family in families.values()]
    within += [_effect(family[0], nodes[at], variance) for at, family in families.items() if len(family) == 1]
    for group, found in ((first, among), (children, within)):
        pooled = (weight * usual + math.fsum(one[0] for one in found)) / (weight + sum(one[1] for one in found))
        for node in group:
            node.spread = min(max(pooled, usual / 4), 100 * usual)


def _among(family: list[Node], variance: float) -> tuple[float, int]:
    """The sum of squared effects among siblings, freed of noise, and its degrees of freedom."""
    if not family:
        return 0.0, 0
    centre = math.fsum(node.mean for node in family) / len(family)
    share = 1 - 1 / len(family)
    squares = math.fsum((node.mean - centre) ** 2 - share * variance / len(node.scores) for node in family)
    return squares, len(family) - 1


def _effect(node: Node, parent: Node, variance: float) -> tuple[float, int]:
    gap = node.mean - node.effect - parent.mean
    return gap * gap - variance * (1 / len(node.scores) + 1 / len(parent.scores)), 1


def _within(evaluation: Evaluation) -> float:
    """See core.contracts.noise.within: what the items leave open about the baseline's score on them."""
    width = evaluation.high - evaluation.low
    return 0.4 * (width / _HALF) ** 2 if math.isfinite(width) and width > 0 else 0.0

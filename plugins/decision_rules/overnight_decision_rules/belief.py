"""The belief of rule `climb`: an exact Gaussian posterior over the tree of configurations.

A configuration's true score is its parent's plus a random effect, and every run's score is its
configuration's plus noise. So each score tells of the whole family, and the posterior of all nodes
comes from one pass up and one down the tree (Pearl 1988, Probabilistic Reasoning in Intelligent
Systems, 4; for Gaussian trees Weiss & Freeman 2001, Neural Computation 13:2173), in time that grows
with the number of configurations and not with its square or cube.
"""

import math
from dataclasses import dataclass, field


@dataclass
class Node:
    """One configuration. parent: index of its parent, which comes before it; -1 for the root.
    effect, spread: mean and variance of what it adds to its parent. scores: of its runs; variance: of one."""

    parent: int
    effect: float = 0.0
    spread: float = 0.0
    variance: float = 1.0
    scores: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Of its runs. Raises ZeroDivisionError without any."""
        return math.fsum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Posterior:
    """Means and variances of all nodes, and each one's covariance with the root."""

    mean: list[float]
    variance: list[float]
    with_root: list[float]

    def chance(self, node: int) -> float:
        """That the node's true score is above the root's."""
        gain, sd = self.gain(node)
        return 0.5 * math.erfc(-gain / (math.sqrt(2) * sd)) if sd > 0 else float(gain > 0)

    def gain(self, node: int) -> tuple[float, float]:
        """How far the node is above the root: mean and standard deviation."""
        spread = self.variance[node] + self.variance[0] - 2 * self.with_root[node]
        return self.mean[node] - self.mean[0], math.sqrt(max(0.0, spread))


def posterior(nodes: list[Node]) -> Posterior:
    """The posterior of all nodes. The root has a flat prior and must have a score."""
    n = len(nodes)
    precision = [len(node.scores) / node.variance for node in nodes]
    weighted = [math.fsum(node.scores) / node.variance for node in nodes]
    up_precision, up_weighted, pull = [0.0] * n, [0.0] * n, [1.0] * n
    for i in range(n - 1, 0, -1):
        node = nodes[i]
        damped = precision[i] / (1 + precision[i] * node.spread)
        pull[i] = 1 / (1 + precision[i] * node.spread)  # how a change of the parent moves the child
        up_precision[i] = damped
        up_weighted[i] = damped * (weighted[i] / precision[i] - node.effect) if precision[i] > 0 else 0.0
        precision[node.parent] += up_precision[i]
        weighted[node.parent] += up_weighted[i]
    shared = [0.0] * n
    shared[0] = 1 / precision[0]
    for i in range(1, n):
        node, p = nodes[i], nodes[i].parent
        rest = precision[p] - up_precision[i]
        below = rest / (1 + rest * node.spread)
        precision[i] += below
        weighted[i] += below * ((weighted[p] - up_weighted[i]) / rest + node.effect) if rest > 0 else 0.0
        shared[i] = shared[p] * pull[i]
    return Posterior([w / p for w, p in zip(weighted, precision, strict=True)], [1 / p for p in precision], shared)

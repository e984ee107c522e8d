"""Campaigns: a decision rule and certification played on made-up or recorded runs, without training anything."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.contracts import (
    BASELINE,
    Certificate,
    Decision,
    DecisionRule,
    Evaluation,
    ItemScore,
    Objective,
    Proposal,
    RunNoise,
    Trial,
)
from core.decision.certify import certify
from core.decision.setaside import is_set_aside

OBJECTIVE = Objective("score", "maximize")


class World(Protocol):
    """Where a campaign's scores come from; configuration 0 is the untouched model."""

    def child(self, parent: int) -> int:
        """A new configuration that varies another one; returns its number."""
        ...

    def run(self, configuration: int) -> Sequence[float]:
        """The item scores of one more run of a configuration, in the same order every time."""
        ...


@dataclass(frozen=True)
class Played:
    """How a campaign ended. configuration: of the incumbent. claim: the gain that a reader is told: the
    certificate's; without one what the rule believes; without that the difference of the two scores.
    leads: how often the incumbent changed. trials: how many were run, certification's included."""

    configuration: int
    claim: float
    leads: int
    trials: int
    certificate: Certificate | None


def play(rule: DecisionRule, world: World, trials: int, runs: int, share: float = 0.4) -> Played:
    """A study with one slot whose policy varies the incumbent. runs: fresh seeds for certification, paid
    from the trials; 0 = none, and then no items are set aside."""
    table = _Table(world, share if runs else 0.0)
    baseline = incumbent = table.trial(BASELINE, 0, Proposal())
    history: list[Trial] = [_summary(baseline)]
    due: Trial | None = None
    leads, said = 0, Decision("discard", "")
    while len(history) - 1 < trials - (runs if incumbent.number else 0):
        number, parent = len(history), due or incumbent
        at = table.of[due.number] if due else world.child(table.of[incumbent.number])
        proposal = Proposal({"configuration": at}, parent=parent.number, retest=due is not None)
        candidate = table.trial(number, at, proposal)
        said = rule.decide(candidate, incumbent, history, OBJECTIVE)
        history.append(replace(_summary(candidate), decision=said))
        due = candidate if said.verdict == "retest" else None
        leader = said.leader if said.leader is not None else number if said.verdict == "keep" else incumbent.number
        if leader != incumbent.number:
            leads += 1
            incumbent = table.trials[leader]
    found = None
    if runs and incumbent.number:
        at, noise = table.of[incumbent.number], RunNoise.of(history, table.evaluation(baseline))
        left = trials - (len(history) - 1)
        if left >= 2:
            fresh = [table.set_aside(world.run(at)) for _ in range(left)]
            found = certify(incumbent.number, fresh, table.baseline, OBJECTIVE, noise)
    claim = table.evaluation(incumbent).value - table.evaluation(baseline).value
    if found is not None and found.gain is not None:
        claim = found.gain
    elif said.estimate is not None:
        claim = said.estimate.gain
    return Played(table.of[incumbent.number], claim if incumbent.number else 0.0, leads, trials, found)


class Repeated:
    """Runs that differ in nothing but their seed, drawn as if they were of different configurations. The
    untouched model is their mean, item by item, so that nothing is better than anything."""

    def __init__(self, seed: int, runs: Sequence[Sequence[float]]) -> None:
        self._rng, self._runs, self._count = random.Random(seed), runs, 0
        self._mean = [math.fsum(column) / len(runs) for column in zip(*runs, strict=True)]

    def child(self, parent: int) -> int:
        """See World."""
        self._count += 1
        return self._count

    def run(self, configuration: int) -> Sequence[float]:
        """See World."""
        return self._rng.choice(self._runs) if configuration else self._mean


class _Table:
    """The trials of a campaign, and the items that selection does not see."""

    def __init__(self, world: World, share: float) -> None:
        self._world, self._share = world, share
        self._ids: list[str] = []
        self._aside: list[bool] = []
        self.trials: dict[int, Trial] = {}
        self.of: dict[int, int] = {}
        self.baseline: Mapping[str, float] = {}

    def trial(self, number: int, configuration: int, proposal: Proposal) -> Trial:
        """A completed trial: one more run of a configuration."""
        scores = self._world.run(configuration)
        if not self._ids:
            self._ids = [str(place) for place in range(len(scores))]
            self._aside = [bool(self._share) and is_set_aside(name, self._share) for name in self._ids]
            self.baseline = self.set_aside(scores)
        items = [
            ItemScore(name, float(score))
            for name, score, aside in zip(self._ids, scores, self._aside, strict=True)
            if not aside
        ]
        evaluation = Evaluation.from_items("validation", OBJECTIVE.metric, items)
        self.trials[number] = Trial(number, proposal, "completed", evaluation)
        self.of[number] = configuration
        return self.trials[number]

    def set_aside(self, scores: Sequence[float]) -> dict[str, float]:
        """Of one run, what certification looks at."""
        return {n: float(s) for n, s, aside in zip(self._ids, scores, self._aside, strict=True) if aside}

    @staticmethod
    def evaluation(trial: Trial) -> Evaluation:
        """Of a trial of this table."""
        assert trial.evaluation is not None
        return trial.evaluation


def _summary(trial: Trial) -> Trial:
    assert trial.evaluation is not None
    return replace(trial, evaluation=replace(trial.evaluation, items=()))

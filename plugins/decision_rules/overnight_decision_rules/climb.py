"""Decision rule `climb`: leads with what is believed best, not with what scored best.

The search layer of Overnight's decisions; what it names leads and is never called an improvement:
that is for certification with fresh seeds (core/decision/certify.py).
"""

from collections.abc import Sequence

from pydantic import Field

from core import BASELINE, Decision, Estimate, Objective, PluginConfig, RunNoise, Trial
from overnight_decision_rules.belief import Posterior, posterior
from overnight_decision_rules.tree import Model, Tree, grow

_Z90 = 1.6448536269514722


class Climb:
    """Keeps a belief over all configurations and makes the one with the highest posterior mean lead.

    No trial is run again to decide it: the scores of a configuration's children are evidence on it
    too, so that a lucky score is undone by what follows. The first configuration alone is repeated,
    to learn how much seeds matter.
    """

    class Config(PluginConfig):
        """repeats: how often the first configuration is run again with fresh seeds. contenders: how
        many configurations keep their checkpoint to return to. effect, spread: mean and standard
        deviation of what a child adds to its parent, in prior seed standard deviations (4 points for
        scores between 0 and 1). outlier: a run so many predictive standard deviations below its
        parent counts as failed."""

        repeats: int = Field(default=1, ge=0)
        contenders: int = Field(default=3, ge=1)
        effect: float = -0.1
        spread: float = Field(default=0.75, gt=0)
        outlier: float = Field(default=3.5, gt=0)

    def __init__(self, config: Config) -> None:
        self._config = config
        self._model = Model(config.effect, config.spread, outlier=config.outlier)

    def decide(self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], objective: Objective) -> Decision:
        """See core.contracts.DecisionRule."""
        known = {trial.number: trial for trial in (*history, incumbent)}
        baseline = known.get(BASELINE, incumbent)
        before = [trial for trial in known.values() if trial.number not in (baseline.number, candidate.number)]
        tree = grow(baseline, [*before, candidate], objective, self._model)
        found = posterior(tree.nodes)
        ranked = self._ranked(candidate, incumbent, history, tree, found)
        leader = ranked[0]
        at = tree.place.get(candidate.number)
        verdict = "keep" if leader == candidate.number else "discard"
        if at is not None and at == 2 and len(tree.nodes[at].scores) <= self._config.repeats:
            verdict = "retest"
        sign = 1.0 if objective.direction == "maximize" else -1.0
        estimate = _estimate(leader, tree, found, sign)
        evidence = _evidence(candidate, leader, tree, found, sign)
        contenders = tuple(number for number in ranked if number != BASELINE)[: self._config.contenders]
        reason = _reason(verdict, candidate, estimate, evidence, tree.noise)
        return Decision(verdict, reason, evidence, leader, contenders, estimate)

    def _ranked(
        self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], tree: Tree, found: Posterior
    ) -> list[int]:
        """Trials to return to, one a configuration, the best first; the incumbent before its equals."""
        decided = next((trial.decision for trial in reversed(history) if trial.decision), None)
        first = (incumbent.number, candidate.number)
        rest = sorted(decided.contenders, reverse=True) if decided else []
        chosen: dict[int, int] = {}
        for number in (*first, BASELINE, *rest):
            at = 0 if number == incumbent.number and number not in tree.place else tree.place.get(number)
            if at is not None:
                chosen.setdefault(at, number)
        order = list(chosen)
        return [chosen[at] for at in sorted(order, key=lambda at: (-round(found.mean[at], 9), order.index(at)))]


def _estimate(leader: int, tree: Tree, found: Posterior, sign: float) -> Estimate:
    at = tree.place.get(leader, 0)
    score, sd = sign * found.mean[at], found.variance[at] ** 0.5
    gain, gain_sd = found.gain(at) if at else (0.0, 0.0)
    return Estimate(
        trial=leader,
        score=score,
        low=score - _Z90 * sd,
        high=score + _Z90 * sd,
        gain=gain,
        gain_low=gain - _Z90 * gain_sd,
        gain_high=gain + _Z90 * gain_sd,
        chance=found.chance(at) if at else 0.5,
    )


def _evidence(candidate: Trial, leader: int, tree: Tree, found: Posterior, sign: float) -> dict[str, object]:
    assert candidate.evaluation is not None
    at, lead = tree.place.get(candidate.number), tree.place.get(leader, 0)
    noise = tree.noise
    evidence: dict[str, object] = {
        "score": candidate.evaluation.value,
        "n": candidate.evaluation.n,
        "leader": leader,
        "seeds": len(tree.nodes[at].scores) if at is not None else 1,
        "run_sd": noise.sd,
        "run_sd_repeats": noise.repeats,
    }
    if at is None:
        return {**evidence, "outlier": True, "would_change": "nothing: it counts as a failed run"}
    half = _Z90 * found.variance[at] ** 0.5
    mean = sign * found.mean[at]
    evidence |= {"estimate": mean, "low": mean - half, "high": mean + half, "effect": found.mean[at] - found.mean[0]}
    if at == lead:
        return {**evidence, "would_change": "another configuration whose estimate is higher, or low scores of its own"}
    weight = found.variance[at] / (found.variance[at] + noise.variance)
    needed = sign * (found.mean[at] + (found.mean[lead] - found.mean[at]) / weight)
    side = "above" if sign > 0 else "below"
    return {**evidence, "would_change": f"another run of it {side} {needed:.3f}"}


def _reason(verdict: str, candidate: Trial, leads: Estimate, evidence: dict[str, object], noise: RunNoise) -> str:
    assert candidate.evaluation is not None
    spread = f"runs vary by {noise.sd:.3f}, {'prior' if not noise.repeats else f'{noise.repeats} repeats and prior'}"
    if "outlier" in evidence:
        return f"{candidate.evaluation.value:.3f} is so far below its parent that it counts as failed ({spread})"
    believed = f"scored {candidate.evaluation.value:.3f}, believed {evidence['estimate']:.3f}"
    who = "the baseline" if leads.trial == BASELINE else f"trial {leads.trial}"
    if leads.trial == candidate.number:
        said = f"{believed}: leads with a chance of {leads.chance:.0%} to beat the baseline"
    else:
        said = f"{believed}; {who} leads with {leads.score:.3f}"
    again = "; repeated to learn what a seed changes" if verdict == "retest" else ""
    return f"{said} ({spread}){again}"

"""Decision rule `repeat`: what beats the incumbent is run again before it is kept."""

import math
from collections.abc import Sequence

from core import BASELINE, Decision, Objective, PluginConfig, Trial, same_configuration
from overnight_decision_rules.evidence import compare


class Repeat:
    """Keeps a configuration when its first run beats the incumbent and so does the mean of two.

    The repeat is a trial like any other, paid from the budget. The incumbent stands for the mean of all
    its runs.
    """

    Config = PluginConfig

    def __init__(self, config: PluginConfig) -> None:
        pass

    def decide(self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], objective: Objective) -> Decision:
        """See core.contracts.DecisionRule."""
        ours, theirs = _scores(candidate, history), _scores(incumbent, history)
        mean, to_beat = math.fsum(ours) / len(ours), math.fsum(theirs) / len(theirs)
        gain = objective.gain(mean, to_beat)
        evidence = {
            **compare(candidate, incumbent, objective).evidence(),
            "mean": mean,
            "to_beat": to_beat,
            "gain": gain,
            "seeds": len(ours),
            "seeds_incumbent": len(theirs),
            "would_change": f"a mean {'above' if objective.direction == 'maximize' else 'below'} {to_beat:.3f}",
        }
        said = f"{mean:.3f} over {len(ours)} seed{'s' if len(ours) != 1 else ''}, to beat: {to_beat:.3f}"
        if gain <= 0:
            return Decision("discard", said, evidence)
        if len(ours) < 2:
            return Decision("retest", f"{said}; run again with a fresh seed", evidence)
        return Decision("keep", said, evidence)


def _scores(trial: Trial, history: Sequence[Trial]) -> list[float]:
    """The scores of the trial and of all that differ from it in nothing but the seed."""
    assert trial.evaluation is not None
    if trial.number == BASELINE:
        return [trial.evaluation.value]
    key = same_configuration(trial)
    others = [one for one in history if one.number not in (BASELINE, trial.number) and same_configuration(one) == key]
    return [trial.evaluation.value, *(one.score for one in others if one.score is not None)]

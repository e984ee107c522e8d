"""Decision rule `greedy`: the better single score wins, as in autoresearch."""

from collections.abc import Sequence

from core import Decision, Objective, PluginConfig, Trial
from overnight_decision_rules.evidence import compare


class Greedy:
    """Keeps a trial when its validation score beats the incumbent's, by however little.

    Single scores are noisy, and the best of many is the luckiest: what is kept is `leading`,
    and only the test split says how good it is.
    """

    Config = PluginConfig

    def __init__(self, config: PluginConfig) -> None:
        pass

    def decide(self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], objective: Objective) -> Decision:
        """See core.contracts.DecisionRule."""
        found = compare(candidate, incumbent, objective)
        verdict = "keep" if found.gain > 0 else "discard"
        return Decision(verdict, str(found), found.evidence())

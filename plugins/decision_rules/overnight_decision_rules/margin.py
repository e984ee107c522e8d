"""Decision rule `margin`: the gain must exceed its own standard error over items."""

from collections.abc import Sequence

from pydantic import Field

from core import Decision, Objective, PluginConfig, Trial
from overnight_decision_rules.evidence import compare


class Margin:
    """Keeps a trial when its gain exceeds a number of paired standard errors."""

    class Config(PluginConfig):
        """z: standard errors (over the same items) that the gain must exceed. min_gain: and
        this much, in units of the metric."""

        z: float = Field(default=1.0, ge=0)
        min_gain: float = Field(default=0.0, ge=0)

    def __init__(self, config: Config) -> None:
        self._config = config

    def decide(self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], objective: Objective) -> Decision:
        """See core.contracts.DecisionRule."""
        found = compare(candidate, incumbent, objective)
        needed = max(self._config.z * found.error, self._config.min_gain)
        verdict = "keep" if found.gain > needed else "discard"
        return Decision(verdict, f"{found}; needed more than {needed:.3f}", {**found.evidence(), "needed": needed})

"""Decision rule `margin`: the gain must exceed its own standard error over items."""

from collections.abc import Sequence

from pydantic import Field

from core import Decision, Objective, PluginConfig, Trial
from overnight_decision_rules.evidence import Gain, compare


class Margin:
    """Keeps a trial when its gain exceeds a number of paired standard errors.

    The standard error is over items; how much a score varies between training seeds is not in
    it, so that a kept trial is `leading` and no more.
    """

    class Config(PluginConfig):
        """z: standard errors that the gain must exceed (of the differences per item, where both
        trials scored the same items). min_gain: and this much, in units of the metric."""

        z: float = Field(default=1.0, ge=0)
        min_gain: float = Field(default=0.0, ge=0)

    def __init__(self, config: Config) -> None:
        self._config = config

    def decide(self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], objective: Objective) -> Decision:
        """See core.contracts.DecisionRule."""
        found = compare(candidate, incumbent, objective)
        needed = self._needed(found)
        evidence = {**found.evidence(), "needed": needed, "z": self._config.z, "min_gain": self._config.min_gain}
        if needed is None:
            return Decision("discard", f"{found}: without a standard error no gain counts", evidence)
        verdict = "keep" if found.gain > needed else "discard"
        return Decision(verdict, f"{found}; a gain above {found.figure(needed)} is kept", evidence)

    def _needed(self, found: Gain) -> float | None:
        """What the gain must exceed; None where that cannot be known."""
        if self._config.z == 0:
            return self._config.min_gain
        return None if found.error is None else max(self._config.z * found.error, self._config.min_gain)

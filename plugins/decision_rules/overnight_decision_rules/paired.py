"""Decision rule `paired`: a significance test on the items that both trials scored."""

import math
from collections.abc import Sequence

from pydantic import Field

from core import Decision, Objective, PluginConfig, Trial
from overnight_decision_rules.evidence import compare


class Paired:
    """Keeps a trial when its gain over the incumbent on the same items is significant.

    McNemar's exact test for items that are right or wrong (McNemar 1947, Psychometrika 12:153), a
    BCa bootstrap of the mean difference otherwise (Efron 1987), both one-sided. It treats one training
    run as the configuration: seeds are not in the test, so that with more items it is wrong more often.
    """

    class Config(PluginConfig):
        """level: the probability of keeping an equal run, were items all there is to chance."""

        level: float = Field(default=0.05, gt=0, lt=0.5)

    def __init__(self, config: Config) -> None:
        self._config = config

    def decide(self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], objective: Objective) -> Decision:
        """See core.contracts.DecisionRule."""
        found, level = compare(candidate, incumbent, objective), self._config.level
        evidence = {**found.evidence(), "level": level, "seeds": 1}
        if found.items != "paired":
            return Decision("discard", f"{found}: without the same items there is no paired test", evidence)
        assert candidate.evaluation is not None and incumbent.evaluation is not None
        before = {item.id: item.score for item in incumbent.evaluation.items}
        gains = [objective.gain(item.score, before[item.id]) for item in candidate.evaluation.items]
        if all(gain in (-1.0, 0.0, 1.0) for gain in gains):
            return self._mcnemar(str(found), gains, evidence)
        return self._bootstrap(str(found), gains, evidence)

    def _mcnemar(self, said: str, gains: list[float], evidence: dict[str, object]) -> Decision:
        from scipy import stats

        won, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        p = float(stats.binomtest(won, won + lost, alternative="greater").pvalue) if won + lost else 1.0
        needed = next((k for k in range(won + lost + 1) if _tail(k, won + lost) < self._config.level), None)
        change = (
            "more items on which they differ" if needed is None else f"{needed} of {won + lost} differing items won"
        )
        evidence |= {"test": "McNemar", "won": won, "lost": lost, "p": p, "would_change": change}
        verdict = "keep" if p < self._config.level else "discard"
        return Decision(verdict, f"{said}; {won} items won, {lost} lost: p={p:.3g} (one seed each)", evidence)

    def _bootstrap(self, said: str, gains: list[float], evidence: dict[str, object]) -> Decision:
        from scipy import stats

        evidence |= {"test": "paired bootstrap"}
        if len(set(gains)) < 2:
            low = gains[0] if len(gains) > 1 else 0.0
        else:
            found = stats.bootstrap(
                (gains,), lambda x, axis: x.mean(axis=axis), rng=0, n_resamples=2000, alternative="greater",
                confidence_level=1 - self._config.level,
            )  # fmt: skip
            low = float(found.confidence_interval.low)
        evidence |= {"low": low if math.isfinite(low) else None, "would_change": "a lower bound of the gain above 0"}
        verdict = "keep" if low > 0 else "discard"
        return Decision(verdict, f"{said}; lower bound of the gain {low:+.3g} (one seed each)", evidence)


def _tail(k: int, n: int) -> float:
    """P(at least k of n fair coins)."""
    from scipy import stats

    return float(stats.binom.sf(k - 1, n, 0.5)) if n else 1.0

"""Run noise: how far the scores of identical runs lie apart, from repeats pooled with a prior."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

from core.contracts.evaluation import Evaluation
from core.contracts.trial import BASELINE, Trial

_PRIOR_SD = 0.04
_PRIOR_DF = 4.0
_WITHIN = 0.4


def same_configuration(trial: Trial) -> str:
    """A key that trials share when they differ in nothing but the training seed."""
    if trial.number == BASELINE:
        return "baseline"
    return json.dumps([dict(trial.proposal.params), trial.proposal.patch], sort_keys=True)


@dataclass(frozen=True)
class RunNoise:
    """The variance of one run's score about its configuration's true score, on the same items.

    variance: in squared units of the metric, training seed and the run's own item noise together.
    df: degrees of freedom, those of the prior included. repeats: how many of them come from trials
    that repeat a configuration; with none, all is prior. prior_sd: of the prior's seed part.
    """

    variance: float
    df: float
    repeats: int
    prior_sd: float

    @property
    def sd(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.variance)

    @classmethod
    def of(cls, trials: Iterable[Trial], baseline: Evaluation) -> "RunNoise":
        """From the completed trials among these. The baseline is evaluated, not trained: it has no
        seed, so that only trials that repeat one another tell of the seed.

        Pooled within-configuration variance with a scaled inverse chi-square prior (Gelman et al.,
        Bayesian Data Analysis, 3rd ed., 2.6) of 4 degrees of freedom. The prior's standard
        deviation is 4 points for scores between 0 and 1 (what published reruns of GRPO on GSM8K
        show: .27 to .36 on 100 items), 4 % of the baseline's score or its standard error otherwise.
        """
        groups: dict[str, list[float]] = {}
        for trial in trials:
            if trial.number != BASELINE and trial.score is not None:
                groups.setdefault(same_configuration(trial), []).append(trial.score)
        squares, repeats = 0.0, 0
        for scores in groups.values():
            mean = math.fsum(scores) / len(scores)
            squares += math.fsum((score - mean) ** 2 for score in scores)
            repeats += len(scores) - 1
        prior = prior_sd(baseline)
        first = prior**2 + within(baseline)
        variance = (_PRIOR_DF * first + squares) / (_PRIOR_DF + repeats)
        return cls(variance, _PRIOR_DF + repeats, repeats, prior)


def prior_sd(baseline: Evaluation) -> float:
    """What is assumed of the seed's standard deviation before anything was repeated."""
    if 0.0 <= baseline.value <= 1.0:
        return _PRIOR_SD
    return max(_PRIOR_SD * abs(baseline.value), standard_error(baseline))


def within(evaluation: Evaluation) -> float:
    """The variance that the items add to one run's score about its expectation on these items.

    About 0.4 of the squared standard error of the mean: what two runs of one model disagree on, 20 % of
    the items for GSM8K, has variance 0.1 an item, where 0.25 is a coin's.
    """
    return _WITHIN * standard_error(evaluation) ** 2


def standard_error(evaluation: Evaluation) -> float:
    """The standard error over items that the 95 % interval stands for; 0 where nothing is known of it."""
    width = evaluation.high - evaluation.low
    return width / (2 * 1.959963984540054) if math.isfinite(width) and width > 0 else 0.0

"""Certifying: whether fresh seeds of a configuration beat the baseline on items that selection never saw."""

import math
from collections.abc import Mapping, Sequence

from core.contracts import Certificate, Objective, RunNoise

LEVEL = 0.05
"""The probability of confirming a configuration that is as good as the baseline."""


def certify(
    trial: int,
    runs: Sequence[Mapping[str, float]],
    baseline: Mapping[str, float],
    objective: Objective,
    noise: RunNoise,
) -> Certificate:
    """The certificate of an incumbent from its fresh runs.

    runs: item → score, for each fresh run; baseline: the same of the untouched model, whose evaluation has
    no seed. noise: what was known of the seeds' variance before. Raises ValueError for fewer than
    two runs or items that differ.

    Seeds and items are crossed random effects, so the variance of the mean gain is s²(runs)/R +
    s²(items)/n − s²(residual)/(nR) (two-way layout with one observation a cell: Searle, Casella &
    McCulloch 1992, Variance Components, 4; for crossed samples Owen 2007, Ann. Appl. Stat. 1:386). The
    runs' variance is pooled with its prior; degrees of freedom after Satterthwaite 1946. Training can jump
    (a phase change in one seed of ten), which no normal variance of three runs describes: most of the
    runs have to be better than the baseline too.
    """
    from scipy import stats

    items = sorted(baseline)
    if len(runs) < 2 or not items or any(set(run) != set(items) for run in runs):
        raise ValueError("certification needs two runs and the same items in all of them")
    gains = [[objective.gain(run[item], baseline[item]) for item in items] for run in runs]
    r, n = len(runs), len(items)
    by_run = [math.fsum(row) / n for row in gains]
    by_item = [math.fsum(column) / r for column in zip(*gains, strict=True)]
    gain = math.fsum(by_run) / r
    squares = math.fsum((mean - gain) ** 2 for mean in by_run)
    item_variance = math.fsum((mean - gain) ** 2 for mean in by_item) / max(1, n - 1)
    residual = math.fsum(
        (value - run_mean - item_mean + gain) ** 2
        for row, run_mean in zip(gains, by_run, strict=True)
        for value, item_mean in zip(row, by_item, strict=True)
    ) / max(1, (n - 1) * (r - 1))
    # The prior knows runs on selection's items: as many again are set aside, more or less.
    df = noise.df + r - 1
    run_variance = (noise.df * noise.variance + squares) / df
    from_runs = run_variance / r
    from_items = max(0.0, item_variance / n - residual / (n * r))
    variance = from_runs + from_items
    freedom = variance**2 / (from_runs**2 / df + from_items**2 / max(1, n - 1)) if variance > 0 else df
    half = float(stats.t.ppf(1 - LEVEL, freedom)) * math.sqrt(variance)
    better = sum(mean > 0 for mean in by_run)
    confirmed = gain - half > 0 and 2 * better > r
    what = f"{gain:+.3f} over the baseline (90 % interval {gain - half:+.3f} to {gain + half:+.3f}; {r} fresh seeds"
    reason = f"{what}, {n} items set aside)"
    if gain - half > 0 and not confirmed:
        reason += f"; only {better} of the {r} runs are better than it, so one lucky seed may be all there is"
    return Certificate(trial, confirmed, reason, gain, gain - half, gain + half, r, n, math.sqrt(run_variance), freedom)

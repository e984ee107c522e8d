"""Power: which gains a study of a given size can show, and what it would take to show a smaller one."""

import math
from statistics import NormalDist

from core.contracts import RunNoise
from core.decision.certify import LEVEL
from core.journal.fold import Fold

WANTED = 0.8
"""The power that is asked for where none is named: a real gain is confirmed four times in five."""

DIFFERING = 0.2
"""The share of right-or-wrong items on which two models are assumed to differ before it was measured."""

_MOST = 1000


def power(gain: float, run_variance: float, item_variance: float, seeds: int, items: int) -> float:
    """The probability that certification confirms a true gain.

    run_variance: of one run's score between seeds; item_variance: of an item's gain over items. The
    normal approximation (Miller 2024, arXiv 2411.00640, 5, with a term for seeds) at the test's level.
    """
    sd = math.sqrt(run_variance / seeds + item_variance / items)
    return NormalDist().cdf(gain / sd - NormalDist().inv_cdf(1 - LEVEL)) if sd > 0 else 1.0


def visible(run_variance: float, item_variance: float, seeds: int, items: int) -> float:
    """The smallest gain that is confirmed with the power wanted."""
    normal = NormalDist()
    return (normal.inv_cdf(WANTED) + normal.inv_cdf(1 - LEVEL)) * math.sqrt(
        run_variance / seeds + item_variance / items
    )


def seeds_for(gain: float, run_variance: float, item_variance: float, items: int) -> int | None:
    """Fresh seeds that show a gain; None where so few items cannot, whatever the seeds."""
    return next((n for n in range(2, _MOST) if power(gain, run_variance, item_variance, n, items) >= WANTED), None)


def items_for(gain: float, run_variance: float, item_variance: float, seeds: int) -> int | None:
    """Items set aside that show a gain; None where so few seeds cannot, whatever the items."""
    normal = NormalDist()
    left = (gain / (normal.inv_cdf(WANTED) + normal.inv_cdf(1 - LEVEL))) ** 2 - run_variance / seeds
    return math.ceil(item_variance / left) if left > 0 else None


def warning(fold: Fold) -> str | None:
    """What to tell a person at the start whose hoped-for gain this study could not show, or None."""
    hoped = (fold.config.get("certification") or {}).get("hoped_gain")
    baseline = fold.records[0].trial.evaluation
    if hoped is None or baseline is None:
        return None
    if fold.certify is None or not fold.certify.runs or fold.set_aside is None or not fold.set_aside.items:
        why = fold.certify.text if fold.certify else "it does not certify"
        if fold.set_aside is not None and fold.set_aside.refusal:
            why = fold.set_aside.refusal
        return f"the hoped-for gain of {hoped:g} cannot be shown by this study: {why}"
    noise, seeds, items = RunNoise.of([], baseline), fold.certify.runs, fold.set_aside.items
    spread = DIFFERING * max(1.0, (noise.prior_sd / 0.04) ** 2)
    chance = power(hoped, noise.variance, spread, seeds, items)
    if chance >= WANTED:
        return None
    needed, more = seeds_for(hoped, noise.variance, spread, items), items_for(hoped, noise.variance, spread, seeds)
    ways = [f"{needed} fresh seeds"] if needed else []
    ways += [f"{more} items set aside"] if more else []
    return (
        f"a true gain of {hoped:g} would be confirmed with a chance of {chance:.0%} only ({seeds} fresh seeds, {items} "
        f"items set aside, seeds assumed to vary by {noise.sd:.3f}); for {WANTED:.0%} it takes "
        f"{' or '.join(ways) or 'both more seeds and more items'}. Gains from "
        f"{visible(noise.variance, spread, seeds, items):.3f} on can be seen. Measure the noise: python -m core aa-test"
    )

"""The arms: who proposes next when progress stalls, the model or the outside, by what each brought so far."""

import random

from overnight_policy_hybrid.known import Known

POINTS = ("prior", "llm")
OUTSIDE = (*POINTS, "diff")
_CHANCES = 2


def outside_may(known: Known, share: float) -> bool:
    """Whether one more outside point keeps them within their share of all trials."""
    outside = sum(arm in OUTSIDE for arm in known.arms)
    return outside + 1 <= share * (len(known.arms) + 1)


def record(known: Known) -> dict[bool, tuple[int, int]]:
    """For outside (True) and model (False): how many trials set a new best score, how many did not."""
    counts = {True: [0, 0], False: [0, 0]}
    best: float | None = None
    for tally in known.tallies:
        rose = tally.gain is not None and (best is None or tally.gain > best)
        if tally.arm in (*OUTSIDE, "model") and not tally.retest:
            counts[tally.arm in OUTSIDE][0 if rose else 1] += 1
        if rose:
            best = tally.gain
    return {outside: (won, lost) for outside, (won, lost) in counts.items()}


def let_down(known: Known) -> bool:
    """Whether the first outside points, two at least, all failed or scored no better than everything
    else: then the rest of them wait for the model's veto, and a bad prior costs two trials."""
    ours = [outcome for outcome in known.outcomes if not outcome.retest]
    outside = [outcome.gain for outcome in ours if outcome.arm in POINTS]
    others = [outcome.gain for outcome in ours if outcome.arm not in OUTSIDE and outcome.gain is not None]
    if len(outside) < _CHANCES or not others:
        return False
    return all(gain is None or gain <= max(others) for gain in outside)


def outside_next(known: Known, seed: int) -> bool:
    """Whether the outside proposes next: Thompson sampling of two Bernoulli arms with uniform
    priors (Thompson 1933; Chapelle & Li 2011), a success being a new best score."""
    rng = random.Random(f"arms/{seed}")
    drawn = {outside: rng.betavariate(1 + won, 1 + lost) for outside, (won, lost) in record(known).items()}
    return drawn[True] > drawn[False]

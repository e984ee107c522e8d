"""Draws: points for the trials before there are enough scores for a model."""

from overnight_policy_hybrid.frame import Point
from overnight_policy_hybrid.known import Known
from overnight_policy_hybrid.model import Model, dead_end

_CANDIDATES = 64


def draw(known: Known, model: Model, seed: int) -> Point:
    """Of some random points the one farthest from all that were tried, so that the first few
    spread (Johnson et al. 1990, maximin designs); where trials failed, likely ones count more.
    On the development tables it beat a Sobol sequence: the model needs a trial less to start."""
    import numpy as np

    frame = known.frame
    rng = np.random.default_rng(seed)
    rows = frame.draw(rng.random((_CANDIDATES, len(frame.axes))))
    if not len(known.tried) or not frame.axes:
        return frame.point(rows[0])
    worth = np.sqrt(frame.gaps(rows, known.tried_rows).sum(axis=0).min(axis=1))
    if model.feasibility is not None:
        worth = worth * model.feasibility.chance(rows)
        worth[[dead_end(known, frame.point(row)) is not None for row in rows]] = -1.0
    return frame.point(rows[int(np.argmax(worth))])

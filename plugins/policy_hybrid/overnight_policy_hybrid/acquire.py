"""Acquisition: where the surrogate expects the most improvement among points that can be trained."""

from typing import TYPE_CHECKING, Protocol

from overnight_policy_hybrid.frame import Frame

if TYPE_CHECKING:
    import numpy as np

    from overnight_policy_hybrid.surrogate import Surrogate

_DRAWS = 1024
_STARTS = 8
_ROUNDS = 8
_STEPS = 16


class Feasible(Protocol):
    """Says what each row loses for the chance that it cannot be trained."""

    def log_weight(self, rows: "np.ndarray") -> "np.ndarray": ...


def log_ei(mean: "np.ndarray", sd: "np.ndarray", best: float) -> "np.ndarray":
    """The logarithm of the expected improvement over `best`, exact where the improvement is
    hopeless too (Ament et al. 2023, arXiv 2310.20708, eq. 9)."""
    import numpy as np
    from scipy.special import erfcx, ndtr

    z = (mean - best) / sd
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    near = np.log(np.maximum(density + z * ndtr(z), 1e-300))
    below = np.minimum(z, -1.0)
    ratio = np.maximum(1.0 + below * np.sqrt(np.pi / 2) * erfcx(-below / np.sqrt(2)), 1e-12)
    far = -0.5 * below * below - 0.5 * np.log(2 * np.pi) + np.log(ratio)
    return np.where(z > -1.0, near, far) + np.log(sd)


def maximise(
    frame: Frame,
    model: "Surrogate",
    best: float,
    feasible: Feasible | None,
    anchors: "np.ndarray",
    seed: int,
    forbidden: "np.ndarray",
) -> "np.ndarray | None":
    """The row with the highest acquisition; None if every candidate is forbidden.

    anchors: rows worth looking around (the best so far). forbidden: rows that must not be proposed
    again. Random rows and the anchors' neighbours, then a few rounds of shrinking steps around the
    best of them: whole numbers and categories need no relaxation that way.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    width = len(frame.axes)

    def worth(rows: "np.ndarray") -> "np.ndarray":
        value = log_ei(*model.predict(rows), best)
        if feasible is not None:
            value = value + feasible.log_weight(rows)
        return np.where(among(rows, forbidden), -np.inf, value)

    rows = [frame.draw(rng.random((_DRAWS, width)))]
    rows += [neighbours(frame, anchor, 48, 0.15, rng) for anchor in anchors]
    pool = np.vstack(rows)
    values = worth(pool)
    order = np.argsort(-values, kind="stable")[:_STARTS]
    heads, scores = pool[order], values[order]
    scale = 0.12
    for _ in range(_ROUNDS):
        around = np.stack([neighbours(frame, head, _STEPS, scale, rng) for head in heads])
        found = worth(around.reshape(-1, width)).reshape(len(heads), _STEPS)
        pick = found.argmax(axis=1)
        top = found[np.arange(len(heads)), pick]
        better = top > scores
        heads = np.where(better[:, None], around[np.arange(len(heads)), pick], heads)
        scores = np.where(better, top, scores)
        scale *= 0.6
    first = int(np.argmax(scores))
    return heads[first] if np.isfinite(scores[first]) else None


def neighbours(frame: Frame, row: "np.ndarray", count: int, scale: float, rng: "np.random.Generator") -> "np.ndarray":
    """Points near a row: each differs from it in one to a few parameters."""
    import numpy as np

    width = len(frame.axes)
    moved = rng.random((count, width)) < min(1.0, 2.0 / max(width, 1))
    moved[np.arange(count), rng.integers(width, size=count)] = True
    steps = row + scale * rng.standard_normal((count, width))
    redrawn = frame.draw(rng.random((count, width)))
    for j, axis in enumerate(frame.axes):
        if axis.choices:
            steps[:, j] = redrawn[:, j]
        elif axis.levels:  # a step that rounds back to where it was would be lost
            jump = np.sign(steps[:, j] - row[j]) * np.maximum(np.abs(steps[:, j] - row[j]), 0.75 / (axis.levels - 1))
            steps[:, j] = row[j] + jump
    return frame.snap(np.where(moved, steps, row))


def among(rows: "np.ndarray", known: "np.ndarray", near: float = 1e-6) -> "np.ndarray":
    """Which rows are one of the known ones: no parameter is further off than `near`, in ranges."""
    import numpy as np

    if not len(known):
        return np.zeros(len(rows), dtype=bool)
    gaps = np.abs(rows[:, None, :] - known[None, :, :]).max(axis=2, initial=0.0)  # without parameters all are one
    found: np.ndarray = (gaps <= near).any(axis=1)
    return found

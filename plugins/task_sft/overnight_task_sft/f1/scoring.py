"""Scoring: F1 with its interval, its items and the threshold that makes it largest."""

from collections.abc import Sequence
from typing import Any, Literal

from core import Evaluation, ItemScore, Split

_RESAMPLES = 10_000

Metric = Literal["f1", "macro_f1"]


def f1(tp: Any, fp: Any, fn: Any) -> Any:
    """2·tp / (2·tp + fp + fn), of numbers or arrays; 0 where a class is neither there nor predicted."""
    import numpy as np

    below = 2 * np.asarray(tp, dtype=float) + fp + fn
    return np.where(below > 0, 2 * np.asarray(tp, dtype=float) / np.maximum(below, 1e-12), 0.0)


def best_threshold(probabilities: Sequence[float], labels: Sequence[int], metric: Metric) -> float:
    """The probability that cuts these items with the highest score; of equal ones the nearest to 0.5.

    Candidates lie halfway between neighbouring probabilities, and at 0.5.
    """
    import numpy as np

    known, truth = np.asarray(probabilities, dtype=float), np.asarray(labels)
    values = np.unique(known)
    candidates = np.concatenate([[0.5, values[0] - 1e-9], (values[1:] + values[:-1]) / 2])
    called = known[None, :] > candidates[:, None]
    scores = _score(*_counts(called, truth[None, :]), metric)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(candidates[best[np.argmin(np.abs(candidates[best] - 0.5))]])


def evaluation(
    split: Split, metric: Metric, ids: Sequence[str], probabilities: Sequence[float], labels: Sequence[int],
    threshold: float,
) -> Evaluation:  # fmt: skip
    """The score of one split at a threshold.

    The interval is a percentile bootstrap over items (Efron & Tibshirani 1993, ch. 13; 10,000
    resamples, fixed seed), drawn as counts of the confusion matrix, which is the same thing. An
    item's score is the F1 plus its influence on it (delta method: Δᵢ = (2tpᵢ − F1·(2tpᵢ+fpᵢ+fnᵢ)) /
    mean(2tp+fp+fn)): the scores' mean is the F1 itself, and paired differences of two models'
    scores have the standard error of the difference of their F1.
    """
    import numpy as np

    called = np.asarray(probabilities, dtype=float) > threshold
    truth = np.asarray(labels).astype(bool)
    n = len(truth)
    tp, fp, fn, tn = (float(count) for count in _counts(called, truth))
    value = float(_score(tp, fp, fn, tn, metric))
    drawn = np.random.default_rng(0).multinomial(n, np.array([tp, fp, fn, tn]) / n, size=_RESAMPLES)
    low, high = np.quantile(_score(*drawn.T, metric), [0.025, 0.975])
    kinds = _influence(called, truth, tp, fp, fn)
    if metric == "macro_f1":
        kinds = (kinds + _influence(~called, ~truth, tn, fn, fp)) / 2
    details = {
        "f1": float(f1(tp, fp, fn)),
        "macro_f1": float(_score(tp, fp, fn, tn, "macro_f1")),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
        "accuracy": (tp + tn) / n,
        "threshold": threshold,
    }
    items = tuple(ItemScore(name, value + float(delta)) for name, delta in zip(ids, kinds, strict=True))
    return Evaluation(
        split, metric, value, n, min(float(low), value), max(float(high), value), "bootstrap", items, details
    )


def _counts(called: Any, truth: Any) -> tuple[Any, Any, Any, Any]:
    import numpy as np

    truth = np.asarray(truth).astype(bool)
    pairs = (called & truth, called & ~truth, ~called & truth, ~called & ~truth)
    tp, fp, fn, tn = (pair.sum(axis=-1) for pair in pairs)
    return tp, fp, fn, tn


def _score(tp: Any, fp: Any, fn: Any, tn: Any, metric: Metric) -> Any:
    positive = f1(tp, fp, fn)
    return positive if metric == "f1" else (positive + f1(tn, fn, fp)) / 2


def _influence(called: Any, truth: Any, tp: float, fp: float, fn: float) -> Any:
    import numpy as np

    value = float(f1(tp, fp, fn))
    weights = 2.0 * (called & truth) + (called & ~truth) + (~called & truth)
    mean = float(weights.mean())
    return (2.0 * (called & truth) - value * weights) / mean if mean > 0 else np.zeros(len(truth))

"""Items set aside: the share of the validation items that only certification looks at."""

import hashlib
import math
from collections.abc import Iterable

from core.contracts import Evaluation, ItemScore

FEWEST = 10
"""Fewer items than that on either side are no basis for anything: then none is set aside."""


def is_set_aside(item_id: str, share: float) -> bool:
    """Whether an item is for certification only: by a hash of its id, so the same in every evaluation."""
    digest = hashlib.sha256(f"certification/{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


def refusal(evaluation: Evaluation, share: float) -> str | None:
    """Why no items of this evaluation can be set aside, or None if they can."""
    if evaluation.self_reported:
        return "its scores are self-reported: one figure a run, of which no items can be set aside"
    if not evaluation.items:
        return "its evaluations carry no item scores"
    mean = math.fsum(item.score for item in evaluation.items) / len(evaluation.items)
    if not math.isclose(mean, evaluation.value, rel_tol=1e-6, abs_tol=1e-9):
        return f"{evaluation.metric} is not the mean of its items, so that a part of them has no score of its own"
    aside = sum(is_set_aside(item.id, share) for item in evaluation.items)
    if aside < FEWEST or evaluation.n - aside < FEWEST:
        return f"{evaluation.n} validation items are too few to set some aside"
    return None


def selection(evaluation: Evaluation, share: float) -> Evaluation:
    """The evaluation on the items that selection may see; the whole one where none can be set aside.

    Score, n and interval are made anew from the items that are left; `details` stay as the task gave them.
    """
    if share <= 0 or refusal(evaluation, share) is not None:
        return evaluation
    items = [item for item in evaluation.items if not is_set_aside(item.id, share)]
    return Evaluation.from_items(evaluation.split, evaluation.metric, items, evaluation.details)


def set_aside(items: Iterable[ItemScore], share: float) -> dict[str, float]:
    """The scores that only certification may see, by item."""
    return {item.id: item.score for item in items if is_set_aside(item.id, share)}

"""What random and grid search share: seeded drawing, and telling points apart."""

import random
from collections.abc import Mapping

from core import Scalar, StudyView

Key = tuple[tuple[str, bool, Scalar], ...]


def generator(seed: int, index: int, purpose: str) -> random.Random:
    """A generator of its own for one proposal (strings seed `random` stably, by SHA-512)."""
    return random.Random(f"{purpose}/{seed}/{index}")


def key(params: Mapping[str, Scalar]) -> Key:
    """A point's identity: equal for 8 and 8.0, different for 1 and True."""
    return tuple(sorted((name, isinstance(value, bool), value) for name, value in params.items()))


def taken(view: StudyView) -> set[Key]:
    """The points that some trial of the study already has."""
    return {key(trial.proposal.params) for trial in (*view.trials, *view.running)}

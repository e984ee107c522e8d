"""The recipe of a supervised run: what a patch may change. As it stands it changes nothing."""

from typing import Any


def recipe(args: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the trainer (transformers' TrainingArguments, or TRL's SFTConfig for the
    generative form): schedule, optimiser, regularisation …

    args: as the task sets them from params, the trial's point of the search space.
    """
    return args


def data(rows: list[tuple[str, int]], params: dict[str, Any]) -> list[tuple[str, int]]:
    """The training texts with 1 for positive or 0: clean, balance, order, augment or repeat them."""
    return rows

"""The recipe of a GRPO run: what a patch may change. As it stands it changes nothing."""

from typing import Any


def recipe(args: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of TRL's GRPOConfig: learning rate schedule, optimiser, loss, clipping, sampling …

    args: as the task sets them from params, the trial's point of the search space.
    """
    return args


def data(rows: list[dict[str, Any]], params: dict[str, Any]) -> list[dict[str, Any]]:
    """The training prompts: choose, order or repeat them, for instance easy ones first.

    rows: each has a `prompt` and the columns that rewards read. At least one must remain.
    """
    return rows


def shape(name: str, scores: list[float | None], completions: list[Any], params: dict[str, Any]) -> list[float | None]:
    """The scores of one reward before they are weighed: clip, scale, or add a term of the completions.

    name: of the reward. scores: one for each completion, None = this reward does not apply to it.
    """
    return scores
